"""What trainers would do with records that are validated: who is asked, and what each would trip over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation.commands.validate_tally import Place, Tally
from curation.readers.compressed import codec_of, opened
from curation.readers.json_records import layout_of
from curation.readers.keys import Keys
from curation.readers.records import BadRecord, parse
from curation.readers.row_groups import open_parquet
from curation.readers.rows import image_columns
from curation.readers.shapes import SHAPES
from curation.trainers import CRASH, EFFECTS, TRAINERS, Problem, Trainer, check
from curation.trainers.columns import BEGINNING, Columns, concerns
from curation.trainers.llama_factory import LLAMA_FACTORY, as_named
from curation.trainers.rules import ARRAY, HF, LINES, PACKED, PARQUET
from schemas.errors import BAD_ARCHIVE, BAD_JSON, ConfigError
from schemas.protocols import ImageAt, Record

# Records at the beginning that say which trainers the data is for.
PEEKED = 100
_NO_JSON = Problem("no_json", CRASH, "json.load, json.loads, or datasets", "the record is not JSON")


@dataclass
class Judge:
    """One trainer, and what it would trip over."""

    trainer: Trainer
    problems: Tally
    records: Counter[str] = field(default_factory=Counter)  # by the worst of their effects
    told: dict[str, tuple[str, str]] = field(default_factory=dict)  # effect and source of each rule

    def judge(self, problems: Sequence[Problem], place: Place) -> None:
        """Count what was found in one record."""
        if problems:
            self.records[min((problem.effect for problem in problems), key=EFFECTS.index)] += 1
        # A rule counts once a record, whatever number of images it is about.
        for rule, problem in {problem.rule: problem for problem in reversed(problems)}.items():
            self.problems.add(rule, place, problem.sentence)
            self.told.setdefault(rule, (problem.effect, problem.source))

    def tree(self) -> dict[str, Any]:
        """Its records by effect, and its problems, crashes first."""
        found = [
            {"rule": rule, "effect": self.told[rule][0], "source": self.told[rule][1], **counted}
            for rule, counted in self.problems.tree().items()
        ]
        return {
            "records": {effect: self.records[effect] for effect in EFFECTS},
            "problems": sorted(found, key=lambda problem: EFFECTS.index(problem["effect"])),
        }


class Judges:
    """The trainers that are asked: those that the user names, else those that the first records are for."""

    def __init__(self, asked: Sequence[str], limit: int | None) -> None:
        unknown = [name for name in asked if name not in TRAINERS]
        if unknown:
            raise ConfigError(f"there is no trainer {unknown[0]!r}; known are {', '.join(TRAINERS)}")
        self.asked, self.limit = asked, limit
        self.judges: dict[str, Judge] | None = None
        self.columns = Columns()
        self.n_bytes = 0  # of records before
        self.why: dict[str, str] = {}  # what a trainer would trip over first

    def peek(self, container: str, values: Sequence[Any]) -> None:
        """Choose who judges, by the values of the first records."""
        if self.judges is not None:
            return
        objects = [value for value in values[:PEEKED] if isinstance(value, dict)]
        chosen = self.asked or [
            name
            for name, trainer in TRAINERS.items()
            if container in trainer.containers and 2 * sum(map(trainer.fits, objects)) > len(objects)
        ]
        self.judges = {name: Judge(TRAINERS[name], Tally(self.limit)) for name in TRAINERS if name in chosen}
        for name in TRAINERS:
            sentences = (problem.sentence for value in objects for problem in check(value, name))
            self.why[name] = next(sentences, "")

    def judge(self, read: Read, place: Place, container: str, *, first: bool) -> None:
        """Put one record before every trainer. `first`: it stands in the first file."""
        judges = (self.judges or {}).values()
        broken = read.record.error is not None and read.record.error[0] in (BAD_JSON, BAD_ARCHIVE)
        found = self._columns(read, container, first) if judges and not broken else []
        for judge in judges:
            problems = (
                [_NO_JSON] if broken else check(read.seen_by(judge.trainer), judge.trainer.name, read.lost)
            )
            problems += [problem for whom, problem in found if concerns(judge.trainer, whom)]
            judge.judge(problems, place)

    def _columns(self, read: Read, container: str, first: bool) -> list[tuple[str, Problem]]:
        if not isinstance(read.value, dict) or container not in (ARRAY, LINES, PACKED):
            return []
        beginning = first and (container == ARRAY or self.n_bytes < BEGINNING)
        self.n_bytes += len(read.record.raw) + 1
        return self.columns.see(read.value, beginning=beginning)

    def tree(self, container: str) -> list[dict[str, Any]]:
        """Every trainer; of one that is not asked why not."""
        return [self._tree(trainer, container) for trainer in TRAINERS.values()]

    def _tree(self, trainer: Trainer, container: str) -> dict[str, Any]:
        judge = (self.judges or {}).get(trainer.name)
        fits = container in trainer.containers
        return {
            "name": trainer.name,
            "title": trainer.title,
            "version": trainer.version,
            "judged": judge is not None,
            "opens_the_file": fits,
            "reads": trainer.reads,
            **(judge.tree() if judge else {"why": self.why.get(trainer.name, "")}),
        }


@dataclass(frozen=True)
class Read:
    """A record, what a trainer sees of it, and which of its images it could not open.

    `entry` is what a dataset_info.json says of the file, if there is one.
    """

    record: Record
    value: Any
    lost: Mapping[str, str]
    entry: Mapping[str, Any] | None = None

    def seen_by(self, trainer: Trainer) -> Any:
        """The record as it stands, or for LLaMA-Factory as it is told to see it."""
        if self.entry is None or trainer.name != LLAMA_FACTORY.name or not isinstance(self.value, dict):
            return self.value
        return as_named(self.value, self.entry)


def container_of(reader: str, file: Path) -> str:
    """How the records of a file are kept: one of `CONTAINERS`, or the name of its reader.

    Raises:
        ReadError: the file is none of its reader's.
    """
    if reader in ("parquet", "hf"):
        return {"parquet": PARQUET, "hf": HF}[reader]
    if reader not in SHAPES and reader != "llama_factory":
        return reader
    with file.open("rb") as handle:
        if codec_of(handle.read(4)) is not None:
            return PACKED
    with opened(file) as handle:
        return LINES if layout_of(handle, file).lines else ARRAY


def image_columns_of(container: str, file: Path, keys: Keys) -> dict[str, Any]:
    """The columns of images in a Parquet file, each as a row has it that has no image.

    Raises:
        ReadError: it is no Parquet.
    """
    if container != PARQUET:
        return {}
    with open_parquet(file) as table:
        return dict.fromkeys(image_columns(table.schema_arrow, keys))


def values_of(records: Sequence[Record], container: str, columns: Mapping[str, Any]) -> Iterator[Any]:
    """Records as a trainer sees them; None where one cannot be parsed."""
    for record in records:
        try:
            value = parse(record.raw)
        except BadRecord:
            value = None
        if container in (PARQUET, HF) and isinstance(value, dict):
            value = {**value, **columns, **_stored(record.images)}
        yield value


def _stored(images: Sequence[ImageAt]) -> dict[str, Any]:
    """Images of a row as structs of `path` and, where the file has them, `bytes`."""
    structs = [{"path": image.path, "bytes": image.container is not None} for image in images]
    parts = next((image.column.split(".") for image in images if image.column), None)
    if not structs:
        return {}
    if parts is None:
        parts = ["image"] if len(structs) == 1 else ["images", "0"]
    nested = len(structs) > 1 or any(part.isdigit() for part in parts)
    return {parts[0]: structs if nested else structs[0]}
