"""`fiftyone`: `samples.json`, which FiftyOne's importer of its own format reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from curation.writers.facts import Facts, Splits
from curation.writers.pictures import COPY, LINK, PATHS
from curation.writers.rows import conversations, identity, scores


@dataclass(frozen=True)
class FiftyOne:
    """A sample an image, tagged with its split; the turns as text, source and cluster as classifications.

    Of a record with several images each is a sample. A record without one has no place there, and is counted.
    """

    name: ClassVar[str] = "fiftyone"
    images: ClassVar[tuple[str, ...]] = (LINK, COPY, PATHS)
    scored: ClassVar[bool] = True
    loading: ClassVar[dict[str, str]] = {
        "FiftyOne": "import fiftyone as fo\n\ndataset = fo.Dataset.from_dir("
        'dataset_dir="FOLDER", dataset_type=fo.types.FiftyOneDataset)'
    }

    def files(self, split: str, *, alone: bool = True) -> str:
        """`load_dataset` reads no such file."""
        return ""

    def write(self, out: Path, splits: Splits, facts: Facts) -> dict[str, Any]:
        """Write samples.json under `out`, and images/ as `facts.pictures` says."""
        missing, before = 0, ""
        with (out / "samples.json").open("w", encoding="utf-8") as file:
            file.write('{"samples": [\n')
            for split, batches in splits.items():
                for row, names in _rows(batches, facts):
                    missing += not names
                    for number, name in enumerate(names):
                        sample = _sample(row, facts, split, number, name)
                        file.write(before + json.dumps(sample, ensure_ascii=False))
                        before = ",\n"
            file.write("\n]}\n")
        return {"changed": {"no_image": missing} if missing else {}}


def _rows(batches: Iterator[pa.RecordBatch], facts: Facts) -> Iterator[tuple[dict[str, Any], list[str]]]:
    for batch in batches:
        yield from zip(batch.to_pylist(), facts.pictures.names(batch, absolute=True), strict=True)


def _sample(row: dict[str, Any], facts: Facts, split: str, number: int, name: str) -> dict[str, Any]:
    text = "\n".join(f"{turn['from']}: {turn['value']}" for turn in conversations(row))
    labels = {"source": row["source"], "cluster": row["cluster"], "dataset": row["dataset"]}
    return {
        "filepath": name if facts.pictures.how == PATHS else f"images/{name}",
        "tags": [split],
        "uid": row["uid"].hex(),
        "record_id": identity(row),
        "image_number": number,
        "text": text,
        **{what: _label(str(value)) for what, value in labels.items() if value is not None},
        **{what: value for what, value in scores(row, facts.scores.names).items() if value is not None},
    }


def _label(value: str) -> dict[str, str]:
    return {"_cls": "Classification", "label": value}
