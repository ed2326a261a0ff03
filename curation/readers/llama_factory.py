"""LLaMA-Factory: a folder whose `dataset_info.json` says how the records of each file are laid out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from curation.readers import json_records
from curation.readers.exchange import alpaca
from curation.readers.messages import messages
from curation.readers.records import BadRecord, Images, Shape, Turns, canonical, never, turn_text
from schemas.errors import BAD_TURN, UNSUPPORTED_RECORD, ReadError
from schemas.protocols import Record, Span

INFO = "dataset_info.json"
_ALPACA = {
    "instruction": "prompt", "input": "query", "output": "response", "history": "history", "system": "system"
}  # fmt: skip
_ALPACA_DEFAULTS = {"prompt": "instruction", "query": "input", "response": "output"}
_ROLES = ("user", "assistant", "observation", "function", "system")
_TAGS = {
    "role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt",
    "observation_tag": "observation", "function_tag": "function_call", "system_tag": "system",
}  # fmt: skip


@dataclass(frozen=True)
class LlamaFactory:
    """The files that `dataset_info.json` names and that are here, as it says. Spans are those of JSON."""

    name: ClassVar[str] = "llama_factory"
    version: ClassVar[int] = 1

    def files(self, path: Path) -> list[Path]:
        """The data files, each once, in the order of dataset_info.json."""
        folder = path if path.is_dir() else path.parent
        if not (folder / INFO).is_file() or (path.is_file() and path.name != INFO):
            return []
        found = [folder / file for file in _entries(folder / INFO)]
        return [file for file in found if file.is_file() and file.name.endswith(json_records.SUFFIXES)]

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        return json_records.spans(file, rows)

    def stamp(self, file: Path) -> int:
        found = (folder / INFO for folder in file.parents if (folder / INFO).is_file())
        return max((info.stat().st_mtime_ns for info in found), default=0)

    def read(self, file: Path, span: Span) -> Iterator[Record]:
        return json_records.read(file, span, schema_of_file(file))


def schema_of_file(file: Path) -> Shape:
    """How the records of `file` are laid out, as the nearest dataset_info.json above it says.

    Raises:
        ReadError: none names it.
    """
    return _shape(entry_of_file(file))


def entry_of_file(file: Path) -> dict[str, Any]:
    """What the nearest dataset_info.json above `file` says of it.

    Raises:
        ReadError: none names it.
    """
    for folder in file.parents:
        if (folder / INFO).is_file():
            entry = _entries(folder / INFO).get(file.relative_to(folder).as_posix())
            if entry is not None:
                return entry
    raise ReadError(f"{file} is named in no {INFO} above it")


def _entries(info: Path) -> dict[str, dict[str, Any]]:
    """The entries of dataset_info.json by their files; of several for one file the first."""
    try:
        tree = json.loads(info.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ReadError(f"{info} cannot be read: {error}") from None
    found: dict[str, dict[str, Any]] = {}
    for entry in tree.values() if isinstance(tree, dict) else ():
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if isinstance(name, str) and name and ".." not in Path(name).parts and not Path(name).is_absolute():
            found.setdefault(Path(name).as_posix(), entry)
    return found


def _shape(entry: dict[str, Any]) -> Shape:
    if entry.get("ranking"):
        sentence = f"{INFO} says that the records hold preferences (ranking); give conversations"
        return Shape(never, lambda _: _refuse(sentence))
    columns, tags = (_names(entry.get(key)) for key in ("columns", "tags"))
    if entry.get("formatting", "alpaca") == "alpaca":
        return Shape(never, lambda record: alpaca(_as_alpaca(record, columns)))
    return Shape(never, lambda record: _chat(record, columns, {**_TAGS, **tags}))


def _names(value: Any) -> dict[str, str]:
    """Names by what they stand for; what is no name is left out."""
    if not isinstance(value, dict):
        return {}
    return {key: name for key, name in value.items() if isinstance(name, str)}


def _refuse(sentence: str) -> tuple[Turns, Images]:
    raise BadRecord(UNSUPPORTED_RECORD, sentence)


def _as_alpaca(record: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    found = {
        ours: record.get(columns.get(theirs, _ALPACA_DEFAULTS.get(theirs, theirs)))
        for ours, theirs in _ALPACA.items()
    }
    return {**found, "images": record.get(columns.get("images", "images"))}


def _chat(record: dict[str, Any], columns: dict[str, str], tags: dict[str, str]) -> tuple[Turns, Images]:
    roles = {tags[f"{role}_tag"]: role for role in _ROLES}
    said = []
    turns = record.get(columns.get("messages", "conversations"))
    for number, turn in enumerate(turns if isinstance(turns, list) else (), 1):
        if not isinstance(turn, dict):
            raise BadRecord(BAD_TURN, f"turn {number} is no object")
        who = turn_text(turn, number, tags["role_tag"])
        if roles.get(who, "") in ("observation", "function"):
            raise BadRecord(UNSUPPORTED_RECORD, f"turn {number} calls a tool or is its answer (role {who!r})")
        said.append({"role": roles.get(who, who), "content": turn.get(tags["content_tag"])})
    found, images = messages({"messages": said, "images": record.get(columns.get("images", "images"))})
    system = record.get(columns.get("system", "system"))
    if isinstance(system, str) and system:
        found = (("system", canonical(system)), *found)
    return found, images
