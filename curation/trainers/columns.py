"""What `datasets` cannot load: it makes columns of the keys, and fixes their types by what it sees first.

That is the first 10 MB of the first JSONL file, or the whole first array. Measured with datasets 4.0.0, 4.8.4
and 5.2.0 on generated files; tests/test_trainers.py repeats it with the one that is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from curation.trainers.rules import CRASH, OLD, Problem, Record, Trainer, shown

BEGINNING = 10 << 20  # bytes
_LOADER = "datasets/packaged_modules/json/json.py: Json._generate_tables"
_NULL, _NUMBER, _TEXT = "null", "a number", "a string"
_MOST = 5000  # places; keys that are data are not looked at to their end
_DEEP = 4
_KINDS = {bool: "a boolean", int: _NUMBER, float: _NUMBER, str: _TEXT, list: "a list", dict: "an object"}


@dataclass
class Columns:
    """The kinds of values that were seen, by where they stand: `image`, `conversations[].value`."""

    begun: dict[str, set[str]] = field(default_factory=dict)  # in the beginning
    kinds: dict[str, str] = field(default_factory=dict)  # the first kind of each place that is no null
    said: set[tuple[str, str]] = field(default_factory=set)

    def see(self, record: Record, *, beginning: bool) -> list[tuple[str, Problem]]:
        """What `record` has that columns cannot hold, each place once.

        Returns:
            Whom it concerns, `OLD` or "" for all who use `datasets`, and what it is.
        """
        found = []
        for where, kind in _places(record):
            if kind != _NULL and self.kinds.setdefault(where, kind) != kind:
                sentence = f"{where!r} is {kind} here and {self.kinds[where]} before"
                found.append((OLD, Problem("mixed_types", CRASH, _LOADER, sentence)))
            if beginning:
                if len(self.begun) < _MOST:
                    self.begun.setdefault(where, set()).add(kind)
            elif kind != _NULL and (late := self._late(where, kind)):
                found.append(("", Problem("late_column", CRASH, _LOADER, late)))
        return [each for each in found if self._is_new(each[1])]

    def _late(self, where: str, kind: str) -> str | None:
        if len(self.begun) >= _MOST:
            return None
        before = self.begun.get(where, set()) - {_NULL}
        if not before:
            return f"{where!r} has its first value here, behind the part of the data that decides on columns"
        if kind == _TEXT and before == {_NUMBER}:
            return f"{where!r} is a string here, and a number wherever it decides on the column"
        return None

    def _is_new(self, problem: Problem) -> bool:
        """Whether it is the first about its place, or one that this place is inside."""
        place = problem.sentence.split("'")[1]
        told = {above for rule, above in self.said if rule == problem.rule}
        self.said.add((problem.rule, place))
        return not any(place == above or place.startswith((f"{above}.", f"{above}[")) for above in told)


def concerns(trainer: Trainer, whom: str) -> bool:
    """Does what `Columns` found concern a trainer?"""
    return bool(trainer.datasets) and whom in ("", trainer.datasets)


def _places(value: Any, where: str = "", deep: int = 0) -> Iterator[tuple[str, str]]:
    """(place, kind) of every value in a record, objects and lists before what is in them."""
    if deep > _DEEP:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            place = f"{where}.{key}" if where else str(key)
            yield place, _kind(item)
            yield from _places(item, place, deep + 1)
    elif isinstance(value, list):
        for item in value[:64]:
            yield f"{where}[]", _kind(item)
            yield from _places(item, f"{where}[]", deep + 1)


def _kind(value: Any) -> str:
    return _NULL if value is None else _KINDS.get(type(value), shown(type(value).__name__))
