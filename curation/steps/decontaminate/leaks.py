"""Find what of a benchmark is in the pool: by image and by text, a shard at a time; then sample by sample.

The benchmark is held in memory (`curation.steps.decontaminate.benchmark`), the pool is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.hamming import near_codes
from clustering.neighbours import across
from clustering.runs import begins_run, place_in_run
from curation.steps.decontaminate.benchmark import (
    Benchmark,
    Images,
    about_samples,
    held_images,
    held_phrases,
    held_vectors,
    turn_texts,
)
from curation.steps.embed.texts import TURNS
from curation.steps.prune.perceptual import TELLING, bytes_of, telling
from curation.storage.ids import positions
from curation.storage.rows import ShardRows, places, vectors
from curation.storage.store import read_shard
from schemas.columns import UID
from schemas.stages import Aligned, Output, Pool, Prepared, Task
from scorers.ngrams import COMMON

if TYPE_CHECKING:
    import polars as pl

Ints = NDArray[np.int64]
Pairs = tuple[Ints, Ints, NDArray[np.float32]]  # row of a shard, item of the benchmark, similarity

IMAGE, PERCEPTUAL, EMBEDDING, TEXT = "image", "perceptual", "embedding", "text"
LEVELS = (IMAGE, PERCEPTUAL, EMBEDDING, TEXT)  # the surest first
BITS = 64  # of the hash
MOST = 8  # matches with one benchmark that an image or a text keeps

MATCH = pa.struct(
    [
        pa.field("benchmark", pa.string()),
        pa.field("item", pa.int32()),  # row of the benchmark's `images`, or of its `samples` for text
        pa.field("level", pa.string()),
        pa.field("similarity", pa.float32()),
    ]
)
MATCHES = pa.field("matches", pa.list_(MATCH), nullable=False)
LEAKS = pa.schema(
    [
        UID,
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("benchmark_uid", pa.binary(16), nullable=False),  # the first of its samples that matches so
        pa.field("benchmark_id", pa.string(), nullable=False),  # its record's own id, or else its key
        pa.field("benchmark_image", pa.binary(32)),  # sha256; null for text
        pa.field("level", pa.string(), nullable=False),
        # Of hashes the share of equal bits, of vectors the cosine, of texts the share of its n-grams.
        pa.field("similarity", pa.float32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class PoolImages:
    """The images first seen in a shard of the pool, with their hashes."""

    rows: pa.RecordBatch
    vectors: NDArray[np.float32] | None  # (n, d) where they are compared


def _hashes(task: Task, rows: pa.RecordBatch) -> PoolImages:
    return PoolImages(rows, None)


def _embedded(task: Task, rows: pa.RecordBatch) -> PoolImages:
    return PoolImages(rows, vectors(read_shard(task.path("image_vectors"), ["vector"])["vector"]))


POOL_IMAGES = (("images", ("sha256", *TELLING)),)
HASHES = ShardRows(POOL_IMAGES, made=_hashes)
EMBEDDED = ShardRows(POOL_IMAGES, further=(Aligned("image_vectors"),), made=_embedded)


@dataclass(frozen=True)
class FindImages(Prepared):
    """`image_leaks`: for each distinct image the images of benchmarks that it is, at the surest level.

    `image`: the same bytes. `perceptual`: hashes that differ in at most `bits` of 64. `embedding`: a cosine
    of at least `cosine`. Of each benchmark the MOST strongest, by level, similarity and place in it.
    """

    benchmarks: tuple[Benchmark, ...]
    levels: tuple[str, ...]
    bits: int
    cosine: float

    name: ClassVar[str] = "image_leaks"
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = pa.schema([MATCHES])

    @property
    def source(self) -> ShardRows:
        """Without vectors where none are compared: then nothing need be embedded."""
        return EMBEDDED if EMBEDDING in self.levels else HASHES

    def params(self) -> dict[str, Any]:
        levels = [level for level in LEVELS if level in self.levels and level != TEXT]
        asked = {"levels": levels, "bits": self.bits, "cosine": self.cosine}
        return {"benchmarks": _named(self.benchmarks), **asked}

    def prepare(self, piece: PoolImages) -> pa.RecordBatch:
        images = pa.Table.from_batches([piece.rows])
        told = np.flatnonzero(telling(images))
        codes = bytes_of(images["phash"], BITS // 8)
        found: list[tuple[str, str, Pairs]] = []
        for benchmark in self.benchmarks:
            held = held_images(benchmark)
            if IMAGE in self.levels:
                found.append((benchmark.name, IMAGE, _equal(images["sha256"], held)))
            if PERCEPTUAL in self.levels:
                left, right, bits = near_codes(codes[told], self.bits, held.codes)
                alike = (1 - bits / BITS).astype(np.float32)
                found.append((benchmark.name, PERCEPTUAL, (told[left], held.told[right], alike)))
            if piece.vectors is not None:
                near = across([piece.vectors], [held_vectors(benchmark)], self.cosine)
                found.append((benchmark.name, EMBEDDING, near))
        return _matches(len(images), found)


@dataclass(frozen=True)
class FindTexts(Prepared):
    """`text_leaks`: for each sample the samples of benchmarks whose n-grams it repeats (`scorers.ngrams`)."""

    benchmarks: tuple[Benchmark, ...]
    levels: tuple[str, ...]
    ngram: int
    overlap: float

    source: ClassVar[ShardRows] = TURNS
    name: ClassVar[str] = "text_leaks"
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = pa.schema([MATCHES])

    def params(self) -> dict[str, Any]:
        if TEXT not in self.levels:
            return {}
        return {"benchmarks": _named(self.benchmarks), "ngram": self.ngram, "overlap": self.overlap}

    def prepare(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        if TEXT not in self.levels:
            return _matches(len(piece), [])
        turns = turn_texts(piece)
        found = [
            (benchmark.name, TEXT, held_phrases(benchmark, self.ngram).repeated(turns, self.overlap))
            for benchmark in self.benchmarks
        ]
        return _matches(len(piece), found)


@dataclass(frozen=True)
class Leaks:
    """`leaks`: a row a sample and what it leaks, in pool order; by image at the surest level, then by text.

    A text that more than COMMON different samples repeat is a template of the pool, and no leak.
    """

    benchmarks: tuple[Benchmark, ...]

    name: ClassVar[str] = "leaks"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("checked", "image_places", "image_leaks", "text_leaks")
    writes: ClassVar[dict[str, pa.Schema]] = {"leaks": LEAKS}

    def params(self) -> dict[str, Any]:
        return {"benchmarks": _named(self.benchmarks), "common": COMMON}

    def run(self, pool: Pool) -> Iterator[Output]:
        import polars as pl

        table = pool.read("checked", ["uid", "content_hash", "error"])
        readable = table["error"].is_null().to_numpy()
        content = table["content_hash"].combine_chunks().dictionary_encode().indices.to_numpy()
        by_text = _long(pool, "text_leaks").rename({"row": "sample"})
        by_text = by_text.with_columns(content=content[by_text["sample"].to_numpy()])
        by_text = by_text.filter(pl.col("content").n_unique().over("benchmark", "item") <= COMMON)
        by_image = _of_samples(pool, _long(pool, "image_leaks"))
        rows = pl.concat([by_image, by_text.select(by_image.columns)])
        rows = rows.filter(readable[rows["sample"].to_numpy()])
        order = ["sample", "benchmark", "rank", "similarity", "item"]
        rows = rows.sort(order, descending=[name == "similarity" for name in order])
        yield Output("leaks", _rows(rows, table["uid"], self.benchmarks))


def _long(pool: Pool, table: str) -> pl.DataFrame:
    """Each match of a table on a row of its own: `row`, and the fields of MATCHES, `rank` for `level`."""
    import polars as pl

    found = pl.DataFrame(pool.read(table, ["matches"])).with_row_index("row")
    found = found.filter(pl.col("matches").list.len() > 0).explode("matches").unnest("matches")
    rank = pl.col("level").replace_strict({level: n for n, level in enumerate(LEVELS)}, return_dtype=pl.Int8)
    return found.with_columns(pl.col("row").cast(pl.Int64), rank.alias("rank")).drop("level")


def _of_samples(pool: Pool, matches: pl.DataFrame) -> pl.DataFrame:
    """Matches of images as those of the samples that show them, `sample` for `row`; of an item the surest."""
    import polars as pl

    begins = np.cumsum([0, *(shard.rows for shard in pool.manifest("images").shards)])
    wanted = np.unique(matches["row"].to_numpy())
    samples, images, start = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    for shard in pool.iterate("image_places", ["places"]):
        offsets, shards, rows = places(shard["places"].combine_chunks())
        image = (begins[shards] + rows).astype(np.int64)
        hit = np.flatnonzero(np.isin(image, wanted))
        samples.append(np.searchsorted(offsets, hit, side="right") - 1 + start)
        images.append(image[hit])
        start += len(shard)
    shown = pl.DataFrame({"sample": np.concatenate(samples), "row": np.concatenate(images)}).unique()
    found = shown.join(matches, on="row").drop("row")
    best = found.sort("rank", "similarity", descending=[False, True])
    return best.unique(["sample", "benchmark", "item"], keep="first", maintain_order=True)


def _rows(rows: pl.DataFrame, uids: pa.ChunkedArray, benchmarks: Sequence[Benchmark]) -> pa.RecordBatch:
    """The rows of `leaks`, with the benchmark's samples and images for the numbers of its items."""
    of_text = (rows["rank"] == LEVELS.index(TEXT)).to_numpy()
    item, name = rows["item"].to_numpy(), rows["benchmark"].to_numpy()
    uid, ident = np.empty(len(rows), object), np.empty(len(rows), object)
    image = np.full(len(rows), None, object)
    for benchmark in benchmarks:
        own = name == benchmark.name
        about = about_samples(benchmark)
        shown, said = np.flatnonzero(own & ~of_text), np.flatnonzero(own & of_text)
        image[shown] = about.images[item[shown]]
        for at, sample in ((shown, about.first[item[shown]]), (said, item[said])):
            uid[at], ident[at] = about.uids[sample], about.ids[sample]
    columns = [
        uids.take(pa.array(rows["sample"].to_numpy())).combine_chunks(),
        pa.array(name.tolist(), pa.string()),
        pa.array(uid.tolist(), pa.binary(16)),
        pa.array(ident.tolist(), pa.string()),
        pa.array(image.tolist(), pa.binary(32)),
        pa.array([LEVELS[rank] for rank in rows["rank"]], pa.string()),
        rows["similarity"].to_arrow(),
    ]
    return pa.record_batch(columns, schema=LEAKS)


def _named(benchmarks: Sequence[Benchmark]) -> list[list[str]]:
    """What stands in keys: where a benchmark lies decides nothing."""
    return [[benchmark.name, benchmark.fingerprint] for benchmark in benchmarks]


def _equal(sha256: pa.ChunkedArray, held: Images) -> Pairs:
    at = positions(sha256, held.sha256)
    row = np.flatnonzero(at >= 0)
    return row, at[row], np.ones(len(row), np.float32)


def _matches(n: int, found: Sequence[tuple[str, str, Pairs]]) -> pa.RecordBatch:
    """The column MATCHES of n rows, from (benchmark, level, pairs).

    Of a row and an item the surest level counts, of a row and a benchmark the MOST strongest matches.
    """
    names = list(dict.fromkeys(name for name, _, _ in found))
    row, item = (
        np.concatenate([np.empty(0, np.int64), *(pairs[k] for _, _, pairs in found)]) for k in (0, 1)
    )
    similarity = np.concatenate([np.empty(0, np.float32), *(pairs[2] for _, _, pairs in found)])
    sizes = [len(pairs[0]) for _, _, pairs in found]
    of = np.repeat(np.array([names.index(name) for name, _, _ in found], np.int64), sizes)
    rank = np.repeat(np.array([LEVELS.index(level) for _, level, _ in found], np.int64), sizes)
    order = np.lexsort((-similarity, rank, item, of, row))
    order = order[begins_run(row[order], of[order], item[order])]
    order = order[np.lexsort((item[order], -similarity[order], rank[order], of[order], row[order]))]
    order = order[place_in_run(row[order], of[order]) < MOST]
    structs = pa.StructArray.from_arrays(
        [
            pa.array([names[number] for number in of[order]], pa.string()),
            pa.array(item[order], pa.int32()),
            pa.array([LEVELS[number] for number in rank[order]], pa.string()),
            pa.array(similarity[order], pa.float32()),
        ],
        fields=list(MATCH),
    )
    ends = np.concatenate([[0], np.cumsum(np.bincount(row[order], minlength=n))])
    lists = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), structs, type=MATCHES.type)
    return pa.record_batch([lists], schema=pa.schema([MATCHES]))
