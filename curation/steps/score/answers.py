"""`answer_agreement`: ridges fitted on a sample of the pool, and how well each sample's answers follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.steps.score.scored import Scored
from curation.storage.rows import ShardRows, gather, vector_array, vectors
from curation.storage.sampling import smallest
from curation.storage.store import read_shard
from schemas.columns import vector
from schemas.stages import Output, Pool, Task, Whole
from scorers.answers import (
    FEWEST,
    FOLDS,
    OTHERS,
    WORDS,
    WRITES,
    Pairs,
    Ridges,
    agreement,
    asked_and_told,
    fitted,
    text_vectors,
    told_apart,
)

RIDGES = pa.schema([pa.field("fold", pa.int32()), vector("weights", WORDS, nullable=False)])
OTHER = pa.schema([pa.field("source", pa.string(), nullable=False), vector("answer", WORDS, nullable=False)])
SOURCES = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("auc", pa.float64(), nullable=False),
        pa.field("low", pa.float64(), nullable=False),
        pa.field("high", pa.float64(), nullable=False),
        pa.field("decides", pa.bool_(), nullable=False),
    ]
)
EVERY = ""  # the name of what is of no source
MOST_PAIRS = 4  # of a sample, to learn from
TWO_SIDED = 1.96  # standard errors of a 95 % interval


@dataclass(frozen=True)
class FitAnswers:
    """Fit: ridges from image and question to answer, and in which sources they tell answers apart."""

    dim: int
    limit: int = 16384

    name: ClassVar[str] = "answer_ridges"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("samples", "checked", "vectors")
    writes: ClassVar[dict[str, pa.Schema]] = {
        "answer_ridges": RIDGES,
        "answer_others": OTHER,
        "answer_sources": SOURCES,
    }

    def params(self) -> dict[str, Any]:
        return {"limit": self.limit, "most_pairs": MOST_PAIRS, "folds": FOLDS, "others": OTHERS}

    def run(self, pool: Pool) -> Iterator[Output]:
        shards, rows = smallest(
            pool.iterate("checked", ["uid", "error"]), self.limit, lambda shard: shard["error"].is_null()
        )
        if not len(rows):
            yield from self._nothing()
            return
        found = {table: gather(pool.paths(table), shards, rows, list(columns)) for table, columns in SAMPLES}
        pairs, sources = pairs_of(
            {name: table[name] for table in found.values() for name in table.column_names}, MOST_PAIRS
        )
        if not len(pairs.owner):
            yield from self._nothing()
            return
        ridges = fitted(pairs)
        told = ridges.told(pairs.answers)
        mine = {source: np.flatnonzero(sources == source) for source in sorted(set(sources.tolist()))}
        others = {source: told[own[:OTHERS]] for source, own in mine.items() if len(own) >= FEWEST}
        yield Output("answer_ridges", _ridges(ridges))
        yield Output("answer_others", _others(others))
        measured = []
        for source, held in others.items():
            own = mine[source]
            expected = ridges.expected(pairs.seen(own), pairs.fold[own])
            auc, error = told_apart(expected, told[own], held)
            low, high = auc - TWO_SIDED * error, auc + TWO_SIDED * error
            measured.append((source, len(own), auc, low, high, low > 0.5))
        rows_of = [dict(zip(SOURCES.names, row, strict=True)) for row in measured]
        yield Output("answer_sources", pa.RecordBatch.from_pylist(rows_of, SOURCES))

    def _nothing(self) -> Iterator[Output]:
        """Of a pool without an answer."""
        for name, schema in self.writes.items():
            yield Output(name, pa.RecordBatch.from_pylist([], schema))


def pairs_of(columns: Mapping[str, Any], most: int | None = None) -> tuple[Pairs, NDArray[np.object_]]:
    """The pairs of samples, and the source of each; at most `most` of a sample.

    Samples that show the same images are in one fold: none of them is asked what another one has taught.
    """
    owner: list[int] = []
    asked: list[str] = []
    told: list[str] = []
    errors, said = columns["error"].to_pylist(), columns["turns"].to_pylist()
    for row, (error, turns) in enumerate(zip(errors, said, strict=True)):
        if error is None:
            found = asked_and_told([(turn["role"], turn["text"]) for turn in turns])
            for question, answer in islice(found, most):
                owner.append(row)
                asked.append(question)
                told.append(answer)
    rows = np.array(owner, np.int64)
    keys = [
        pictures or text
        for pictures, text in zip(
            columns["images_hash"].to_pylist(), columns["text_hash"].to_pylist(), strict=True
        )
    ]
    folds = np.array([key[0] % FOLDS if key else 0 for key in keys], np.int64)
    sources = np.array([source or EVERY for source in columns["source"].to_pylist()], object)
    pairs = Pairs(vectors(columns["image"]), rows, text_vectors(asked), text_vectors(told), folds[rows])
    return pairs, sources[rows]


@dataclass(frozen=True)
class Fitted:
    """What `FitAnswers` has made."""

    ridges: Ridges
    others: dict[str, NDArray[np.float32]]
    decides: frozenset[str]


def answers_stage() -> Scored:
    """`answers`: see `scorers.answers`."""
    return Scored("answers", 1, WRITES, ASKED, _agree)


def _agree(piece: tuple[pa.RecordBatch, Fitted]) -> pa.RecordBatch:
    rows, fit = piece
    pairs, sources = pairs_of({name: rows[name] for name in rows.schema.names})
    scores = np.full(len(pairs.owner), np.nan)
    for source in sorted(fit.decides & set(sources.tolist())):
        own = np.flatnonzero(sources == source)
        expected = fit.ridges.expected(pairs.seen(own), pairs.fold[own])
        scores[own] = agreement(expected, fit.ridges.told(pairs.answers[own]), fit.others[source])
    valid = ~np.isnan(scores)
    n = np.bincount(pairs.owner[valid], minlength=len(rows))
    total = np.bincount(pairs.owner[valid], weights=scores[valid], minlength=len(rows))
    mean = (total / np.maximum(n, 1)).astype(np.float32)
    return pa.record_batch([pa.array(mean, mask=n == 0)], schema=WRITES)


def _with_fit(task: Task, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, Fitted]:
    return rows, _fit(*(task.artefact(name) for name in FitAnswers.writes))


SAMPLES = (
    ("samples", ("uid", "turns")),
    ("checked", ("source", "error", "images_hash", "text_hash")),
    ("vectors", ("image",)),
)
ASKED = ShardRows(SAMPLES, 256, tuple(Whole(name) for name in FitAnswers.writes), _with_fit)


@lru_cache(maxsize=2)
def _fit(ridges_path: str, others_path: str, sources_path: str) -> Fitted:
    ridges, others, sources = (read_shard(path) for path in (ridges_path, others_path, sources_path))
    fold, rows = ridges["fold"].to_pylist(), vectors(ridges["weights"])
    middle = rows[[number is None for number in fold]]
    weights = rows[[number is not None for number in fold]].astype(np.float64)
    names, answers = np.array(others["source"].to_pylist(), object), vectors(others["answer"])
    return Fitted(
        Ridges(weights.reshape(FOLDS, -1, WORDS), middle[0] if len(middle) else np.zeros(WORDS, np.float32)),
        {name: answers[names == name] for name in set(names.tolist())},
        frozenset(sources.filter(sources["decides"])["source"].to_pylist()),
    )


def _ridges(ridges: Ridges) -> pa.RecordBatch:
    rows = np.vstack([ridges.middle[None], ridges.weights.reshape(-1, WORDS)]).astype(np.float32)
    fold = [None, *np.repeat(np.arange(FOLDS), ridges.weights.shape[1]).tolist()]
    return pa.record_batch([fold, vector_array(rows, np.ones(len(rows), bool))], schema=RIDGES)


def _others(others: Mapping[str, NDArray[np.float32]]) -> pa.RecordBatch:
    names = [name for name, answers in others.items() for _ in answers]
    rows = np.vstack([np.zeros((0, WORDS), np.float32), *others.values()])
    return pa.record_batch([names, vector_array(rows, np.ones(len(rows), bool))], schema=OTHER)
