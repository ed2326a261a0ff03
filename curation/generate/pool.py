"""A demo pool on disk: LLaVA JSON, images, and the truth about the defects planted in it."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from curation.generate import KINDS
from curation.generate.sample import Sample

Record = dict[str, Any]

PLANTED_SHARE = 0.15  # of all records
TEXT_SHARE = 0.08  # of the drawn records have no picture
ADDED = ("exact_duplicate", "dup_renamed_image", "near_dup_resize", "near_dup_jpeg", "near_dup_brightness")
BROKEN = (
    "missing_image",
    "truncated_image",
    "zero_byte_image",
    "not_an_image",
    "image_token_count",
    "bad_roles",
)
PLANTED = ADDED + BROKEN
ERROR_PAGE = b"<!DOCTYPE html>\n<html><body><h1>404</h1><p>No such file here.</p></body></html>\n"
THUMB = 12  # px, side of the thumbnails that tell drawn pictures apart
LEAST_DIFFERENCE = 5.0  # mean absolute difference of two thumbnails, 0 to 255


@dataclass
class Making:
    """Records and files as they are put together; nothing is written before all is decided."""

    rng: random.Random
    records: list[Record] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)  # by path relative to the pool
    pictures: dict[int, Image.Image] = field(
        default_factory=dict
    )  # the drawn picture of records that have one
    planted: list[tuple[int, str, int | None]] = field(
        default_factory=list
    )  # position, kind, original's position


def write_pool(out: Path, n: int = 1200, seed: int = 0) -> dict[str, Any]:
    """Write n records with defects of known truth under `out` and return the truth.

    Leaves `pool.json` (id, image, conversations, source), `images/` (PNG and JPEG) and `truth.json`:
    {"n", "seed", "kinds": {kind: count}, "records": [{"index", "id", "kind", "original_index"?}]}, with
    positions in pool.json. About 15 % of the records carry one defect, shared evenly by the kinds of PLANTED.
    The original of a planted duplicate carries none, and no two records that were drawn are alike.
    Equal (n, seed) give equal bytes.

    Raises:
        ValueError: n is below 24, too few for every kind of defect.
    """
    if n < 24:
        raise ValueError(f"a pool of {n} records cannot hold every kind of defect: take 24 or more")
    rng = random.Random(f"pool/{seed}")
    total = max(len(PLANTED), round(PLANTED_SHARE * n))
    quota = {kind: total // len(PLANTED) + (i < total % len(PLANTED)) for i, kind in enumerate(PLANTED)}
    added = sum(quota[kind] for kind in ADDED)
    pool = Making(rng)
    _draw(pool, n - added, seed)
    _plant(pool, quota)
    truth = _shuffled(pool, n, seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / "images").mkdir(exist_ok=True)
    for path, content in pool.files.items():
        (out / path).write_bytes(content)
    _write_json(out / "pool.json", pool.records)
    _write_json(out / "truth.json", truth)
    return truth


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _draw(pool: Making, n: int, seed: int) -> None:
    """Add n drawn records of all kinds, no two of them alike in picture or in text."""
    pictured = [kind for kind in KINDS if kind != "arithmetic"]
    texts: set[tuple[tuple[str, str], ...] | str] = set()
    thumbs: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
    attempt = 0
    for i in range(n):
        kind = "arithmetic" if pool.rng.random() < TEXT_SHARE else pictured[i % len(pictured)]
        while True:
            attempt += 1
            sample = KINDS[kind](random.Random(f"sample/{seed}/{attempt}"))
            if sample.turns not in texts and sample.caption not in texts and _is_new(sample, thumbs[kind]):
                break
        texts |= {sample.turns, sample.caption}
        _add(pool, sample)


def _is_new(sample: Sample, thumbs: list[bytes]) -> bool:
    """Say whether the picture differs from every earlier one of its kind; if so, remember it."""
    if sample.image is None:
        return True
    # n up to a few thousand pictures a pool: numpy compares one with all earlier ones at once

    thumb = sample.image.resize((THUMB, THUMB), Image.Resampling.BOX).tobytes()
    if thumbs:
        earlier = np.frombuffer(b"".join(thumbs), dtype=np.uint8).reshape(len(thumbs), -1).astype(np.int16)
        differences = np.abs(earlier - np.frombuffer(thumb, dtype=np.uint8)).mean(axis=1)
        if differences.min() < LEAST_DIFFERENCE:
            return False
    thumbs.append(thumb)
    return True


def _add(pool: Making, sample: Sample) -> None:
    position = len(pool.records)
    turns = []
    for question, answer in sample.turns:
        turns += [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    record: Record = {"id": f"{sample.kind}-{_token(pool.rng)}"}
    if sample.image is not None:
        turns[0]["value"] = f"<image>\n{turns[0]['value']}"
        record["image"] = _store(
            pool, sample.image, ".png" if pool.rng.random() < 0.5 else ".jpg", quality=92
        )
        pool.pictures[position] = sample.image
    pool.records.append({**record, "conversations": turns, "source": sample.kind})


def _token(rng: random.Random) -> str:
    return f"{rng.getrandbits(40):010x}"


def _store(pool: Making, image: Image.Image, suffix: str, *, quality: int) -> str:
    """Keep the encoded picture under a fresh name and return that path."""
    buffer = io.BytesIO()
    if suffix == ".png":
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=quality)
    path = f"images/{_token(pool.rng)}{suffix}"
    pool.files[path] = buffer.getvalue()
    return path


def _plant(pool: Making, quota: dict[str, int]) -> None:
    """Plant each kind as often as its quota says, each into a record that is not used otherwise."""
    free = list(pool.pictures)
    pool.rng.shuffle(free)
    for kind, count in quota.items():
        for _ in range(count):
            position = free.pop()
            if kind in ADDED:
                pool.planted.append((len(pool.records), kind, position))
                pool.records.append(_duplicate(pool, position, kind))
            else:
                pool.planted.append((position, kind, None))
                BREAKERS[kind](pool, pool.records[position])


def _duplicate(pool: Making, position: int, kind: str) -> Record:
    record: Record = json.loads(json.dumps(pool.records[position]))
    if kind == "exact_duplicate":
        return record
    record["id"] = f"{record['source']}-{_token(pool.rng)}"
    suffix = record["image"][-4:]
    image = pool.pictures[position]
    if kind == "dup_renamed_image":
        content = pool.files[record["image"]]
        record["image"] = f"images/{_token(pool.rng)}{suffix}"
        pool.files[record["image"]] = content
    elif kind == "near_dup_resize":
        smaller = image.resize(
            (round(image.width * 0.6), round(image.height * 0.6)), Image.Resampling.LANCZOS
        )
        record["image"] = _store(pool, smaller, suffix, quality=92)
    elif kind == "near_dup_jpeg":
        record["image"] = _store(pool, image, ".jpg", quality=40)
    else:
        record["image"] = _store(pool, ImageEnhance.Brightness(image).enhance(1.08), suffix, quality=92)
    return record


def _lose(pool: Making, record: Record) -> None:
    del pool.files[record["image"]]


def _truncate(pool: Making, record: Record) -> None:
    content = pool.files[record["image"]]
    pool.files[record["image"]] = content[: int(len(content) * pool.rng.uniform(0.2, 0.5))]


def _empty(pool: Making, record: Record) -> None:
    pool.files[record["image"]] = b""


def _replace(pool: Making, record: Record) -> None:
    pool.files[record["image"]] = ERROR_PAGE


def _miscount(pool: Making, record: Record) -> None:
    first = record["conversations"][0]
    if pool.rng.random() < 0.5:
        first["value"] = first["value"].replace("<image>\n", "")
    else:
        first["value"] = f"<image>\n{first['value']}"


def _misassign(pool: Making, record: Record) -> None:
    turns = record["conversations"]
    how = pool.rng.choice(("no answer", "answer first", "two questions", "unknown role"))
    if how == "no answer":
        turns.pop()
    elif how == "answer first":
        turns.reverse()
    elif how == "two questions":
        turns.insert(1, {"from": "human", "value": "Please look closely."})
    else:
        turns[-1]["from"] = "narrator"


BREAKERS: dict[str, Callable[[Making, Record], None]] = {
    "missing_image": _lose,
    "truncated_image": _truncate,
    "zero_byte_image": _empty,
    "not_an_image": _replace,
    "image_token_count": _miscount,
    "bad_roles": _misassign,
}


def _shuffled(pool: Making, n: int, seed: int) -> dict[str, Any]:
    """Put the records into random order and return the truth in terms of the new positions."""
    order = list(range(len(pool.records)))
    pool.rng.shuffle(order)
    now_at = {before: now for now, before in enumerate(order)}
    pool.records = [pool.records[before] for before in order]
    found = []
    for position, kind, original in pool.planted:
        index = now_at[position]
        entry: Record = {"index": index, "id": pool.records[index]["id"], "kind": kind}
        if original is not None:
            entry["original_index"] = now_at[original]
        found.append(entry)
    found.sort(key=lambda entry: entry["index"])
    kinds = {kind: sum(kind == planted for _, planted, _ in pool.planted) for kind in PLANTED}
    return {"n": n, "seed": seed, "kinds": kinds, "records": found}
