"""Decide which samples go because another says the same. Narrow columns only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.catalog import score_table
from curation.steps.prune.linkage import LINKAGES, Graph, Verdict, least_similar
from curation.steps.prune.perceptual import text_numbers
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
SURPLUS = "over_target"  # goes for want of room, as the target leaves none
# By number: by cosine, by hash, by the hash of the mirror image; and by cosine, but with texts too far apart,
# which only a target looks at.
BY_COSINE, BY_HASH, BY_FLIP, TEXTS_APART = range(4)
LEVELS = np.array([NEAR, PERCEPTUAL, FLIPPED, NEAR])
PRUNED = pa.schema(
    [
        UID,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("kept_uid", pa.binary(16)),  # what stands for it; null where nothing does
        pa.field("near_uid", pa.binary(16)),  # the sample that it is too similar to, which may go as well
        pa.field("similarity", pa.float32()),  # to that one
        pa.field("group", pa.int64()),  # position in the pool of the sample that is kept
    ]
)
CURVE = pa.schema(
    [
        pa.field("eps", pa.float64(), nullable=False),
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
    eps: float
    text_eps: float
    linkage: str
    keep: str
    to: str | None
    semantic: bool
    by_hash: bool
    unflipped: bool  # whether images that look alike as they are count
    bits: int
    most: int  # entries of a list of neighbours
    floor: float
    seed: int
    tables: tuple[str, ...] = ()  # of the scores that `keep` looks at


@dataclass(frozen=True)
class Prune:
    """`pruned`: a row a dropped sample, and what stands for it. `prune_curve`: how many stay by eps."""

    how: Pruning

    name: ClassVar[str] = "pruned"
    version: ClassVar[int] = 3
    writes: ClassVar[dict[str, pa.Schema]] = {"pruned": PRUNED, "prune_curve": CURVE}

    @property
    def reads(self) -> tuple[str, ...]:
        """The tables that the settings ask for."""
        tables = ["checked"]
        if self.how.semantic:
            tables.append("neighbours")
        if self.how.by_hash:
            tables.append("look_alikes")
        return tuple(dict.fromkeys((*tables, *self.how.tables)))

    def params(self) -> dict[str, Any]:
        return {**vars(self.how), "tables": list(self.how.tables)}

    def run(self, pool: Pool) -> Iterator[Output]:
        samples = _Samples.of(pool, self.how)
        lists = None
        if self.how.semantic:
            lists = pool.read("neighbours", ["uid", "other", "similarity", "text", "cluster"])
        graph, level = self._graph(pool, lists, samples)
        order = np.argsort(np.minimum.reduceat(samples.rank[samples.by_node], samples.starts), kind="stable")
        near = self._near(graph, level, self.how.eps)
        if self.how.to is None:
            kept = LINKAGES[self.how.linkage](near[0], order)
        else:
            near = graph, level
            n = min(Budget.parse(self.how.to).samples(len(samples.node)), graph.n)
            kept = least_similar(graph, order, n)
        yield Output("pruned", samples.dropped(kept, *near, by_bytes=self.how.by_bytes))
        yield Output("prune_curve", self._curve(lists, graph, level, order, len(samples.node)))

    def _graph(self, pool: Pool, lists: pa.Table | None, samples: _Samples) -> tuple[Graph, Ints]:
        """All known pairs, and of each the number of its level; nodes are groups of equal samples."""
        nothing = np.zeros(0, np.int64)
        parts = [(nothing, nothing, np.zeros(0, np.float32), nothing)]
        if lists is not None:
            left, right = (samples.nodes_of(lists[name]) for name in ("uid", "other"))
            near_texts = lists["text"].fill_null(1).to_numpy() >= np.float32(1 - self.how.text_eps)
            level = np.where(near_texts, BY_COSINE, TEXTS_APART)
            parts.append((left, right, lists["similarity"].to_numpy(), level))
        if self.how.by_hash:
            pairs = pool.read("look_alikes", ["left", "right", "bits", "flipped"])
            parts.append(samples.look_alikes(pairs, self.how))
        left, right, similarity, level = (np.concatenate(part) for part in zip(*parts, strict=True))
        other = left != right
        return Graph(samples.n_nodes, left[other], right[other], similarity[other]), level[other]

    def _near(self, graph: Graph, level: Ints, eps: float) -> tuple[Graph, Ints]:
        """The pairs that count as duplicates: by cosine those within eps, by hash all that were found."""
        close = graph.similarity >= np.float32(1 - eps)
        near = (level == BY_HASH) | (level == BY_FLIP) | ((level == BY_COSINE) & close)
        return Graph(graph.n, graph.left[near], graph.right[near], graph.similarity[near]), level[near]

    def _curve(
        self, lists: pa.Table | None, graph: Graph, level: Ints, order: Ints, n: int
    ) -> pa.RecordBatch:
        full = 0
        if lists is not None:
            near = lists.filter(pc.greater_equal(lists["similarity"], pa.scalar(np.float32(self.how.floor))))
            # A sample has a list in each cluster that it was compared in.
            sizes = near.group_by(["uid", "cluster"]).aggregate([([], "count_all")])
            cut = sizes.filter(pc.greater_equal(sizes["count_all"], self.how.most))
            full = pc.count_distinct(cut["uid"]).as_py()
        steps = sorted({self.how.eps, *(eps for eps in EPS if 1 - eps >= self.how.floor)})
        rows = []
        for eps in steps if self.how.semantic else [self.how.eps]:
            goes = LINKAGES[self.how.linkage](self._near(graph, level, eps)[0], order).goes
            n_near = int(np.count_nonzero(goes))
            exact = n - graph.n
            kept = {"n_kept": graph.n - n_near, "n_exact": exact, "n_near": n_near, "n_full": full}
            rows.append({"eps": eps, **kept, "chosen": self.how.to is None and eps == self.how.eps})
        return pa.RecordBatch.from_pylist(rows, CURVE)


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
        columns = ["uid", "content_hash", "images_hash", "text_hash", "error", how.identity, how.by_bytes]
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

    def look_alikes(self, pairs: pa.Table, how: Pruning) -> tuple[Ints, Ints, NDArray[np.float32], Ints]:
        """Pairs of nodes whose images look alike, and whose texts are equal where texts count.

        `pairs` names of each tuple of images the first sample that shows it; of tuples with equal hashes only
        the first is paired with others, and the rest with it.
        """
        import polars as pl

        ends = [positions(pairs[side], pa.chunked_array([self.uid])) for side in ("left", "right")]
        flipped, apart = pairs["flipped"].to_numpy(), pairs["bits"].to_numpy()
        look = np.full(len(self.node), -1)
        shown = np.flatnonzero(self.facts["images_hash"].is_valid().to_numpy())
        look[shown] = shown[first_equal([self.facts["images_hash"].take(pa.array(shown))])]
        equal = (apart == 0) & ~flipped
        same = np.arange(len(self.node))
        same[ends[1][equal]] = ends[0][equal]
        look[shown] = same[look[shown]]
        texts = text_numbers(self.facts["text_hash"])
        rows = pl.DataFrame(
            {"node": self.node, "look": look, "text": texts if how.by_text else np.zeros(len(look))}
        )
        rows = rows.filter(pl.col("look") >= 0).unique(maintain_order=True)
        alike = rows.with_columns(first=pl.col("node").first().over("look", "text"))
        alike = alike.filter((pl.col("first") != pl.col("node")) & how.unflipped)
        near = pl.DataFrame({"left": ends[0], "right": ends[1], "bits": apart, "flipped": flipped})
        near = near.filter(flipped | (~equal & how.unflipped))
        joined = near.join(rows, left_on="left", right_on="look", maintain_order="left_right")
        joined = joined.join(
            rows, left_on=["right", "text"], right_on=["look", "text"], maintain_order="left_right"
        )
        left = np.concatenate([alike["first"].to_numpy(), joined["node"].to_numpy()])
        right = np.concatenate([alike["node"].to_numpy(), joined["node_right"].to_numpy()])
        turned = joined["flipped"].to_numpy()
        # Mirror images have hashes of 64 bits only.
        apart = joined["bits"].to_numpy() / np.where(turned, 64, how.bits)
        similarity = np.concatenate([np.ones(len(alike)), 1 - apart]).astype(np.float32)
        level = np.concatenate([np.full(len(alike), BY_HASH), np.where(turned, BY_FLIP, BY_HASH)])
        return left, right, similarity, level

    def dropped(self, kept: Verdict, graph: Graph, level: Ints, *, by_bytes: str) -> pa.RecordBatch:
        """A row a sample that goes: copies, and nodes that other nodes stand for."""
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
        columns = [
            self.uid.take(pa.array(rows)),
            pa.array(reason.tolist(), pa.string()),
            self.uid.take(pa.array(stays, mask=nobody)),
            self.uid.take(pa.array(near, mask=alone)),
            pa.array(np.where(goes, strength, np.float32(1)), pa.float32(), mask=alone),
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
