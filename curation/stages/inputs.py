"""How a stage names the shards it reads; from this follow its keys, its order in the chain and its paths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Aligned:
    """The shard of `table` with the same number."""

    table: str


@dataclass(frozen=True)
class Linked:
    """The shards of `table` that rows of the same-numbered shard of `through` point into."""

    table: str
    through: str


@dataclass(frozen=True)
class Whole:
    """Every shard of `table`: artefacts of fit stages."""

    table: str


Input = Aligned | Linked | Whole
