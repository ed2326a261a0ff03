"""Synthetic quality: `text_flags` of samples, `openings` and `words` of the pool, and `quality` of both."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.steps.ingest.samples import SAMPLES_WITH_IMAGES, SampleImages, images_of
from curation.steps.score.scored import Scored
from curation.storage.rows import ShardRows
from curation.storage.sampling import sample
from curation.storage.store import read_shard
from schemas.stages import Linked, Output, Pool, Task, Whole
from scorers.quality.openings import mine, opening
from scorers.quality.truncation import Lexicon, words
from scorers.synthetic import IMAGE_COLUMNS, Synthetic
from scorers.text_flags import TextFlags

OPENINGS = pa.schema(
    [
        pa.field("opening", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
    ]
)
WORDS = pa.schema(
    [pa.field("word", pa.string(), nullable=False), pa.field("count", pa.int64(), nullable=False)]
)
# Bounds what a pool of many languages leaves; a pool in English has about 50,000 words.
MOST_WORDS = 1 << 18


def flag_stage() -> Scored:
    """`text_flags`: see `scorers.text_flags`. What tells languages and encodings is part of the result."""
    settings = {"py3langid": version("py3langid"), "ftfy": version("ftfy"), "zlib": zlib.ZLIB_RUNTIME_VERSION}
    return Scored("text_flags", TextFlags.version, TextFlags.writes, SAMPLES_WITH_IMAGES, _flag, settings)


def _flag(piece: SampleImages) -> pa.RecordBatch:
    return TextFlags().score(piece.rows)


@dataclass(frozen=True)
class MineTexts:
    """Fit: how answers begin (`openings`) and which words there are (`words`), of a sample of the pool."""

    limit: int = 32768

    name: ClassVar[str] = "openings"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("samples", "checked")
    writes: ClassVar[dict[str, pa.Schema]] = {"openings": OPENINGS, "words": WORDS}

    def params(self) -> dict[str, Any]:
        return {"limit": self.limit, "most_words": MOST_WORDS}

    def run(self, pool: Pool) -> Iterator[Output]:
        drawn = sample(
            pool, self.limit, table="samples", columns=["turns"], among="checked", wanted="error", valid=False
        )
        counts: Counter[str] = Counter()
        begun = []
        for turn in _turns(drawn):
            counts.update(words(turn["text"]))
            found = opening(turn["text"]) if turn["role"] == "assistant" else None
            begun += [found[0]] if found else []
        yield Output("openings", pa.record_batch(_columns(mine(begun), OPENINGS), schema=OPENINGS))
        common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_WORDS]
        yield Output("words", pa.record_batch(_columns(sorted(common), WORDS), schema=WORDS))


def _turns(samples: pa.Table) -> Iterator[dict[str, str]]:
    """Each turn; only some samples are Python objects at a time."""
    for batch in samples.to_batches(max_chunksize=1024):
        for turns in batch["turns"].to_pylist():
            yield from turns


def _columns(rows: list[Any], schema: pa.Schema) -> list[pa.Array]:
    return [pa.array([row[place] for row in rows], field.type) for place, field in enumerate(schema)]


@dataclass(frozen=True)
class DescribedSamples:
    """Samples of a batch with their flags, the figures of their images, and what is known of the pool."""

    rows: pa.RecordBatch
    offsets: NDArray[np.int64]  # (n + 1,)
    images: pa.Table
    lexicon: Lexicon
    openings: Mapping[str, float]


def _described(task: Task, rows: pa.RecordBatch) -> DescribedSamples:
    offsets, images = images_of(task, rows, IMAGE_COLUMNS)
    lexicon, openings = _mined(task.artefact("words"), task.artefact("openings"))
    return DescribedSamples(rows.drop_columns(["places"]), offsets, images, lexicon, openings)


# The text flags of samples, their alignment and images, and what was mined of the pool.
FLAGGED = ShardRows(
    (
        ("text_flags", None),
        ("checked", ("error",)),
        ("alignment", ("alignment",)),
        ("image_places", ("places",)),
    ),
    1024,
    (Linked("images", through="image_places"), Whole("openings"), Whole("words")),
    _described,
)


@lru_cache(maxsize=2)
def _mined(words_path: str, openings_path: str) -> tuple[Lexicon, dict[str, float]]:
    known, begun = read_shard(words_path), read_shard(openings_path)
    counts = zip(known["word"].to_pylist(), known["count"].to_pylist(), strict=True)
    shares = zip(begun["opening"].to_pylist(), begun["share"].to_pylist(), strict=True)
    return Lexicon(counts), dict(shares)


def quality_stage() -> Scored:
    """`quality`: see `scorers.synthetic`."""
    return Scored("quality", Synthetic.version, Synthetic.writes, FLAGGED, _judge)


def _judge(piece: DescribedSamples) -> pa.RecordBatch:
    return Synthetic(piece.lexicon, piece.openings).score(piece)
