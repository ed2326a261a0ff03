"""Scores that a model behind an endpoint gives: one map stage, whatever the scorer asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from curation.stages.inputs import Aligned, Input
from curation.store import read_shard
from schemas.columns import UID
from scorers.capability import Capability
from scorers.judgement import Judgement
from scorers.questions import Asking, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from curation.endpoint.settings import Endpoint
    from curation.files import Location
    from curation.keys import Stage
    from curation.models.resolved import Model
    from schemas.config import Config
    from schemas.protocols import Task

# Samples a batch at least: two or three batches are under way at once, and all slots should be.
LEAST = 64
QUARANTINED = Reply(reason="quarantined: the record cannot be used")


@dataclass(frozen=True)
class SamplesToAsk:
    """Source: what is said of each sample, where its images lie, and whether it is usable."""

    batch: int
    max_pixels: int

    inputs: ClassVar[tuple[Input, ...]] = (Aligned("samples"), Aligned("checked"))

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        samples = read_shard(task.inputs["samples"][task.number], ["uid", "turns", "images"])
        error = read_shard(task.inputs["checked"][task.number], ["error"])["error"]
        yield from samples.append_column("error", error).combine_chunks().to_batches(max_chunksize=self.batch)

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield rows


@dataclass(frozen=True)
class Ask:
    """The table of `scorer`: its questions about every usable sample, put to `endpoint`.

    `prepare` sends and `finish` waits, so the requests of several batches are under way at once.
    """

    source: SamplesToAsk
    scorer: Asking
    endpoint: Endpoint

    shape: ClassVar[str] = "map"

    @property
    def name(self) -> str:
        return self.scorer.name

    @property
    def version(self) -> int:
        return self.scorer.version

    @property
    def writes(self) -> pa.Schema:
        return pa.schema([UID, *self.scorer.writes])

    def params(self) -> dict[str, Any]:
        questions = self.scorer.questions()
        # Other backends write the same table: which of them did must show.
        return {
            "backend": "endpoint",
            "questions": [question.name for question in questions],
            "endpoint": self.endpoint.key(questions),
        }

    def prepare(self, piece: pa.RecordBatch) -> list[list[Future[Reply]] | None]:
        return [
            None if row["error"] else submit(self.endpoint, self.scorer, row, self.source.max_pixels)
            for row in piece.to_pylist()
        ]

    def finish(self, rows: pa.RecordBatch, prepared: list[Any]) -> pa.RecordBatch:
        replies = [
            [QUARANTINED] if futures is None else [future.result() for future in futures]
            for futures in prepared[0]
        ]
        return pa.record_batch([rows["uid"], *self.scorer.score(replies).columns], schema=self.writes)


def submit(endpoint: Endpoint, scorer: Asking, row: dict[str, Any], max_pixels: int) -> list[Future[Reply]]:
    """The replies to all that `scorer` asks about a row of `samples` (turns, images), once they are there."""
    from curation.endpoint.asker import asker

    sample, asking = sample_of(endpoint, row, max_pixels), asker(endpoint)
    return [asking.submit(sample, question) for question in scorer.questions()]


def sample_of(endpoint: Endpoint, row: dict[str, Any], max_pixels: int) -> Any:
    """A row of `samples` (turns, images) as what is asked about."""
    from curation.endpoint.requests import Pictures, Sample

    turns = tuple((turn["role"], turn["text"]) for turn in row["turns"])
    return Sample(turns, Pictures(row["images"], endpoint.side, max_pixels))


def endpoint_capability(config: Config, model: Callable[[], Model], root: Location) -> list[Stage]:
    """The backend `endpoint` of `capability`."""
    return [_asking(config, root, Capability(config.endpoint.mode))]


def judgement_stages(config: Config, root: Location) -> list[Stage]:
    """The stage of the four judgements where they are asked for."""
    return [_asking(config, root, Judgement())] if config.endpoint.judge else []


def _asking(config: Config, root: Location, scorer: Asking) -> Ask:
    from curation.endpoint.dialect import known_endpoint

    batch = max(LEAST, config.endpoint.concurrency)
    return Ask(SamplesToAsk(batch, config.images.max_pixels), scorer, known_endpoint(config, root))
