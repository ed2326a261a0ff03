"""Scores that a model behind an endpoint gives: one map stage, whatever the scorer asks."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curation.endpoint.address import Endpoint
from curation.endpoint.asker import asker
from curation.endpoint.dialect import known_endpoint
from curation.endpoint.requests import Pictures, Sample
from curation.steps.context import Context
from curation.storage.rows import ShardRows
from schemas.columns import UID
from schemas.stages import Stage
from scorers.capability import Capability
from scorers.judgement import Judgement
from scorers.questions import Asking, Reply

# Samples a batch at least: two or three batches are under way at once, and all slots should be.
LEAST = 64
QUARANTINED = Reply(reason="quarantined: the record cannot be used")


@dataclass(frozen=True)
class Ask:
    """The table of `scorer`: its questions about every usable sample, put to `endpoint`.

    `prepare` sends and `finish` waits, so the requests of several batches are under way at once.
    """

    source: ShardRows
    scorer: Asking
    endpoint: Endpoint
    max_pixels: int

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
            None if row["error"] else submit(self.endpoint, self.scorer, row, self.max_pixels)
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
    sample, asking = sample_of(endpoint, row, max_pixels), asker(endpoint)
    return [asking.submit(sample, question) for question in scorer.questions()]


def sample_of(endpoint: Endpoint, row: dict[str, Any], max_pixels: int) -> Sample:
    """A row of `samples` (turns, images) as what is asked about."""
    turns = tuple((turn["role"], turn["text"]) for turn in row["turns"])
    return Sample(turns, Pictures(row["images"], endpoint.side, max_pixels))


def endpoint_capability(context: Context) -> list[Stage]:
    """The backend `endpoint` of `capability`."""
    return [_asking(context, Capability(context.config.endpoint.mode))]


def judgement_stages(context: Context) -> list[Stage]:
    """The stage of the four judgements where they are asked for."""
    return [_asking(context, Judgement())] if context.config.endpoint.judge else []


def _asking(context: Context, scorer: Asking) -> Ask:
    config = context.config
    read = (("samples", ("uid", "turns", "images")), ("checked", ("error",)))
    source = ShardRows(read, max(LEAST, config.endpoint.concurrency))
    return Ask(source, scorer, known_endpoint(config, context.root), config.images.max_pixels)
