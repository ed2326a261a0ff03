"""Each distinct text chunk once: `chunks` cuts turns to the encoder's context, `chunk_vectors` embeds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.models.resolved import Model
from curation.storage.rows import ShardRows, vector_array
from curation.storage.store import read_shard
from schemas.columns import vector
from schemas.stages import Aligned, Input, Prepared, Task

LENGTH_STEP = 16  # tokens
CHUNKS = pa.schema(
    [
        pa.field(
            "chunks",
            pa.list_(pa.struct([pa.field("hash", pa.binary(16)), pa.field("text", pa.string())])),
            nullable=False,
        )
    ]
)


# The turns of the samples of a shard; what is in quarantine counts as empty.
TURNS = ShardRows((("samples", ("turns", "error")),), 256)


@dataclass(frozen=True)
class Chunks(Prepared):
    """`chunks`: a turn pair is a chunk, split where the encoder's context is shorter; nothing is cut off."""

    model: Model
    name: str = "chunks"

    source: ClassVar[ShardRows] = TURNS
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = CHUNKS

    def params(self) -> dict[str, Any]:
        return {"model": self.model.key}

    def prepare(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        split = self.model.encoder().split
        rows = zip(piece["turns"].to_pylist(), piece["error"].to_pylist(), strict=True)
        chunks = [[] if error else _chunks(turns, split) for turns, error in rows]
        return pa.record_batch([pa.array(chunks, CHUNKS.field(0).type)], schema=CHUNKS)


def _chunks(turns: list[dict[str, str]], split: Any) -> list[dict[str, Any]]:
    texts: list[str] = []
    for turn in turns:
        text = turn["text"].replace("<image>", " ").strip()
        if turn["role"] == "assistant" and texts:
            texts[-1] = f"{texts[-1]}\n{text}".strip()
        else:
            texts.append(text)
    pieces = [piece for text in texts if text for piece in split(text)]
    return [
        {
            "hash": hashlib.blake2b(piece.encode("utf-8", "surrogatepass"), digest_size=16).digest(),
            "text": piece,
        }
        for piece in pieces
    ]


@dataclass(frozen=True)
class DistinctChunks:
    """Source: the chunks first seen in a shard of the pool, some hundreds at a time.

    `prefix` is that of the names of the tables it reads.
    """

    prefix: str = ""

    batch: ClassVar[int] = 1024

    @property
    def inputs(self) -> tuple[Input, ...]:
        return (Aligned(f"{self.prefix}distinct_chunks"), Aligned(f"{self.prefix}chunks"))

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        index = read_shard(task.path(f"{self.prefix}distinct_chunks"))
        yield from index.combine_chunks().to_batches(max_chunksize=self.batch)

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[list[str]]:
        lists = _texts(task.path(f"{self.prefix}chunks"))
        where = zip(rows["sample_row"].to_pylist(), rows["position"].to_pylist(), strict=True)
        yield [lists[sample][position]["text"] for sample, position in where]


@lru_cache(maxsize=8)
def _texts(path: str) -> list[list[dict[str, Any]]]:
    lists: list[list[dict[str, Any]]] = read_shard(path, ["chunks"])["chunks"].to_pylist()
    return lists


@dataclass(frozen=True)
class EmbedTexts:
    """`chunk_vectors`: one unit vector a distinct chunk."""

    model: Model
    batch: int
    source: DistinctChunks = DistinctChunks()
    name: str = "chunk_vectors"

    version: ClassVar[int] = 1

    @property
    def writes(self) -> pa.Schema:
        return pa.schema([vector("vector", self.model.dim)])

    def params(self) -> dict[str, Any]:
        return {"model": self.model.key, "batch": self.batch}

    def prepare(self, piece: list[str]) -> NDArray[np.int64]:
        return self.model.encoder().tokenize(piece)

    def finish(self, rows: pa.RecordBatch, prepared: list[NDArray[np.int64]]) -> pa.RecordBatch:
        """Texts of like length go through the model together, cut to what they use: most are short.

        A text's length is rounded up by itself, and batches are always full, so that its vector depends
        neither on its neighbours nor on the shard: the shape of a forward pass is part of its bits.
        """
        encoder, tokens = self.model.encoder(), prepared[0]
        steps = -(-np.asarray(encoder.used_lengths(tokens)) // LENGTH_STEP)
        vectors = np.zeros((len(tokens), self.model.dim), np.float32)
        for step in np.unique(steps):
            alike = np.flatnonzero(steps == step)
            length = min(int(step) * LENGTH_STEP, tokens.shape[1])
            for start in range(0, len(alike), self.batch):
                members = alike[start : start + self.batch]
                full = np.resize(members, self.batch)
                vectors[members] = encoder.encode_texts(tokens[full, :length])[: len(members)]
        return pa.record_batch([vector_array(vectors, np.ones(len(tokens), bool))], schema=self.writes)
