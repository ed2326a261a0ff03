"""`filters`: in which groups `alignment` tells true pairs from mismatched ones, and where it decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.steps.cluster.groups import groups_of_clusters
from curation.steps.select.cells import CELL, MOST, MOST_A_CELL, Cell, drawn, scored
from curation.steps.select.filters import FLOOR
from curation.storage.rows import gather, vectors
from schemas.stages import Output, Pool
from scorers.alignment import Bank, contrasts, standardise
from scorers.separation import area, interval, threshold, wrong_share

if TYPE_CHECKING:
    import polars as pl

    Floats = NDArray[np.float64]

FILTERS = pa.schema(
    [
        pa.field("filter", pa.string(), nullable=False),  # the column that it goes by
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("clusters", pa.list_(pa.int32())),  # of the group; null for the whole dataset
        pa.field("n_samples", pa.int64(), nullable=False),  # that the filter can decide on
        pa.field("n", pa.int64(), nullable=False),  # true pairs that were measured
        pa.field("n_distinct", pa.int64(), nullable=False),  # images or texts among them, whichever are fewer
        pa.field("n_mismatched", pa.int64(), nullable=False),
        pa.field("auc", pa.float64()),  # in [0, 1]; null where no pair can be mismatched
        pa.field("low", pa.float64()),  # its 95 % interval
        pa.field("high", pa.float64()),
        pa.field("wrong_share", pa.float64()),  # of the true pairs; 0: none for certain; null: not asked
        pa.field("threshold", pa.float64()),  # what scores less is left out; null where nothing is
        pa.field("left_out", pa.int64(), nullable=False),
    ]
)

BLOCK = 1024  # pairs that are held against the bank at once


@dataclass(frozen=True)
class MeasureFilters:
    """Fit: of each group a bounded sample of pairs, held against mismatched pairs of the same group.

    A group is a dataset's part of a cluster (or of several: see `cells`). Mismatched inside it, a pair is as
    hard to tell as a wrong pair of that kind. The filter decides where the area under the ROC curve is at
    least `min_auc` with its whole interval, at the score below which `max_loss` of the right pairs is
    expected at most. Rows of whole datasets decide nothing. Scores of both kinds of pairs are of the mean
    vectors of a sample's texts; what is lost is counted in `alignment` itself.
    """

    min_auc: float
    max_loss: float
    limit: int = MOST  # samples

    name: ClassVar[str] = "filters"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = (
        "checked", "nearest", "centroids", "alignment", "vectors", "mismatch", "mismatch_bank"
    )  # fmt: skip
    writes: ClassVar[dict[str, pa.Schema]] = {"filters": FILTERS}

    def params(self) -> dict[str, Any]:
        return dict(vars(self))

    def run(self, pool: Pool) -> Iterator[Output]:
        groups = groups_of_clusters(pool)
        sample, sizes = drawn(pool, groups, self.limit)
        pairs = Pairs.of(pool, sample)
        of_dataset = sample["dataset"].to_numpy()
        of_group = sample["group"].to_numpy()
        cells = {
            (dataset, group): self._row(
                pairs, np.flatnonzero((of_dataset == dataset) & (of_group == group)), size
            )
            for (dataset, group), size in sorted(sizes.items())
        }
        left_out = _below(pool, groups, {cell: row.get("threshold") for cell, row in cells.items()})
        rows = []
        for dataset in dict.fromkeys(dataset for dataset, _ in cells):
            own = [cell for cell in cells if cell[0] == dataset]
            # The smallest hashes of the dataset are among those of its cells.
            first = np.flatnonzero(of_dataset == dataset)[:MOST_A_CELL]
            whole = self._row(pairs, first, sum(sizes[cell] for cell in own))
            n_out = sum(left_out[cell] for cell in own)
            rows.append(
                {**whole, "dataset": dataset, "threshold": None, "wrong_share": None, "left_out": n_out}
            )
            for cell in own:
                of = {"dataset": dataset, "clusters": np.flatnonzero(groups == cell[1]).tolist()}
                rows.append({**cells[cell], **of, "left_out": left_out[cell]})
        named = [{"filter": "alignment", **row} for row in rows]
        yield Output("filters", pa.RecordBatch.from_pylist(named, FILTERS))

    def _row(self, pairs: Pairs, rows: NDArray[np.int64], size: int) -> dict[str, Any]:
        """What was measured on the pairs `rows`, a sample of `size`."""
        true, wrong = pairs.scores(rows)
        n = pairs.n_distinct(rows)
        found: dict[str, Any] = {
            "n_samples": size,
            "n": len(rows),
            "n_distinct": n,
            "n_mismatched": len(wrong),
        }
        if not len(wrong):
            return found
        auc = area(true, wrong)
        low, high = interval(auc, n)
        found |= {"auc": auc, "low": low, "high": high}
        if low < self.min_auc:
            return found
        share = wrong_share(true, wrong)
        cut = threshold(pairs.alignment[rows], wrong, share=share, size=size, max_loss=self.max_loss)
        return {**found, "wrong_share": share, "threshold": cut}


@dataclass(frozen=True)
class Pairs:
    """The pairs that are measured, and how near each image and text is to those of others."""

    images: NDArray[np.float32]  # (n, d) unit rows
    texts: NDArray[np.float32]
    alignment: Floats  # (n,)
    of_images: Floats  # (n,) see `scorers.alignment.Bank.both`
    of_texts: Floats
    mean: float
    deviation: float

    @classmethod
    def of(cls, pool: Pool, sample: pl.DataFrame) -> Pairs:
        """Those of the samples at `shard` and `row`; their vectors alone are read."""
        fitted, columns = pool.read("mismatch").to_pylist()[0], ["image", "text"]
        bank = Bank(*(vectors(pool.read("mismatch_bank", columns)[side]) for side in columns))
        both = pool.schema("vectors").empty_table()
        if len(sample):
            shards, places = sample["shard"].to_numpy(), sample["row"].to_numpy()
            both = gather(pool.paths("vectors"), shards, places, columns)
        images, texts = (vectors(both[side]) for side in columns)
        blocks = [slice(start, start + BLOCK) for start in range(0, max(len(images), 1), BLOCK)]
        near = [bank.both(images[block], texts[block]) for block in blocks]
        of_images, of_texts = (np.concatenate(part) for part in zip(*near, strict=True))
        alignment = sample["alignment"].to_numpy().astype(np.float64)
        return cls(images, texts, alignment, of_images, of_texts, fitted["mean"], fitted["deviation"])

    def n_distinct(self, rows: NDArray[np.int64]) -> int:
        """Of the pairs `rows` the distinct images or the distinct texts, whichever are fewer."""
        return min(len({row.tobytes() for row in side[rows]}) for side in (self.images, self.texts))

    def scores(self, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """The alignment of each of the pairs `rows`, and that of each image with each text of the others.

        A pair that has the image or the text of a true one, byte for byte, is left out.
        """
        images, texts = self.images[rows], self.texts[rows]
        found = contrasts(images, texts, self.of_images[rows], self.of_texts[rows])
        wrong = found[Bank(images, texts).wrong(images, texts)]
        true = standardise(np.diagonal(found), self.mean, self.deviation)
        return true, standardise(wrong, self.mean, self.deviation)


def _below(pool: Pool, groups: NDArray[np.int32], thresholds: Mapping[Cell, float | None]) -> dict[Cell, int]:
    """How many samples of each cell score less than its threshold."""
    import polars as pl

    counts = dict.fromkeys(thresholds, 0)
    cuts = [(*cell, cut) for cell, cut in thresholds.items() if cut is not None]
    types = {"dataset": pl.String, "group": pl.Int32, "threshold": pl.Float64}
    table = pl.DataFrame(cuts, schema=types, orient="row")
    for shard in scored(pool, groups):
        low = shard.join(table, on=CELL).filter(pl.col("alignment") < pl.col("threshold"))
        for dataset, group, n in low.group_by(CELL).len().iter_rows():
            counts[dataset, group] += n
    return counts


def floors(pool: Pool) -> pl.Series:
    """(n,) the threshold of each sample's group; null where it has none, or says nothing about the sample."""
    import polars as pl

    rows = pl.from_arrow(pool.read("filters", ["dataset", "clusters", "threshold"]))
    facts = pl.from_arrow(pool.read("checked", ["dataset", "n_images"]))
    centroids = pl.from_arrow(pool.read("nearest", ["centroid"]))
    assert isinstance(rows, pl.DataFrame)
    assert isinstance(facts, pl.DataFrame)
    assert isinstance(centroids, pl.DataFrame)
    cuts = rows.drop_nulls().explode("clusters").rename({"clusters": "centroid"})
    samples = pl.concat([facts, centroids], how="horizontal")
    joined = samples.join(cuts, on=["dataset", "centroid"], how="left", maintain_order="left")
    alone = pl.when(pl.col("n_images") == 1).then(pl.col("threshold"))
    return joined.select(alone.alias(FLOOR))[FLOOR]
