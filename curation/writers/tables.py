"""`open_clip`, `datacomp` and `ids`: lists that name samples or pairs, without their turns."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.storage.ids import words
from curation.writers.facts import Facts, Splits
from curation.writers.pictures import COPY, LINK, PATHS
from curation.writers.rows import conversations, parsed, scores

# Titles that pandas, with which open_clip reads the file, takes for missing.
_MISSING = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"}
    | {"N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
_HEX = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True)
class OpenClip:
    """Pairs in `data/train.tsv`: `filepath` and `title`, which are the answers.

    open_clip opens paths as they stand, so they are absolute. Samples without an image or with several are
    no pairs, and a title such as "None" is none; they are left out, and counted.
    """

    name: ClassVar[str] = "open_clip"
    images: ClassVar[tuple[str, ...]] = (LINK, COPY, PATHS)
    scored: ClassVar[bool] = False
    loading: ClassVar[dict[str, str]] = {
        "open_clip": "--dataset-type csv --train-data FOLDER/data/train.tsv "
        "--csv-img-key filepath --csv-caption-key title"
    }

    def files(self, split: str, *, alone: bool = True) -> str:
        """`load_dataset` finds it; the card counts samples, and would promise more than there are pairs."""
        return ""

    def write(self, out: Path, splits: Splits, facts: Facts) -> dict[str, Any]:
        """Write data/SPLIT.tsv under `out`, and images/ as `facts.pictures` says."""
        (out / "data").mkdir(exist_ok=True)
        changed: Counter[str] = Counter()
        for split, batches in splits.items():
            with (out / "data" / f"{split}.tsv").open("w", encoding="utf-8", newline="") as file:
                lines = csv.writer(file, delimiter="\t", lineterminator="\n")
                lines.writerow(["filepath", "title", *facts.scores.names])
                for batch in batches:
                    named = facts.pictures.names(batch, absolute=True)
                    for row, names in zip(batch.to_pylist(), named, strict=True):
                        told = _told(row, facts)
                        if len(names) != 1:
                            changed["no_pair"] += 1
                        elif told[0] in _MISSING:
                            changed["no_title"] += 1
                        else:
                            lines.writerow([self._path(names[0], facts), *told])
        return {"changed": dict(sorted(changed.items()))}

    def _path(self, name: str, facts: Facts) -> str:
        return name if facts.pictures.how == PATHS else f"{facts.target}/images/{name}"


def _told(row: dict[str, Any], facts: Facts) -> list[Any]:
    """The answers on one line, and the scores."""
    answers = (turn["value"] for turn in conversations(row) if turn["from"] == "gpt")
    return [" ".join(" ".join(answers).split()), *scores(row, facts.scores.names).values()]


@dataclass(frozen=True)
class DataComp:
    """`data/train.npy`: uids as datacomp's tools read a subset; the records' own where they are such."""

    name: ClassVar[str] = "datacomp"
    images: ClassVar[tuple[str, ...]] = (PATHS,)
    scored: ClassVar[bool] = False
    loading: ClassVar[dict[str, str]] = {
        "datacomp (resharder.py)": "--subset-file FOLDER/data/train.npy",
    }

    def files(self, split: str, *, alone: bool = True) -> str:
        """`load_dataset` reads no such file."""
        return ""

    def write(self, out: Path, splits: Splits, facts: Facts) -> dict[str, Any]:
        """Write data/SPLIT.npy under `out`."""
        (out / "data").mkdir(exist_ok=True)
        for split, batches in splits.items():
            np.save(out / "data" / f"{split}.npy", subset([_uids(batch) for batch in batches]))
        return {}


@dataclass(frozen=True)
class Ids:
    """`data/train.csv`: uid in hex, dataset and id of each sample."""

    name: ClassVar[str] = "ids"
    images: ClassVar[tuple[str, ...]] = (PATHS,)
    scored: ClassVar[bool] = False
    loading: ClassVar[dict[str, str]] = {"polars": 'polars.read_csv("FOLDER/data/train.csv")'}

    def files(self, split: str, *, alone: bool = True) -> str:
        """The file of a split."""
        return f"data/{split}.csv"

    def write(self, out: Path, splits: Splits, facts: Facts) -> dict[str, Any]:
        """Write data/SPLIT.csv under `out`."""
        (out / "data").mkdir(exist_ok=True)
        for split, batches in splits.items():
            with (out / "data" / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
                lines = csv.writer(file, lineterminator="\n")
                lines.writerow(["uid", "dataset", "id", *facts.scores.names])
                lines.writerows(_listed(batches, facts))
        return {}


def _listed(batches: Iterator[pa.RecordBatch], facts: Facts) -> Iterator[list[Any]]:
    for batch in batches:
        for row in batch.to_pylist():
            named = [row["uid"].hex(), row["dataset"], row["record_id"]]
            yield [*named, *scores(row, facts.scores.names).values()]


def _uids(batch: pa.RecordBatch) -> NDArray[np.uint64]:
    own = [parsed(record).get("uid") for record in batch["record"].to_pylist()]
    found = [
        bytes.fromhex(uid) if isinstance(uid, str) and _HEX.fullmatch(uid) else ours
        for uid, ours in zip(own, batch["uid"].to_pylist(), strict=True)
    ]
    return words(pa.array(found, pa.binary(16)))


def subset(parts: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """(k,) sorted pairs of 64 bits, as datacomp's tools read a subset: the hex uid cut in the middle."""
    # Words are little-endian; hex, and so datacomp, is big-endian.
    halves = np.concatenate([np.zeros((0, 2), np.uint64), *parts]).byteswap()
    halves = halves[np.lexsort((halves[:, 1], halves[:, 0]))]
    pairs = np.zeros(len(halves), np.dtype("u8,u8"))
    pairs["f0"], pairs["f1"] = halves[:, 0], halves[:, 1]
    return pairs
