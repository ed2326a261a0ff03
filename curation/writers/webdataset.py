"""`webdataset`: tars of `KEY.jpg`, `KEY.json` and `KEY.txt`, for the webdataset library and open_clip."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import pyarrow as pa

from curation.writers.facts import Facts, Splits
from curation.writers.kept import image_bytes
from curation.writers.pictures import BYTES, extension
from curation.writers.rows import conversations, extra, identity, scores
from curation.writers.shards import SHARD_BYTES, write_shards

Members: TypeAlias = list[tuple[str, bytes]]
_BLOCK = 512


@dataclass(frozen=True)
class WebDataset:
    """A sample's members lie together: images as they came, KEY.json with turns, KEY.txt with the answers.

    KEY is the uid. The only image is KEY.jpg (.png, .webp, ...); of several, image i is KEY.i.jpg.
    """

    shard_bytes: int = SHARD_BYTES

    name: ClassVar[str] = "webdataset"
    images: ClassVar[tuple[str, ...]] = (BYTES,)
    scored: ClassVar[bool] = False
    loading: ClassVar[dict[str, str]] = {
        "webdataset": 'dataset = webdataset.WebDataset("FOLDER/data/train-{000000..LAST}.tar", '
        'shardshuffle=False).decode("pil").to_tuple("jpg;png;webp", "txt", missing_is_error=False)',
        "open_clip (with webdataset 0.2.86 or older)": "--dataset-type webdataset "
        '--train-data "FOLDER/data/train-{000000..LAST}.tar"',
    }

    def files(self, split: str, *, alone: bool = True) -> str:
        """`load_dataset` reads them only where all samples have the same members, and finds them itself."""
        return ""

    def write(self, out: Path, splits: Splits, facts: Facts) -> dict[str, Any]:
        """Write data/SPLIT-NNNNNN.tar under `out`, and data/sizes.json, by which open_clip knows how many."""
        made = partial(_members, facts=facts)
        sizes: dict[str, int] = {}
        for split, rows in splits.items():
            path = partial(_path, out / "data", split)
            rows_of = write_shards(rows, made, _opened, path, self.shard_bytes)
            sizes |= {path(number, len(rows_of)).name: n for number, n in enumerate(rows_of)}
        (out / "data" / "sizes.json").write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")
        last = sum(name.startswith("train-") for name in sizes) - 1
        return {"n_shards": len(sizes), "last": f"{last:06d}"}


def _path(folder: Path, split: str, number: int, _: int) -> Path:
    return folder / f"{split}-{number:06d}.tar"


def _members(rows: pa.RecordBatch, facts: Facts) -> tuple[Members, int]:
    """Names and contents of the members of `rows`, and the bytes that they take."""
    listed = rows.to_pylist()
    contents = iter(image_bytes([ref for row in listed for ref in row["images"]]))
    members = [
        member for row in listed for member in _of_row(row, [next(contents) for _ in row["images"]], facts)
    ]
    return members, sum(_BLOCK + -(-len(data) // _BLOCK) * _BLOCK for _, data in members)


def _of_row(row: dict[str, Any], images: list[bytes], facts: Facts) -> Members:
    key, turns = row["uid"].hex(), conversations(row)
    suffixes = [""] if len(images) == 1 else [f".{number}" for number in range(len(images))]
    record = {
        "id": identity(row),
        "conversations": turns,
        **extra(row),
        **({"scores": scores(row, facts.scores.names)} if facts.scores.names else {}),
    }
    answers = "\n".join(turn["value"] for turn in turns if turn["from"] == "gpt")
    return [
        *((f"{key}{end}.{extension(data)}", data) for end, data in zip(suffixes, images, strict=True)),
        (f"{key}.json", json.dumps(record, ensure_ascii=False).encode()),
        (f"{key}.txt", answers.encode()),
    ]


@contextmanager
def _opened(path: Path) -> Iterator[Callable[[Members], object]]:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:

        def write(members: Members) -> None:
            for name, data in members:
                header = tarfile.TarInfo(name)  # no time and no owner: equal exports are equal
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))

        yield write
