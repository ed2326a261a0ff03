"""What is there, what is missing, and running what is missing. Knows stages by shape, not by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from curation.catalog import may_be_old
from curation.executor.keys import fixed_key, keys_of
from curation.readers.sources import FoundSpan
from curation.storage.store import Store
from schemas.errors import NotDeterministic, ReadError, TooManyErrors
from schemas.protocols import Progress
from schemas.stages import (
    Engine,
    GroupStage,
    Linked,
    MapStage,
    PoolStage,
    Stage,
    Task,
    Whole,
    is_group,
    is_map,
    is_whole,
    outputs,
    reads,
)
from schemas.tables import Manifest, ShardRef


@dataclass(frozen=True)
class State:
    """How far a stage is: `fresh`, `partial`, `stale` (there, for other inputs or settings) or `missing`."""

    stage: str
    state: str
    shards: int | None  # how many there will be; None while the inputs are not known
    done: int
    rows: int | None


@dataclass
class Planner:
    """Walks a chain of stages in order. Holds no tables, only manifests."""

    store: Store
    engine: Engine
    progress: Progress
    spans: Sequence[FoundSpan]
    max_errors: float  # a share of the records, or a count where it is 1 or more
    computed: dict[str, int] = field(default_factory=dict)  # shards computed in this run, by table

    def run(self, stages: Sequence[Stage]) -> None:
        """Bring every stage up to date, fusing the maps that load the same input."""
        pending = list(stages)
        while pending:
            first = pending[0]
            done = [first]
            if is_map(first):
                fused = [stage for stage in pending if is_map(stage) and self._fuses(first, stage, pending)]
                self._map(fused)
                done = [*fused]
            elif is_group(first):
                self._group(first)
            elif is_whole(first):
                self._decide(first)
            pending = [stage for stage in pending if not any(stage is other for other in done)]

    def _fuses(self, first: MapStage, other: MapStage, pending: Sequence[Stage]) -> bool:
        waiting = {table for stage in pending for table in outputs(stage)}
        needs = {item.table for item in other.source.inputs}
        return other.source == first.source and not needs & waiting

    def _map(self, stages: Sequence[MapStage]) -> None:
        plans = {stage.name: self._keys(stage)[stage.name] for stage in stages}
        missing: dict[int, list[MapStage]] = {}
        for stage in stages:
            keys = plans[stage.name]
            known = set(self._found(stage.name, keys))
            for number, key in enumerate(keys):
                # Two shards that follow from the same inputs, such as two empty ones, are computed once.
                if key not in known:
                    known.add(key)
                    missing.setdefault(number, []).append(stage)
        by_stages: dict[tuple[str, ...], list[int]] = {}
        for number, needed in sorted(missing.items()):
            by_stages.setdefault(tuple(stage.name for stage in needed), []).append(number)
        for names, numbers in by_stages.items():
            chosen = [stage for stage in stages if stage.name in names]
            held = {table: self.store.manifest(table) for table in reads(chosen[0])}
            tasks = [self._task(chosen, number, plans, held) for number in numbers]
            with self.progress.bar(" + ".join(names), sum(task.rows for task in tasks), "rows") as bar:
                self.engine.map(chosen, tasks, bar.advance)
            for name in names:
                self.computed[name] = self.computed.get(name, 0) + len(tasks)
        for stage in stages:
            self._publish(stage.name, fixed_key(stage), plans[stage.name])

    def _decide(self, stage: PoolStage) -> None:
        plan = self._keys(stage)
        found = {table: self._found(table, keys) for table, keys in plan.items()}
        if any(len(found[table]) < len(set(keys)) for table, keys in plan.items()):
            total = self.store.manifest(stage.reads[0]).rows
            written = dict.fromkeys(plan, 0)
            with self.progress.bar(stage.name, total, "rows") as bar:
                for output in stage.run(self.store):
                    key = plan[output.table][written[output.table]]
                    written[output.table] += 1
                    if key not in found[output.table]:
                        schema = stage.writes[output.table]
                        self.store.commit(output.table, key, schema, [output.batch], links=output.links)
                bar.advance(total)
            for table, keys in plan.items():
                self.computed[table] = len(keys) - len(found[table])
        for table, keys in plan.items():
            self._publish(table, fixed_key(stage), keys)

    def _group(self, stage: GroupStage) -> None:
        bins = stage.bins(self.store)
        plan = self._keys(stage)[stage.name]
        found = self._found(stage.name, plan)
        keys = {number: key for number, key in enumerate(plan) if key not in found}
        if keys:
            held = {table: self.store.manifest(table) for table in stage.reads}
            tasks = [
                Task(
                    number,
                    shard.rows,
                    {table: {number: self._path(held[table], number)} for table in stage.columns},
                )
                for number, shard in enumerate(held[stage.reads[0]].shards)
            ]
            with self.progress.bar(stage.name, len(keys), "bins") as bar:
                self.engine.group(stage, tasks, bins, keys, bar.advance)
            self.computed[stage.name] = len(keys)
        self._publish(stage.name, fixed_key(stage), plan)

    def _publish(self, table: str, stage: dict[str, Any], keys: Sequence[str]) -> None:
        found = self._found(table, keys)
        shards = [found[key] for key in keys]
        if may_be_old(table):
            stage = {**stage, "pool": self.store.manifest("checked").fingerprint}
        held = self.store.find(table)
        if held is None or held.stage != stage or [s.key for s in held.shards] != list(keys):
            held = self.store.publish(table, stage, shards)
        if table in ("samples", "checked"):
            self._check_errors(held)

    def _check_errors(self, manifest: Manifest) -> None:
        if manifest.rows == manifest.errors:
            raise ReadError(
                f"no record could be read: all {manifest.rows:,} are bad; see `curate status --errors`"
                if manifest.rows
                else "the pool is empty: the data files hold no records"
            )
        allowed = self.max_errors * manifest.rows if self.max_errors < 1 else self.max_errors
        limit = f"{self.max_errors:.3g} of all" if self.max_errors < 1 else f"{self.max_errors:,.0f}"
        if manifest.errors > allowed:
            raise TooManyErrors(
                f"{manifest.errors:,} of {manifest.rows:,} records are bad, more than the {limit} that "
                "--max-errors allows; "
                "see them with `curate status --errors`"
            )

    def _keys(self, stage: Stage) -> dict[str, list[str]]:
        return keys_of(stage, self.store, self.spans)

    def _found(self, table: str, keys: Sequence[str]) -> dict[str, ShardRef]:
        found, conflicts = self.store.committed(table, keys)
        if conflicts:
            raise NotDeterministic(
                f"table {table}: {len(conflicts)} shards were computed twice with different bytes "
                f"(first key {conflicts[0]}); this is a bug, or the machine's libraries changed under a run"
            )
        return found

    def _path(self, manifest: Manifest, number: int) -> str:
        return str(self.store.shard_path(manifest.table, manifest.shards[number].checksum))

    def _task(
        self, stages: Sequence[MapStage], number: int, plans: dict[str, list[str]], held: dict[str, Manifest]
    ) -> Task:
        keys = {stage.name: plans[stage.name][number] for stage in stages}
        needed = stages[0].source.inputs
        if not needed:
            found = self.spans[number]
            return Task(number, found.value.span.n_records, keys=keys, value=found.value)
        paths: dict[str, dict[int, str]] = {}
        for item in needed:
            manifest = held[item.table]
            numbers: Sequence[int] = [number]
            if isinstance(item, Linked):
                numbers = held[item.through].shards[number].links
            elif isinstance(item, Whole):
                numbers = range(len(manifest.shards))
            paths[item.table] = {n: self._path(manifest, n) for n in numbers}
        rows = held[needed[0].table].shards[number].rows
        return Task(number, rows, paths, keys)

    def states(self, stages: Sequence[Stage]) -> list[State]:
        """How far each stage is. Computes nothing: behind a stage that is not fresh, shards are unknown."""
        fresh: set[str] = set()
        found = []
        for stage in stages:
            state = self._state(stage, fresh)
            if state.state == "fresh":
                fresh |= set(outputs(stage))
            found.append(state)
        return found

    def _state(self, stage: Stage, fresh: set[str]) -> State:
        table = outputs(stage)[0]
        held = self.store.find(table)
        there = "missing" if held is None else "stale"
        if not set(reads(stage)) <= fresh:
            return State(stage.name, there, None, 0, None)
        keys = self._keys(stage)[table]
        found = self._found(table, keys)
        rows = sum(found[key].rows for key in keys if key in found)
        if len(found) == len(set(keys)) and held is not None and [s.key for s in held.shards] == keys:
            return State(stage.name, "fresh", len(keys), len(keys), rows)
        return State(stage.name, "partial" if found else there, len(keys), len(found), rows)
