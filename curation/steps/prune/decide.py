"""Decide which samples go because another says the same. Narrow columns only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.catalog import score_table
from curation.steps.prune.linkage import LINKAGES, Graph, Verdict, least_similar
from curation.steps.prune.pairs import CLOSEST, MOST_ODD, SamplePairs, least_similarity, looks_of
from curation.steps.prune.perceptual import numbered
from curation.storage.ids import first_equal, hashed, positions
from schemas.budget import Budget
from schemas.columns import UID
from schemas.errors import ConfigError
from schemas.stages import Output, Pool

Ints = NDArray[np.int64]

EXACT = "exact_duplicate"
PIXELS = "pixel_duplicate"
NEAR = "near_duplicate"
PERCEPTUAL = "perceptual_duplicate"
FLIPPED = "flipped_duplicate"
REDUNDANT = "redundant"  # says much the same, but is no copy
SURPLUS = "over_target"  # goes for want of room, as the target leaves none
# By number: copies found by cosine, by hash, by the hash of the mirror image; and what is similar by cosine
# but no copy, which only `redundant` and a target look at.
BY_COSINE, BY_HASH, BY_FLIP, SIMILAR = range(4)
LEVELS = np.array([NEAR, PERCEPTUAL, FLIPPED, REDUNDANT])
PRUNED = pa.schema(
    [
        UID,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("kept_uid", pa.binary(16)),  # what stands for it; null where nothing does
        pa.field("near_uid", pa.binary(16)),  # the sample that it is too similar to, which may go as well
        pa.field("similarity", pa.float32()),  # to that one
        pa.field("oddness", pa.float32()),  # of a second look at both; null where none was needed
        pa.field("group", pa.int64()),  # position in the pool of the sample that is kept
    ]
)
CURVE = pa.schema(
    [
        pa.field("eps", pa.float64()),  # of `redundant`; null: copies alone go
        pa.field("n_kept", pa.int64(), nullable=False),
        pa.field("n_exact", pa.int64(), nullable=False),
        pa.field("n_near", pa.int64(), nullable=False),
        pa.field("n_full", pa.int64(), nullable=False),  # samples whose lists of neighbours are full
        pa.field("chosen", pa.bool_(), nullable=False),
    ]
)
EPS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2)
BEST = "best:"


@dataclass(frozen=True)
class Pruning:
    """How duplicates are told, and which of them stay. See `schemas.settings.Prune`."""

    identity: str  # column of `checked` that equal samples share
    by_bytes: str  # column that those of them share whose files are equal as well
    by_text: bool  # whether samples with other texts differ
    eps: float | None  # None: as measured in each group
    text_eps: float
    redundant: float | None  # eps of what goes though it is no copy
    linkage: str
    keep: str
    to: str | None
    semantic: bool
    by_hash: bool
    by_look: bool  # whether the images of copies must be
    unflipped: bool  # whether images that look alike as they are count
    bits: int
    most: int  # entries of a list of neighbours
    floor: float
    seed: int
    tables: tuple[str, ...] = ()  # of the scores that `keep` looks at

    @property
    def looks(self) -> tuple[str, ...]:
        """The tables of what was seen of pictures that may be copies."""
        return looks_of(by_look=self.by_look, by_hash=self.by_hash, semantic=self.semantic)


@dataclass(frozen=True)
class Prune:
    """`pruned`: a row a dropped sample, and what stands for it. `prune_curve`: how many stay by eps."""

    how: Pruning

    name: ClassVar[str] = "pruned"
    version: ClassVar[int] = 5
    writes: ClassVar[dict[str, pa.Schema]] = {"pruned": PRUNED, "prune_curve": CURVE}

    @property
    def reads(self) -> tuple[str, ...]:
        """The tables that the settings ask for."""
        tables = ["checked"]
        if self.how.semantic:
            tables.append("neighbours")
        if self.how.by_hash:
            tables.append("look_alikes")
        if self.how.by_look:
            tables += [*self.how.looks, "image_places", "images"]
        if self.how.semantic and self.how.eps is None:
            tables += ["copy_eps", "nearest", "centroids"]
        return tuple(dict.fromkeys((*tables, *self.how.tables)))

    def params(self) -> dict[str, Any]:
        return {**vars(self.how), "tables": list(self.how.tables)}

    def run(self, pool: Pool) -> Iterator[Output]:
        samples = _Samples.of(pool, self.how)
        lists = None
        if self.how.semantic:
            lists = pool.read("neighbours", ["uid", "other", "similarity", "text", "cluster"])
        pairs = self._pairs(pool, lists, samples)
        order = np.argsort(np.minimum.reduceat(samples.rank[samples.by_node], samples.starts), kind="stable")
        if self.how.to is None:
            near = pairs.near(self.how.redundant)
            kept = LINKAGES[self.how.linkage](near.graph, order)
        else:
            near = pairs
            n = min(Budget.parse(self.how.to).samples(len(samples.node)), pairs.graph.n)
            kept = least_similar(pairs.graph, order, n)
        yield Output("pruned", samples.dropped(kept, near, by_bytes=self.how.by_bytes))
        yield Output("prune_curve", self._curve(lists, pairs, order, len(samples.node)))

    def _pairs(self, pool: Pool, lists: pa.Table | None, samples: _Samples) -> _Pairs:
        """All known pairs; nodes are groups of equal samples."""
        parts = [_Pairs.none()]
        if lists is not None:
            parts.append(self._by_cosine(pool, lists, samples))
        if self.how.by_hash:
            parts += self._by_hash(pool, samples)
        left, right, similarity, level, oddness = (np.concatenate(part) for part in zip(*parts, strict=True))
        other = left != right
        graph = Graph(samples.n_nodes, left[other], right[other], similarity[other])
        return _Pairs(graph, level[other], oddness[other])

    def _by_cosine(self, pool: Pool, lists: pa.Table, samples: _Samples) -> _Columns:
        left, right = (samples.nodes_of(lists[name]) for name in ("uid", "other"))
        text_eps = self.how.text_eps if self.how.by_text else None
        closest = CLOSEST if self.how.eps is None else 0
        least = least_similarity(pool, self.how.eps)
        copies, at = SamplePairs.near(pool, lists, least, text_eps, closest)
        oddness = np.full(len(left), np.nan, np.float32)
        oddness[at] = copies.oddness(pool, self.how.looks) if self.how.by_look else 0
        level = np.where(oddness <= MOST_ODD, BY_COSINE, SIMILAR)
        return left, right, lists["similarity"].to_numpy(), level, oddness

    def _by_hash(self, pool: Pool, samples: _Samples) -> list[_Columns]:
        """Samples that show the same with the same words, and those that a second look showed to do so."""
        first, again = samples.shown_again(by_text=self.how.by_text)
        again_columns = (
            np.ones(len(first), np.float32),
            np.full(len(first), BY_HASH),
            np.zeros(len(first), np.float32),
        )
        pairs = pool.read("look_alikes", ["left", "right", "bits", "flipped"])
        oddness = SamplePairs.alike(pool, pairs).oddness(pool, self.how.looks)
        flipped = pairs["flipped"].to_numpy()
        copies = np.flatnonzero((oddness <= MOST_ODD) & (flipped | self.how.unflipped))
        left, right = (samples.nodes_of(pairs[name])[copies] for name in ("left", "right"))
        # Mirror images have hashes of 64 bits only.
        apart = pairs["bits"].to_numpy()[copies] / np.where(flipped, 64, self.how.bits)[copies]
        level = np.where(flipped, BY_FLIP, BY_HASH)[copies]
        found = [(left, right, (1 - apart).astype(np.float32), level, oddness[copies])]
        return [(first, again, *again_columns), *found] if self.how.unflipped else found

    def _curve(self, lists: pa.Table | None, pairs: _Pairs, order: Ints, n: int) -> pa.RecordBatch:
        full = 0
        if lists is not None:
            near = lists.filter(pc.greater_equal(lists["similarity"], pa.scalar(np.float32(self.how.floor))))
            # A sample has a list in each cluster that it was compared in.
            sizes = near.group_by(["uid", "cluster"]).aggregate([([], "count_all")])
            cut = sizes.filter(pc.greater_equal(sizes["count_all"], self.how.most))
            full = pc.count_distinct(cut["uid"]).as_py()
        asked = self.how.redundant
        steps = sorted({*EPS, *([] if asked is None else [asked])})
        rows = []
        for eps in [None, *(eps for eps in steps if self.how.semantic and 1 - eps >= self.how.floor)]:
            n_near = int(np.count_nonzero(LINKAGES[self.how.linkage](pairs.near(eps).graph, order).goes))
            kept = {"n_kept": pairs.graph.n - n_near, "n_exact": n - pairs.graph.n, "n_near": n_near}
            rows.append({"eps": eps, **kept, "n_full": full, "chosen": self.how.to is None and eps == asked})
        return pa.RecordBatch.from_pylist(rows, CURVE)


# Of pairs: one node, the other, similarity, level, oddness.
_Columns: TypeAlias = "tuple[Ints, Ints, NDArray[np.float32], Ints, NDArray[np.float32]]"


@dataclass(frozen=True)
class _Pairs:
    """Pairs of nodes, the level of each, and how odd a second look found it: NaN where there was none."""

    graph: Graph
    level: Ints
    oddness: NDArray[np.float32]

    @classmethod
    def none(cls) -> _Columns:
        nothing, nought = np.zeros(0, np.int64), np.zeros(0, np.float32)
        return nothing, nothing, nought, nothing, nought

    def near(self, redundant: float | None) -> _Pairs:
        """Those that are copies, and given an eps those that are as similar as that."""
        near = self.level != SIMILAR
        if redundant is not None:
            near |= self.graph.similarity >= np.float32(1 - redundant)
        graph = self.graph
        kept = Graph(graph.n, graph.left[near], graph.right[near], graph.similarity[near])
        return _Pairs(kept, self.level[near], self.oddness[near])


@dataclass(frozen=True)
class _Samples:
    """The readable samples, in pool order, and their groups of equals: the nodes of the graph of pairs.

    Args:
        uid: their ids.
        in_pool: (n,) position of each in the pool.
        node: (n,) the group of each.
        rank: (n,) which is kept before which: 0 first.
        by_node: (n,) samples, node by node.
        starts: (n_nodes,) where each node's samples start in `by_node`.
        facts: further columns of `checked`.
    """

    uid: pa.Array
    in_pool: Ints
    node: Ints
    rank: Ints
    by_node: Ints
    starts: Ints
    facts: pa.Table

    @classmethod
    def of(cls, pool: Pool, how: Pruning) -> _Samples:
        columns = ["uid", "content_hash", "images_hash", "words_hash", "error", how.identity, how.by_bytes]
        table = pool.read("checked", list(dict.fromkeys(columns)))
        in_pool = np.flatnonzero(table["error"].is_null().to_numpy())
        readable = table.take(pa.array(in_pool)).combine_chunks()
        # Samples without what the key compares are equal where their whole content is.
        _, node = np.unique(_equal(readable, how.identity), return_inverse=True)
        by_node = np.argsort(node, kind="stable")
        starts = np.flatnonzero(np.diff(node[by_node], prepend=-1))
        rank = np.empty(len(node), np.int64)
        rank[_preferred(pool, how, readable, in_pool)] = np.arange(len(node))
        uid = readable["uid"].combine_chunks()
        return cls(uid, in_pool, node, rank, by_node, starts, readable)

    @property
    def n_nodes(self) -> int:
        return len(self.starts)

    def nodes_of(self, uids: pa.ChunkedArray) -> Ints:
        """The node of each uid."""
        found: Ints = self.node[positions(uids, pa.chunked_array([self.uid]))]
        return found

    def shown_again(self, *, by_text: bool) -> tuple[Ints, Ints]:
        """Pairs of nodes that show the very same images, with the same words where texts count."""
        import polars as pl

        shown = self.facts["images_hash"].is_valid().to_numpy()
        words = numbered(self.facts["words_hash"]) if by_text else np.zeros(len(self.node), np.int64)
        rows = pl.DataFrame(
            {"node": self.node, "images": numbered(self.facts["images_hash"]), "words": words}
        )
        rows = rows.filter(pl.Series(shown)).unique(maintain_order=True)
        rows = rows.with_columns(first=pl.col("node").first().over("images", "words"))
        rows = rows.filter(pl.col("first") != pl.col("node"))
        return rows["first"].to_numpy(), rows["node"].to_numpy()

    def dropped(self, kept: Verdict, pairs: _Pairs, *, by_bytes: str) -> pa.RecordBatch:
        """A row a sample that goes: copies, and nodes that other nodes stand for."""
        graph, level = pairs.graph, pairs.level
        first = np.empty(self.n_nodes, np.int64)  # of each node the sample that stays if the node does
        order = np.lexsort((self.rank, self.node))
        first[self.node[order][::-1]] = order[::-1]
        instead = np.where(kept.kept_by >= 0, kept.kept_by, np.arange(self.n_nodes))
        goes = kept.goes[self.node]
        rows = np.flatnonzero(goes | (first[self.node] != np.arange(len(self.node))))
        node, goes = self.node[rows], goes[rows]
        pair = kept.pair[node]
        alone = goes & (pair < 0)
        other = (
            np.where(graph.left[pair] == node, graph.right[pair], graph.left[pair])
            if len(graph.left)
            else node
        )
        near = np.where(goes & ~alone, first[other], first[node])
        stays = first[instead[node]]
        nobody = goes & (kept.kept_by[node] == -2)
        by_pair = LEVELS[level[pair]] if len(level) else np.full(len(rows), NEAR)
        files = _equal(self.facts, by_bytes)
        copy = np.where(files[rows] == files[first[node]], EXACT, PIXELS)
        reason = np.where(alone, SURPLUS, np.where(goes, by_pair, copy))
        strength = graph.similarity[pair] if len(level) else np.ones(len(rows), np.float32)
        oddness = (
            np.where(goes & ~alone, pairs.oddness[pair], np.nan) if len(level) else np.full(len(rows), np.nan)
        )
        columns = [
            self.uid.take(pa.array(rows)),
            pa.array(reason.tolist(), pa.string()),
            self.uid.take(pa.array(stays, mask=nobody)),
            self.uid.take(pa.array(near, mask=alone)),
            pa.array(np.where(goes, strength, np.float32(1)), pa.float32(), mask=alone),
            pa.array(oddness, pa.float32(), mask=np.isnan(oddness)),
            pa.array(self.in_pool[stays], pa.int64(), mask=nobody),
        ]
        return pa.record_batch(columns, schema=PRUNED)


def _equal(readable: pa.Table, identity: str) -> Ints:
    """(n,) the first row of the same identity; rows without one are equal where their whole content is."""
    return first_equal([pc.coalesce(readable[identity], readable["content_hash"])])


def _preferred(pool: Pool, how: Pruning, readable: pa.Table, in_pool: Ints) -> Ints:
    """The samples in the order in which they are to be kept; ties go to the first in the pool."""
    if how.keep == "first":
        return np.arange(len(in_pool))
    if how.keep == "random":
        return np.argsort(hashed(readable["uid"], how.seed), kind="stable")
    import polars as pl

    name = how.keep.removeprefix(BEST) if how.keep.startswith(BEST) else "similarity"
    column = score_table(pool, [name])[name]
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        raise ConfigError(f"--keep {how.keep} needs a column of numbers; {name} holds {column.dtype}")
    values = column.cast(float).fill_nan(None)
    worst = values.fill_null(-np.inf if how.keep != "hard" else np.inf).to_numpy()[in_pool]
    return np.argsort(worst if how.keep == "hard" else -worst, kind="stable")
