"""What pruning at its defaults throws away: near-twins (none may go), copies (all should), clean records.

`--only twins`: families of near-twins, drawn, differ in one number, word or thing; their share that goes is
told by level and by kind, in three pools: a family has one text, has answers that differ, has no text at all.
`--only copies`: each kind of copy of records of the mixture, and of drawn pictures, with equal texts; and
`bare`, as if there were no texts.
`--only planted`: the duplicates of `plant_defects.py` in the mixture, and mirrored ones with `--flip`.

A copy is caught if it or its original goes. `clean.SOURCE.share` is what else goes of a source, but for exact
copies, and `others.share` that of all samples: look at them, a few are shown, all are in `lost.json` with
`--keep`. A pool in the folder of `--keep` is used again, so that `--set prune.eps=0.03` is a decision of
seconds. Exit status 1 where a target is missed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.pools import Copied, K, Record, drawn, mixed, read, write_copies, write_twins
from benchmarks.report import SHARED, parser, show
from benchmarks.scorers import planted
from curation.generate.copies import COPIES
from curation.generate.twins import TWINS
from curation.workspace import Workspace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence

Figures = dict[str, float]

PARTS = ("twins", "copies", "planted")
TEXTS = ("equal", "differ", "none")  # of the twins of a family
SEEDS = {"twins": (1,), "copies": (1,), "planted": (1, 2, 3)}
N, QUICK_N, QUICK_RECORDS = 100, 12, 2400
SETTINGS = {"run.max_errors": "100%", "capability.backend": "none"}
SAME = ("exact_duplicate", "pixel_duplicate")  # levels that cannot be wrong
SHOWN = 3  # of what goes of a source

EXACT = ("exact_duplicate", "dup_renamed_image")
NEAR = ("near_dup_resize", "near_dup_jpeg40", "near_dup_brightness", "near_dup_crop")
FLIP = "near_dup_flip"
EASY = ("resized_0.5", "resized_0.6", "resized_2.0", "jpeg_40", "webp", "brightened", "cropped_3")
HARD = ("cropped_10", "padded_white", "padded_black", "letterboxed", "pillarboxed")
LEAST = {
    **{f"{kind}.recall": 1.0 for kind in EXACT},
    **{f"{kind}.recall": 0.97 for kind in NEAR},
    **{f"real.{kind}.recall": 0.97 for kind in EASY},
    **{f"real.{kind}.recall": 0.90 for kind in HARD},
    "real.bare.recall": 0.97,
}
MOST = {f"{texts}.share": 0.005 for texts in TEXTS} | {"others.share": 0.002, "real.others.share": 0.002}
MOST_OF_A_SOURCE = 0.01


@dataclass(frozen=True)
class Gone:
    """A sample that another is said to make superfluous."""

    index: int  # its position in the pool's file
    near: int  # that of the other
    reason: str
    similarity: float


@dataclass(frozen=True)
class Pruned:
    """A pool after pruning."""

    workspace: Workspace
    counts: Mapping[str, Any]
    gone: Sequence[Gone]
    seconds: float

    @property
    def n(self) -> int:
        """Samples, pruned ones too."""
        return len(self.workspace.store.read("samples", ["uid"]))


def prune(at: Path, data: Path, images: Sequence[Path], settings: Mapping[str, Any]) -> Pruned:
    """Prune the pool, in the workspace of an earlier run where there is one."""
    if not (at / "curate.toml").exists():
        Workspace.init(at, {"pool": data}, images=list(dict.fromkeys(images)), model="builtin:tiny")
    workspace = Workspace(at, {**SETTINGS, **settings})
    start = time.perf_counter()
    counts = workspace.prune()
    seconds = time.perf_counter() - start
    index = {row["uid"]: row["index"] for row in _samples(workspace)}
    gone = [
        Gone(index[row["uid"]], index[row["near_uid"]], row["reason"], round(row["similarity"], 4))
        for row in workspace.store.read("pruned").to_pylist()
    ]
    return Pruned(workspace, counts, gone, seconds)


def _samples(workspace: Workspace) -> list[Record]:
    """Of every sample its uid and its position: that of its record, or what its image is called."""
    rows: list[Record] = workspace.store.read("samples", ["uid", "key"]).to_pylist()
    for row in rows:
        row["index"] = int(Path(row["key"].rpartition("#")[2]).stem)
    return rows


def by_level(gone: Iterable[Gone], n: int) -> Figures:
    """The share that goes, by reason."""
    reasons = [one.reason for one in gone]
    return {f"{reason}.share": reasons.count(reason) / n for reason in sorted(set(reasons))}


# --- near-twins --------------------------------------------------------------------------------------------


def twins(folder: Path, n: int, seed: int, settings: Mapping[str, Any]) -> Figures:
    """Draw n families of each kind, and prune them with equal texts, with other answers, without any text."""
    if not (folder / "images").exists():
        write_twins(folder, n, seed)
    figures: Figures = {}
    for texts in TEXTS:
        data = folder / "images" if texts == "none" else folder / f"{texts}.json"
        found = prune(folder / f"work-{texts}", data, [folder / "images"], settings)
        part: Figures = {"share": len(found.gone) / found.n, **by_level(found.gone, found.n)}
        for number, kind in enumerate(TWINS):
            of_kind = [one for one in found.gone if one.index // (n * K) == number]
            part[f"{kind}.share"] = len(of_kind) / (n * K)
            part |= {f"{kind}.{name}": value for name, value in by_level(of_kind, n * K).items()}
        figures |= {f"{texts}.{name}": value for name, value in part.items()}
        figures[f"{texts}.seconds"] = found.seconds
    return figures


# --- copies ------------------------------------------------------------------------------------------------


def copies(folder: Path, n: int, seed: int, records: int | None, settings: Mapping[str, Any]) -> Figures:
    """Plant n copies of each kind among records of the mixture, and among drawn pictures."""
    figures: Figures = {}
    mixture = SHARED / "mixture"
    for name, root in (("real", mixture), ("drawn", folder / "drawn")):
        at = folder / name
        if not (at / "copies.json").exists():
            rows = mixed(seed, records) if name == "real" else drawn(at, n * len(COPIES), seed)
            write_copies(at, root, rows, n, seed)
        copied: Copied = {int(index): (kind, of) for index, (kind, of) in read(at / "copies.json").items()}
        found = prune(at / "work", at / "data.json", [at, root], settings)
        part = recalls(found, copied, tuple(COPIES)) | clean(found, copied, read(at / "data.json"), at)
        bare = prune(at / "work", at / "data.json", [at, root], {**settings, "prune.key": "image"})
        # An original may go for another question on it.
        alone = {copy: (kind, copy) for copy, (kind, _) in copied.items()}
        told = recalls(bare, alone, tuple(COPIES))
        part |= {f"bare.{figure}": value for figure, value in told.items()}
        part |= {"bare.recall": float(np.mean(list(told.values()))), "bare.looks": bare.counts["n_looks"]}
        figures |= {f"{name}.{figure}": value for figure, value in part.items()}
        figures[f"{name}.seconds"], figures[f"{name}.bare.seconds"] = found.seconds, bare.seconds
    return figures


def recalls(found: Pruned, copied: Copied, kinds: Sequence[str]) -> Figures:
    """Of each kind the share of copies that go, or whose originals do."""
    gone = {one.index for one in found.gone}
    figures: Figures = {}
    for kind in kinds:
        caught = [copy in gone or of in gone for copy, (each, of) in copied.items() if each == kind]
        figures[f"{kind}.recall"] = float(np.mean(caught))
    return figures


# --- planted defects ---------------------------------------------------------------------------------------


def defects(folder: Path, n: int, seed: int, records: int | None, settings: Mapping[str, Any]) -> Figures:
    """Plant n of each kind of defect, prune, and again for mirrored copies."""
    data = folder / "data"
    if not data.exists():
        planted(data, seed, n, records)
    truth = read(data / "truth.json")["records"]
    copied: Copied = {
        row["index"]: (row["kind"], row["original_index"]) for row in truth if "original_index" in row
    }
    rows = read(data / "data.json")
    found = prune(folder / "work", data / "data.json", [data], settings)
    figures = recalls(found, copied, (*EXACT, *NEAR, FLIP)) | clean(found, copied, rows, folder)
    figures["probes.recall"] = found.counts["probes_recall"]
    figures["pruned"], figures["seconds"] = len(found.gone), found.seconds
    mirrored = prune(folder / "work", data / "data.json", [data], {**settings, "prune.flip": True})
    flipped = recalls(mirrored, copied, (FLIP,))
    flipped["flipped_duplicate"] = mirrored.counts["pruned"].get("flipped_duplicate", 0)
    flipped["others.share"] = clean(mirrored, copied, rows, None)["others.share"]
    return figures | {f"flip.{name}": value for name, value in flipped.items()}


# --- clean records -----------------------------------------------------------------------------------------


def clean(found: Pruned, copied: Copied, rows: Sequence[Record], at: Path | None) -> Figures:
    """What goes though nothing was planted: shares by source and by level; in `at` all of it is listed."""
    known = {frozenset((copy, of)) for copy, (_, of) in copied.items()}
    lost = [
        one
        for one in found.gone
        if one.reason not in SAME
        and one.index not in copied
        and frozenset((one.index, one.near)) not in known
    ]
    sources = [row["source"] for index, row in enumerate(rows) if index not in copied]
    figures: Figures = {"others": len(lost), "others.share": len(lost) / found.n}
    figures |= {f"clean.{name}": value for name, value in by_level(lost, len(sources)).items()}
    for source in sorted(set(sources)):
        of_source = [one for one in lost if rows[one.index]["source"] == source]
        figures[f"clean.{source}.share"] = len(of_source) / sources.count(source)
    if at is not None:
        listed = [{**asdict(one), "record": rows[one.index], "near_record": rows[one.near]} for one in lost]
        (at / "lost.json").write_text(json.dumps(listed, indent=1, ensure_ascii=False))
    return figures


def tell(folder: Path) -> None:
    """Some of what the pools of a part lost, by source."""
    for path in sorted(folder.rglob("lost.json")):
        sys.stdout.write(
            f"what goes of {path.parent.relative_to(folder.parent)} though nothing was planted\n"
        )
        seen: dict[str, int] = {}
        for row in read(path):
            record, near = row["record"], row["near_record"]
            source = record["source"]
            seen[source] = seen.get(source, 0) + 1
            if seen[source] <= SHOWN:
                pair = f"{record['id']} ({record.get('image')}) for {near['id']} ({near.get('image')})"
                sys.stdout.write(f"  {source}: {row['reason']} {row['similarity']:.3f} {pair}\n")


# --- the command -------------------------------------------------------------------------------------------


def run(part: str, at: Path, seed: int, given: argparse.Namespace) -> Figures:
    """One part, in a folder that is named for all that its pools follow from."""
    n = given.n or (QUICK_N if given.quick else N)
    records = QUICK_RECORDS if given.quick else None
    folder = at / f"{part}-{n}-{records or 'all'}-{seed}"
    settings = dict(map(setting, given.set))
    if part == "twins":
        figures = twins(folder, n, seed, settings)
    else:
        figures = (copies if part == "copies" else defects)(folder, n, seed, records, settings)
    if not given.json:
        tell(folder)
    return figures


def setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE, where the value is JSON or else a text."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def missed(figures: Mapping[str, float], part: str) -> list[str]:
    """What falls short, a line each."""
    least = {name: at for name, at in LEAST.items() if name in figures}
    most = {name: at for name, at in MOST.items() if name in figures}
    most |= {
        name: MOST_OF_A_SOURCE
        for name in figures
        if "clean." in name and name.endswith(".share") and "duplicate" not in name
    }
    low = [f"{name} {figures[name]:.3f}, at least {at}" for name, at in least.items() if figures[name] < at]
    high = [f"{name} {figures[name]:.4f}, at most {at}" for name, at in most.items() if figures[name] > at]
    return [f"{part}.{line}" for line in (*low, *high)]


def main() -> None:
    """Each part and seed in a folder of its own, which is removed afterwards unless it is to be kept."""
    flags = parser(__doc__)
    flags.add_argument("--only", choices=PARTS, help="this part alone")
    flags.add_argument("--n", type=int, help="families or copies of a kind")
    flags.add_argument("--seed", type=int, help="this seed alone")
    flags.add_argument("--keep", type=Path, help="a folder for pools and lists; what is there is used again")
    flags.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting")
    given = flags.parse_args()
    figures: Figures = {}
    short: list[str] = []
    with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory() as folder:
        for part in (given.only,) if given.only else PARTS:
            seeds = (given.seed,) if given.seed is not None else SEEDS[part][: 1 if given.quick else None]
            for seed in seeds:
                found = run(part, Path(folder), seed, given)
                figures |= {f"{part}.seed_{seed}.{name}": value for name, value in found.items()}
                short += missed(found, f"{part}.seed_{seed}")
    show("duplicates", figures, ["imagehash", "open_clip_torch"], as_json=given.json)
    sys.stderr.write("".join(f"MISSED {line}\n" for line in short))
    sys.exit(1 if short else 0)


if __name__ == "__main__":
    main()
