"""Which settings of curate.toml each command takes: as flags on the command line, as keywords in Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any, get_origin

from schemas.errors import ConfigError

RESOURCES = (
    "run.engine",
    "run.master",
    "run.spark_conf",
    "run.partitions",
    "run.memory",
    "run.workers",
    "run.max_errors",
)
INGEST = ("run.shard_rows", "embed.batch", "images", "read")
EMBED = ("embed.model", "run.device", *INGEST)
SCORE = ("capability", "endpoint", "embed.phrases", "vlm", "score", *EMBED)
CLUSTER = ("cluster", "run.seed", "gradient", *SCORE)
PRUNE = ("prune", *CLUSTER)
DECONTAMINATE = ("decontaminate",)
SELECT = ("select", *DECONTAMINATE, *PRUNE)
# Dotted names of settings, and whole sections. What a flag is called and says stands beside the setting.
TAKES: dict[str, tuple[str, ...]] = {
    "ingest": (*INGEST, *RESOURCES),
    "embed": (*EMBED, *RESOURCES),
    "score": (*SCORE, *RESOURCES),
    "cluster": (*CLUSTER, *RESOURCES),
    "prune": (*PRUNE, *RESOURCES),
    "select": (*SELECT, *RESOURCES),
    "run": (*SELECT, *RESOURCES),
    "export": (*SELECT, *RESOURCES),
    "status": SELECT,
    "clusters": (*CLUSTER, *RESOURCES),
    "compare": (*SELECT, *RESOURCES),
    "proof": (*SELECT, *RESOURCES),
    "mix": (*SELECT, *RESOURCES),
    "search": ("embed.model", "run.device"),
    "explore": ("embed.model", "run.device"),
    "decontaminate": (*DECONTAMINATE, *EMBED, *RESOURCES),
    "annotate": (*CLUSTER, *RESOURCES),
    "train-scorer": (*EMBED, *RESOURCES),
    "convert": ("images", "read"),
    "validate": ("read", "images", "embed.model"),
}


@cache
def declared() -> dict[str, Any]:
    """Every setting that has a flag, as pydantic's field, by dotted key in the order of curate.toml."""
    from schemas.config import Config

    return {
        f"{section}.{name}": field
        for section, part in Config.model_fields.items()
        for name, field in getattr(part.annotation, "model_fields", {}).items()
        if field.json_schema_extra
    }


def flag_of(key: str) -> tuple[str, str | None]:
    """The flag of a setting, and what it takes: `--eps E` as ("--eps", "E")."""
    flag, _, metavar = declared()[key].json_schema_extra["flag"].partition(" ")
    return flag, metavar or None


def keyword_of(key: str) -> str:
    """The keyword of a setting: its flag as Python spells it.

    >>> keyword_of("prune.to")
    'prune_to'
    """
    return flag_of(key)[0].removeprefix("--").replace("-", "_")


@cache
def keywords(command: str) -> dict[str, str]:
    """The keywords of a command's settings, and the dotted key of each."""
    return {keyword_of(key): key for name in TAKES[command] for key in keys_of(name)}


def keys_of(name: str) -> list[str]:
    """The settings that `name` stands for: itself, or all with a flag of a section."""
    return [name] if "." in name else [key for key in declared() if key.startswith(f"{name}.")]


def overrides(command: str, given: Mapping[str, Any], others: Sequence[str] = ()) -> dict[str, Any]:
    """Settings by dotted key of a command's keywords. One value where several may stand is one of them.

    Args:
        command: a key of TAKES.
        given: keywords and values; None says nothing.
        others: the keywords that the method has besides, for the error.

    Raises:
        TypeError: there is no such keyword; the message says which may be meant.
        ConfigError: a value is not allowed.
    """
    from schemas.config import Config

    known = keywords(command)
    unknown = [name for name in given if name not in known]
    if unknown:
        raise TypeError(_unknown(command, unknown[0], [*known, *others]))
    found = {known[name]: _plain(known[name], value) for name, value in given.items() if value is not None}
    try:
        Config().override(found)
    except ConfigError as error:
        sentence = str(error)
        for key in found:
            sentence = sentence.replace(f"{key}:", f"{keyword_of(key)}:")
        raise ConfigError(sentence) from None
    return found


def _unknown(command: str, name: str, known: Sequence[str]) -> str:
    method = command.replace("-", "_")
    sentence = f"{method}() has no keyword {name!r}"
    # As curate.toml calls it.
    alike = [keyword_of(key) for key in declared() if key.rpartition(".")[2] == name]
    alike = [other for other in alike if other in known] or get_close_matches(name, known, 2, 0.7)
    if alike:
        return f"{sentence}; did you mean {' or '.join(alike)}?"
    takers = [other for other in TAKES if name in keywords(other)]
    if takers:
        return f"{sentence}; {takers[0].replace('-', '_')}() has it"
    return f"{sentence}; `curate {command} --help` lists its flags, which are the keywords"


def _plain(key: str, value: Any) -> Any:
    """A value as curate.toml would hold it."""
    if key in PARSED:
        return PARSED[key](value)
    if get_origin(declared()[key].annotation) is tuple:
        return tuple(map(_spelled, several(value)))
    return _spelled(value)


def _spelled(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def several(value: Any) -> tuple[Any, ...]:
    """What stands where several may: one text or path is one of them, and is never read letter by letter.

    >>> several("img"), several(["a", "b"])
    (('img',), ('a', 'b'))
    """
    return (value,) if isinstance(value, str | bytes | os.PathLike) else tuple(value)


def pairs(values: Sequence[str] | Mapping[str, str] | str) -> dict[str, str]:
    """`KEY=VALUE`, several of them, or a dict, as a dict.

    Raises:
        ConfigError: one is no KEY=VALUE.
    """
    if isinstance(values, Mapping):
        return {str(name): str(value) for name, value in values.items()}
    texts = [values] if isinstance(values, str) else list(values)
    wrong = [text for text in texts if "=" not in text]
    if wrong:
        raise ConfigError(f"{wrong[0]!r} is no KEY=VALUE")
    return dict(text.split("=", 1) for text in texts)


def heads(values: Sequence[str] | Mapping[str, str] | str) -> dict[str, dict[str, str]]:
    """`NAME=FILE` and `NAME@text=FILE`, or a dict of them, as the tables of [score.heads].

    >>> heads(["nsfw=a.safetensors", "toxic@text=b.safetensors"])
    {'nsfw': {'path': 'a.safetensors', 'on': 'image'}, 'toxic': {'path': 'b.safetensors', 'on': 'text'}}
    """
    found = {}
    for name, path in pairs(values).items():
        name, _, on = name.partition("@")
        found[name] = {"path": path, "on": on or "image"}
    return found


# Settings that are tables, and what makes one of the values of a flag that repeats, or of a keyword.
PARSED: dict[str, Callable[[Any], object]] = {"run.spark_conf": pairs, "score.heads": heads}
