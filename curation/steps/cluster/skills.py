"""`skills`: what each cluster is about, in words and figures, from a bounded sample of its records."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.vectors import cosines
from curation.storage.ids import hashed
from curation.storage.rows import gather, located, vectors
from schemas.stages import Output, Pool
from scorers.taxonomy import CAPABILITIES, CAPABILITY_COLUMNS, STYLE_COLUMNS, STYLES

if TYPE_CHECKING:
    import polars as pl

NEAR = pa.struct([pa.field("cluster", pa.int32()), pa.field("similarity", pa.float32())])
SKILLS = pa.schema(
    [
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("terms", pa.list_(pa.string()), nullable=False),  # the most telling first
        pa.field("capability", pa.string()),  # of the highest mean score; null without scores
        pa.field("style", pa.string()),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("density", pa.float32(), nullable=False),  # mean cosine to the centre, in [-1, 1]
        pa.field("spread", pa.float32(), nullable=False),  # degrees from the centre that hold 90 %
        pa.field("nearest", pa.list_(NEAR), nullable=False),  # clusters, by the cosine of the centres
        pa.field("examples", pa.list_(pa.binary(16)), nullable=False),  # uids, nearest to the centre first
    ]
)
# Records of a cluster whose text is read at most, records in all, and characters of a question.
RECORDS = 200
ALL_RECORDS = 200_000
READ = 2000
TERMS = 5
LABEL = 3
NEIGHBOURS = 3
EXAMPLES = 3
BLOCK = 512
WITHIN = 0.9
WORD = r"\p{L}[\p{L}\p{M}'\x{2019}-]+"
# Words that say nothing about a skill in any mixture of instructions.
_STOP = """
    a about above after all also an and any are as at be been being below both but by can could did do does
    doing each either else for from get give given had has have having he her here him his how i if in into is
    it its itself just let like made make many may me might more most much must my no not now of off on one
    only or other our out over own per please s same she should so some such t than that the their them then
    there these they this those through to too under until up upon us use used using very via was we were what
    when where which while who whom whose why will with within without would you your yes
    answer answers image images picture photo photograph question questions following provided
"""
STOP = frozenset(_STOP.split())


@dataclass(frozen=True)
class NameSkills:
    """A row a cluster: its most telling words, capability and style, size, density, and what lies nearby.

    Words by class-based TF-IDF (Grootendorst, BERTopic, 2022): how often a word is in the questions of the
    cluster's records, times log(1 + mean words a cluster / how often it is anywhere). A record counts a word
    once.
    """

    capability: bool  # whether the table `capability` is there

    name: ClassVar[str] = "skills"
    version: ClassVar[int] = 2
    writes: ClassVar[dict[str, pa.Schema]] = {"skills": SKILLS}

    @property
    def reads(self) -> tuple[str, ...]:
        tables = ("clusters", "nearest", "centroids", "samples")
        return (*tables, "capability") if self.capability else tables

    def params(self) -> dict[str, Any]:
        return {"records": RECORDS, "read": READ}

    def run(self, pool: Pool) -> Iterator[Output]:
        members = _Members.of(pool)
        terms = _terms(_questions(pool, members), members.n)
        scored = self.capability
        named = {
            "capability": _dominant(pool, members, CAPABILITY_COLUMNS, tuple(CAPABILITIES))
            if scored
            else None,
            "style": _dominant(pool, members, STYLE_COLUMNS, tuple(STYLES)) if scored else None,
        }
        nearest = _nearest(vectors(pool.read("centroids", ["centroid"])["centroid"]), members.centroid)
        rows = []
        for cluster in range(members.n):
            words = terms.get(cluster, [])
            rows.append(
                {
                    "cluster": cluster,
                    "label": ", ".join(words[:LABEL]) or f"cluster {cluster}",
                    "terms": words,
                    **{name: None if found is None else found[cluster] for name, found in named.items()},
                    **members.figures(cluster),
                    "nearest": nearest[cluster],
                }
            )
        yield Output("skills", pa.RecordBatch.from_pylist(rows, SKILLS))


@dataclass(frozen=True)
class _Members:
    """The samples that have a cluster, sorted by (cluster, similarity falling, uid)."""

    n: int  # clusters
    places: NDArray[np.int64]  # in the pool
    bounds: NDArray[np.int64]  # (n + 1,) where each cluster's samples start
    similarity: NDArray[np.float64]
    uids: list[bytes]
    hashes: NDArray[np.uint64]
    centroid: NDArray[np.int32]  # (n,) of each cluster

    @classmethod
    def of(cls, pool: Pool) -> _Members:
        table = pool.read("clusters", ["uid", "cluster", "similarity"])
        centroid = pool.read("nearest", ["centroid"])["centroid"].fill_null(-1).to_numpy()
        cluster = table["cluster"].fill_null(-1).to_numpy()
        similarity = table["similarity"].fill_null(0).to_numpy()
        uids = table["uid"].to_numpy(zero_copy_only=False).astype("S16")
        order = np.lexsort((uids, -similarity, cluster))
        order = order[cluster[order] >= 0]
        n = int(cluster.max(initial=-1)) + 1
        bounds = np.searchsorted(cluster[order], np.arange(n + 1))
        owner = np.zeros(n, np.int32)
        owner[cluster[order]] = centroid[order]
        picked = table["uid"].combine_chunks().take(pa.array(order))
        return cls(
            n, order, bounds, similarity[order].astype(np.float64), picked.to_pylist(), hashed(picked), owner
        )

    def of_cluster(self, cluster: int) -> slice:
        return slice(int(self.bounds[cluster]), int(self.bounds[cluster + 1]))

    def figures(self, cluster: int) -> dict[str, Any]:
        own = self.of_cluster(cluster)
        held = self.similarity[own]
        if not len(held):
            return {"size": 0, "density": 0.0, "spread": 0.0, "examples": []}
        farthest = held[math.ceil(WITHIN * len(held)) - 1]
        return {
            "size": len(held),
            "density": float(held.mean()),
            "spread": float(np.degrees(np.arccos(np.clip(farthest, -1, 1)))),
            "examples": self.uids[own][:EXAMPLES],
        }


def _questions(pool: Pool, members: _Members) -> pl.DataFrame:
    """`cluster` and `text`, what the user says, of at most `RECORDS` records a cluster."""
    import polars as pl

    most = max(1, min(RECORDS, ALL_RECORDS // max(members.n, 1)))
    drawn, owner = [], []
    for cluster in range(members.n):
        own = members.of_cluster(cluster)
        smallest = np.argsort(members.hashes[own], kind="stable")[:most]
        drawn.append(members.places[own][smallest])
        owner.append(np.full(len(smallest), cluster, np.int32))
    places = np.concatenate(drawn)
    shards, rows = located(pool.manifest("samples").sizes, places)
    turns = gather(pool.paths("samples"), shards, rows, ["turns"])["turns"].combine_chunks()
    frame = pl.DataFrame({"cluster": np.concatenate(owner), "turns": pl.from_arrow(turns)})
    said = frame.with_row_index("record").explode("turns").unnest("turns")
    said = said.filter(pl.col("role") == "user")
    text = pl.col("text").str.replace_all("<image>", " ", literal=True).str.slice(0, READ)
    return said.select("record", "cluster", text.str.to_lowercase())


def _terms(questions: pl.DataFrame, n: int) -> dict[int, list[str]]:
    """The most telling words of each cluster."""
    import polars as pl

    words = questions.select("record", "cluster", pl.col("text").str.extract_all(WORD).alias("word"))
    words = words.explode("word").drop_nulls().unique().filter(~pl.col("word").is_in(sorted(STOP)))
    counts = words.group_by("cluster", "word").len("n")
    anywhere = counts.group_by("word").agg(pl.col("n").sum().alias("anywhere"))
    inside = counts.group_by("cluster").agg(pl.col("n").sum().alias("inside"))
    mean = words.height / max(n, 1)
    weight = pl.col("n") / pl.col("inside") * (1 + mean / pl.col("anywhere")).log()
    ranked = (
        counts.join(anywhere, on="word")
        .join(inside, on="cluster")
        .with_columns(weight.alias("weight"))
        .sort(["cluster", "weight", "word"], descending=[False, True, False])
        .group_by("cluster", maintain_order=True)
        .agg(pl.col("word").head(TERMS))
    )
    return dict(ranked.iter_rows())


def _dominant(
    pool: Pool, members: _Members, columns: Sequence[str], names: Sequence[str]
) -> list[str | None]:
    """The name of each cluster's column with the highest mean; ties to the first."""
    table = pool.read("capability", columns)
    owner = np.repeat(np.arange(members.n), np.diff(members.bounds))
    means = np.zeros((members.n, len(columns)))
    seen = np.zeros(members.n, bool)
    for number, column in enumerate(columns):
        valid = table[column].is_valid().to_numpy()[members.places]
        values = table[column].fill_null(0).to_numpy()[members.places].astype(np.float64)
        sums = np.bincount(owner, values * valid, minlength=members.n)
        counts = np.bincount(owner, valid, minlength=members.n)
        means[:, number] = sums / np.maximum(counts, 1)
        seen |= counts > 0
    best = means.argmax(axis=1).tolist()
    return [names[place] if ok else None for place, ok in zip(best, seen.tolist(), strict=True)]


def _nearest(centroids: NDArray[np.float32], owner: NDArray[np.int32]) -> list[list[dict[str, Any]]]:
    """The nearest other clusters of each, and the cosine of the centres: 1 for pieces of one cluster."""
    rows = centroids[owner]
    found = []
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        i, j = (index.ravel() for index in np.indices((len(part), len(rows))))
        alike = cosines(part, rows, i, j).reshape(len(part), len(rows))
        alike[np.arange(len(part)), start + np.arange(len(part))] = -np.inf
        best = np.argsort(-alike, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(rows) - 1)]
        for row, near in enumerate(best.tolist()):
            found.append([{"cluster": other, "similarity": alike[row, other]} for other in near])
    return found
