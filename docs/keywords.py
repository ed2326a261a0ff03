"""Write schemas/keywords.py, the types of the keywords of `Workspace`; --check compares."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent, wrap
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from schemas import flags
from schemas.flags import PARSED, declared, flag_of, keys_of, keyword_of
from schemas.settings import Number

PAGE = Path(__file__).parent.parent / "schemas" / "keywords.py"
HEAD = '''\
"""The keywords of the methods of `Workspace`: the flags of their commands. Written by `make docs`.

None leaves a setting as curate.toml says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict
'''
# Each class: what it inherits, and which settings are new. The first of `select` go by position too.
FIRST = ("select.budget", "select.strategy")
CLASSES: dict[str, tuple[str, tuple[str, ...]]] = {
    "Resources": ("", flags.RESOURCES),
    "Ingest": ("Resources", flags.INGEST),
    "Embed": ("Ingest", flags.EMBED),
    "Score": ("Embed", flags.SCORE),
    "Cluster": ("Score", flags.CLUSTER),
    "Prune": ("Cluster", flags.PRUNE),
    "Against": ("", flags.DECONTAMINATE),
    "Pick": ("Prune, Against", flags.SELECT),
    "Select": ("Pick", FIRST),
    "Decontaminate": ("Embed, Against", ()),
    "Search": ("", flags.TAKES["search"]),
    "Convert": ("", flags.TAKES["convert"]),
    "Validate": ("Convert", ("embed.model",)),
}
WIDTH = 110
PLACE = re.compile(r"\b(FILE|DIR|DATA|PATH|MODEL)\b")  # what a metavar names where a path may stand


def module() -> str:
    """The text of schemas/keywords.py."""
    held: dict[str, set[str]] = {}
    text = HEAD
    for name, (bases, sections) in CLASSES.items():
        inherited = {key for base in bases.split(", ") if base for key in held[base]}
        own = [key for section in sections for key in keys_of(section) if key not in inherited]
        own = [key for key in declared() if key in own and (key not in FIRST or name == "Select")]
        held[name] = {*inherited, *own}
        text += "\n\n" + "\n".join(_class(name, bases, own)) + "\n"
    return text


def _class(name: str, bases: str, own: list[str]) -> Iterator[str]:
    inherited = ", ".join(f"{base}Keywords" for base in bases.split(", ") if base) or "TypedDict"
    yield f"class {name}Keywords({inherited}, total=False):"
    sections = ", ".join(dict.fromkeys(f"[{key.partition('.')[0]}]" for key in own))
    also = "What it inherits, and settings of" if bases else "Settings of"
    yield f'    """{also} {sections}."""' if own else '    """What it inherits."""'
    for key in own:
        yield ""
        yield _line(keyword_of(key), f"{_type(key)} | None")
        yield _wrapped(declared()[key].description)


def _line(name: str, kind: str) -> str:
    line = f"    {name}: {kind}"
    if len(line) <= WIDTH:
        return line
    return f"    {name}: (\n        " + "\n        | ".join(kind.split(" | ")) + "\n    )"


def _wrapped(text: str) -> str:
    quoted = f'    """{text}"""'
    if len(quoted) <= WIDTH:
        return quoted
    return indent("\n".join(wrap(f'"""{text}', WIDTH - 4)) + '\n"""', "    ")


def _type(key: str) -> str:
    field, metavar = declared()[key], flag_of(key)[1] or ""
    if key in PARSED:
        value = "str | Path" if PLACE.search(metavar) else "str"
        return f"Mapping[str, {value}] | Sequence[str]"
    numbers = Number.__metadata__[0] in _metadata(field)
    text = " | ".join(dict.fromkeys(_names(field.annotation)))
    if numbers:
        text += " | int | float"
    if PLACE.search(metavar):
        text = text.replace("str", "str | Path")
    if get_origin(field.annotation) is tuple:
        return f"{text} | Sequence[{text}]"
    return text


def _names(annotation: Any) -> Iterator[str]:
    """The kinds of value of an annotation, as Python spells them, without None."""
    parts = [part for part in get_args(annotation) if part is not Ellipsis]
    if get_origin(annotation) is Literal:
        yield f"Literal[{', '.join(json.dumps(part) for part in parts)}]"
    elif hasattr(annotation, "__metadata__"):
        yield from _names(parts[0])
    elif parts:
        for part in parts:
            yield from _names(part)
    elif annotation is not NoneType:
        yield annotation.__name__


def _metadata(field: Any) -> list[Any]:
    nested = [each for part in get_args(field.annotation) for each in getattr(part, "__metadata__", ())]
    return [*field.metadata, *nested]


def main(arguments: list[str]) -> int:
    """Write the module, or compare it."""
    text = module()
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print("schemas/keywords.py is out of date: run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
