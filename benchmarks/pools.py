"""Pools of known truth: drawn near-twins, and copies of drawn pictures and of records of the mixture."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from benchmarks.report import SHARED
from curation.generate.copies import COPIES
from curation.generate.twins import TWINS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL.Image import Image as Picture

Record = dict[str, Any]
Copied = dict[int, tuple[str, int]]  # by position of a copy its kind, and the position of its original

K = 4  # twins of a family


def write_twins(folder: Path, n: int, seed: int) -> None:
    """`images/NUMBER.png` or `.jpg`, and the records that show them: `equal.json`, `differ.json`."""
    (folder / "images").mkdir(parents=True)
    records: dict[str, list[Record]] = {"equal": [], "differ": []}
    for kind, draw in TWINS.items():
        for number in range(n):
            rng = random.Random(f"twins/{seed}/{kind}/{number}")
            family = draw(rng, K)
            suffix = rng.choice((".png", ".jpg"))
            for image, answer in zip(family.images, family.answers, strict=True):
                name = f"{len(records['equal']):06d}{suffix}"
                image.save(folder / "images" / name, quality=90)  # which a PNG passes over
                records["equal"].append(record(kind, name, *family.shared))
                records["differ"].append(record(kind, name, family.question, answer))
    for texts, rows in records.items():
        (folder / f"{texts}.json").write_text(json.dumps(rows))


def record(source: str, image: str, question: str, answer: str) -> Record:
    """A record as LLaVA has it."""
    turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]
    return {"id": Path(image).stem, "image": image, "source": source, "conversations": turns}


def mixed(seed: int, records: int | None) -> list[Record]:
    """The records of the mixture, or so many of them."""
    rows: list[Record] = read(SHARED / "mixture" / "mixture.json")
    if records is None:
        return rows
    chosen = random.Random(f"mixed/{seed}").sample(range(len(rows)), records)
    return [rows[at] for at in sorted(chosen)]


def drawn(at: Path, n: int, seed: int) -> list[Record]:
    """Draw n pictures of the kinds of the twins, no two of one family."""
    (at / "originals").mkdir(parents=True)
    rows = []
    for number in range(n):
        kind = list(TWINS)[number % len(TWINS)]
        rng = random.Random(f"drawn/{seed}/{number}")
        family = TWINS[kind](rng, 1)
        name = f"originals/{number:06d}{rng.choice(('.png', '.jpg'))}"
        family.images[0].save(at / name)
        rows.append(record(kind, name, family.question, family.answers[0]))
    return rows


def write_copies(at: Path, root: Path, rows: list[Record], n: int, seed: int) -> None:
    """`data.json`: the records, then n copies of each kind, of other records; `copies.json`: of which."""
    (at / "copies").mkdir(parents=True)
    copied: Copied = {}
    originals = in_turn(rows, random.Random(f"copies/{seed}"))
    everything, passed = list(rows), list[int]()
    for kind, copy in COPIES.items():
        wanted = len(copied) + n
        while len(copied) < wanted:
            of = passed.pop(0) if passed and not copy.oblong else next(originals)
            picture = opened(root, at, rows[of]["image"])
            if not copy.fits(picture):
                passed.append(of)
                continue
            name = f"copies/{len(everything):06d}{copy.suffix}"
            (at / name).write_bytes(copy.of(picture))
            copied[len(everything)] = (kind, of)
            everything.append({**rows[of], "id": f"copy-{len(everything)}", "image": name})
    (at / "data.json").write_text(json.dumps(everything))
    (at / "copies.json").write_text(json.dumps(copied))


def in_turn(rows: Sequence[Record], rng: random.Random) -> Iterator[int]:
    """Positions of records with one image, each once, the sources in turn."""
    by_source: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if isinstance(row.get("image"), str):
            by_source.setdefault(row["source"], []).append(index)
    for found in by_source.values():
        rng.shuffle(found)
    while any(by_source.values()):
        for found in by_source.values():
            if found:
                yield found.pop()


def opened(root: Path, at: Path, name: str) -> Picture:
    """The picture of a record, decoded."""
    with Image.open(root / name if (root / name).exists() else at / name) as picture:
        picture.load()
        return picture


def read(path: Path) -> Any:
    """What a file of JSON holds."""
    return json.loads(path.read_text())
