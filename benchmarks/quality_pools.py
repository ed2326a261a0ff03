"""Pools for `benchmarks.quality`: the mixture as it is, made worse, and a drawn one. Truth by record."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.pools import mixed, opened
from benchmarks.report import SHARED
from curation.generate import KINDS
from curation.generate.copies import COPIES

if TYPE_CHECKING:
    from collections.abc import Callable

Record = dict[str, Any]
Others = dict[tuple[str, int], list[Record]]  # by source and number of pictures
CLEAN = "clean"
# Of the records that stay; each kind of noise alike.
NOISE, COPIED = 0.25, 0.3
THINNED = 0.3  # what stays of half of the sources
N_DRAWN = 6000
LETTERS = "abcdefghijklmnopqrstuvwxyz     "


@dataclass
class Pool:
    """Records, and what each of them is: CLEAN, or a kind of defect or copy."""

    records: list[Record] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    def add(self, record: Record, kind: str = CLEAN) -> None:
        """Append it under an id of its own."""
        self.records.append({**record, "id": f"{len(self.records)}-{record['id']}"})
        self.kinds.append(kind)


def mixture(at: Path, seed: int) -> Pool:
    """P1: as it is; the seed decides what is held out, elsewhere."""
    pool = Pool()
    for record in mixed(seed, None):
        pool.add(record)
    return pool


def worse(at: Path, seed: int) -> Pool:
    """P2: half of the sources thinned, a quarter of the records noise, a third more copies."""
    rng = random.Random(f"worse/{seed}")
    records = mixed(seed, None)
    names = sorted({record["source"] for record in records})
    thin = set(rng.sample(names, len(names) // 2))
    kept = [each for each in records if each["source"] not in thin or rng.random() < THINNED]
    pool, others = Pool(), _others(kept)
    for record in kept:
        spoilt = _spoilt(record, others, rng) if rng.random() < NOISE else None
        pool.add(*(spoilt or (record, CLEAN)))
    (at / "copies").mkdir(parents=True)
    for record in rng.sample(kept, int(COPIED * len(kept))):
        pool.add(*_copied(at, record, rng, len(pool.records)))
    return pool


def drawn(at: Path, seed: int) -> Pool:
    """P3: skills of unequal size, drawn; a fifth of the answers wrong, a third more copies."""
    rng = random.Random(f"drawn/{seed}")
    skills = list(KINDS)
    sizes = [2.0**-place for place in range(len(skills))]
    rng.shuffle(sizes)
    (at / "drawn").mkdir(parents=True)
    (at / "copies").mkdir()
    made: list[Record] = []
    for number in range(N_DRAWN):
        (skill,) = rng.choices(skills, sizes)
        sample = KINDS[skill](random.Random(f"{seed}/{number}"))
        turns = [
            {"from": who, "value": text}
            for pair in sample.turns
            for who, text in zip(("human", "gpt"), pair, strict=True)
        ]
        record: Record = {"id": number, "source": skill, "conversations": turns}
        if sample.image is not None:
            sample.image.save(at / "drawn" / f"{number:05d}.png")
            turns[0]["value"] = f"<image>\n{turns[0]['value']}"
            record["image"] = f"drawn/{number:05d}.png"
        made.append(record)
    pool, others = Pool(), _others(made)
    for record in made:
        pool.add(*(_wrong(record, others, rng) if rng.random() < 0.2 else (record, CLEAN)))
    for record in rng.sample(made, int(COPIED * len(made))):
        pool.add(*_copied(at, record, rng, len(pool.records)))
    return pool


POOLS: dict[str, Callable[[Path, int], Pool]] = {"P1": mixture, "P2": worse, "P3": drawn}


def write(name: str, at: Path, seed: int) -> tuple[Path, list[Path]]:
    """`data.json` and `truth.json` of a pool; the data, and the folders of its images."""
    at.mkdir(parents=True, exist_ok=True)
    pool = POOLS[name](at, seed)
    (at / "data.json").write_text(json.dumps(pool.records))
    (at / "truth.json").write_text(json.dumps(pool.kinds))
    return at / "data.json", [SHARED / "mixture", at]


def _spoilt(record: Record, others: Others, rng: random.Random) -> tuple[Record, str]:
    return rng.choice((_mismatched, _wrong, _garbled, _cut))(record, others, rng)


def _mismatched(record: Record, others: Others, rng: random.Random) -> tuple[Record, str]:
    """The whole conversation of another record of its source, under its own picture."""
    other = rng.choice(_alike(record, others))
    return {**record, "conversations": other["conversations"]}, "mismatched"


def _wrong(record: Record, others: Others, rng: random.Random) -> tuple[Record, str]:
    """The answers of other records of its source."""
    alike = _alike(record, others)
    return _answered(record, lambda _: _any_answer(rng.choice(alike), rng)), "wrong_answer"


def _any_answer(record: Record, rng: random.Random) -> str:
    return str(rng.choice(record["conversations"][1::2])["value"])


def _garbled(record: Record, others: Others, rng: random.Random) -> tuple[Record, str]:
    """Letters that say nothing."""
    return _answered(record, lambda text: "".join(rng.choice(LETTERS) for _ in text) or "x"), "garbage"


def _cut(record: Record, others: Others, rng: random.Random) -> tuple[Record, str]:
    """Answers that end early, or are a refusal where there is nothing to cut."""
    return _answered(record, lambda text: text[: len(text) // 3] or "I cannot help with that."), "cut"


def _answered(record: Record, answer: Callable[[str], str]) -> Record:
    turns = [
        {**turn, "value": answer(turn["value"])} if turn["from"] == "gpt" else turn
        for turn in record["conversations"]
    ]
    return {**record, "conversations": turns}


def _alike(record: Record, others: Others) -> list[Record]:
    """Other records of its source with as many pictures; itself where there are none."""
    found = [each for each in others[record["source"], _n_images(record)] if each is not record]
    return found or [record]


def _others(records: list[Record]) -> Others:
    found: Others = {}
    for record in records:
        found.setdefault((record["source"], _n_images(record)), []).append(record)
    return found


def _n_images(record: Record) -> int:
    image = record.get("image")
    return len(image) if isinstance(image, list) else int(bool(image))


def _copied(at: Path, record: Record, rng: random.Random, number: int) -> tuple[Record, str]:
    """An equal record, or one with an edited picture, or reworded."""
    kind = rng.choice(("exact", "edited", "reworded"))
    if kind == "edited" and isinstance(record.get("image"), str):
        picture = opened(SHARED / "mixture", at, record["image"])
        name = rng.choice([name for name, copy in COPIES.items() if copy.fits(picture)])
        path = f"copies/{number:06d}{COPIES[name].suffix}"
        (at / path).write_bytes(COPIES[name].of(picture))
        return {**record, "image": path}, "copy_edited"
    if kind == "reworded":
        turns = [{**turn, "value": _reworded(turn["value"], rng)} for turn in record["conversations"]]
        return {**record, "conversations": turns}, "copy_reworded"
    return record, "copy_exact"


def _reworded(text: str, rng: random.Random) -> str:
    before = rng.choice(("Please answer: ", "", "Tell me. ", "Well, "))
    marked = "<image>\n" if text.startswith("<image>\n") else ""
    return f"{marked}{before}{text.removeprefix(marked)}".replace("What is", "What's").rstrip(".")
