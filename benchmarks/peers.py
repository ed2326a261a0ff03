"""Duplicates found by `curate prune` at its defaults and by other tools at theirs, on the same files in turn.

Texts: answers of the mixture, and copies of some of them: to the letter, and with case and punctuation
changed; `twins` differ in one number, and none of them should go. semhash is given our encoder, since its own
is on a model hub. Images: pictures of the mixture and copies of each kind of `curation.generate.copies`, each
with the text of its original; imagededup (PHash) and cleanvision look at the pictures alone. A copy is found
if it or its original goes; `others_removed` is the share of all else that goes. Every run is a process of its
own, from reading files to the list of what goes; loading models and packages is timed as well. Peers are
installed into folders of their own, and one that cannot be is named with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.environments import NOT_MEASURED, PACKAGES, Unavailable, variables, versions
from benchmarks.pools import mixed, write_copies
from benchmarks.report import SHARED, parser, show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

Record = dict[str, Any]
EACH = 10  # one text of so many is copied, of each kind
BATCH = 32  # texts a forward pass
LEAST_WORDS = 8  # of an answer: shorter ones repeat in the mixture by themselves


# --- pools -----------------------------------------------------------------------------------------------


def write_texts(at: Path, n: int) -> None:
    """`data.json`, text alone; `copies.json`: of the later ones which kind, and of which record they are."""
    answers = (turn["value"].strip() for row in mixed(0, None) for turn in row["conversations"][1::2])
    distinct = {
        re.sub(r"\W+", " ", text).casefold(): text for text in answers if text.count(" ") >= LEAST_WORDS
    }
    texts = random.Random(0).sample(list(distinct.values()), min(n, len(distinct)))
    copied: dict[int, tuple[str, int]] = {}
    originals = range(len(texts))
    changes: dict[str, Callable[[str], str]] = {"exact": str, "case": _shouted, "twins": _one_number_more}
    for kind, change in changes.items():
        fit = [at for at in originals if change(texts[at]) != texts[at] or kind == "exact"]
        for of in fit[: len(texts) // EACH]:
            copied[len(texts)] = (kind, of)
            texts.append(change(texts[of]))
    rows = [{"id": str(number), "conversations": _turns(text)} for number, text in enumerate(texts)]
    (at / "data.json").write_text(json.dumps(rows))
    (at / "copies.json").write_text(json.dumps(copied))


def write_images(at: Path, n: int) -> None:
    """The same of n pictures of the mixture, under `originals` and `copies`; a tenth copies of each kind."""
    (at / "originals").mkdir()
    by_image = {row["image"]: row for row in mixed(0, None) if isinstance(row.get("image"), str)}
    rows = []
    for number, row in enumerate(random.Random(0).sample(list(by_image.values()), min(n, len(by_image)))):
        name = f"originals/{number:06d}{Path(row['image']).suffix}"
        shutil.copy(SHARED / "mixture" / row["image"], at / name)
        rows.append({**row, "id": str(number), "image": name})
    write_copies(at, at, rows, max(1, len(rows) // 100), 0)
    shutil.rmtree(at / "images", ignore_errors=True)


def _turns(text: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": "Say something."}, {"from": "gpt", "value": text}]


def _shouted(text: str) -> str:
    return re.sub(r"[,.;:]", "", text).upper()


def _one_number_more(text: str) -> str:
    return re.sub(r"\d+", lambda found: str(int(found[0]) + 1), text, count=1)


# --- what goes, by position in data.json --------------------------------------------------------------------


def curate(at: Path) -> set[int]:
    """By `curate prune`, in a new workspace."""
    from curation.workspace import Workspace

    with tempfile.TemporaryDirectory() as folder:
        work = Workspace.init(Path(folder) / "work", {"pool": at / "data.json"}, images=[at], model="builtin")
        work.prune()
        samples = work.store.read("samples", ["uid", "record"]).to_pylist()
        order = {row["id"]: number for number, row in enumerate(rows_of(at))}
        position = {row["uid"]: order[json.loads(row["record"])["id"]] for row in samples}
        return {position[uid] for uid in work.store.read("pruned", ["uid"])["uid"].to_pylist()}


def semhash(at: Path) -> set[int]:
    """By semhash, exact matches and cosines of at least 0.9."""
    import numpy as np
    from semhash import SemHash  # in an environment of its own

    from curation.models.encoder import load_encoder

    encoder = load_encoder("builtin", device="cpu", dtype="float32")

    class Ours:
        """Texts of like length together, cut to what they use and to the context, as our stage does it."""

        def encode(self, inputs: Sequence[str], **_: Any) -> np.ndarray[Any, Any]:
            tokens = encoder.tokenize([encoder.split(text)[0] for text in inputs])
            lengths = np.asarray(encoder.used_lengths(tokens))
            found = np.empty((len(inputs), encoder.dim), np.float32)
            order = np.argsort(lengths, kind="stable")
            for at in range(0, len(order), BATCH):
                rows = order[at : at + BATCH]
                found[rows] = encoder.encode_texts(tokens[rows, : lengths[rows].max()])
            return found

    texts = [row["conversations"][1]["value"] for row in rows_of(at)]
    records = [{"text": text, "position": str(number)} for number, text in enumerate(texts)]
    stays = SemHash.from_records(records, columns=["text"], model=Ours()).self_deduplicate().selected
    return set(range(len(texts))) - {int(record["position"]) for record in stays}


def imagededup(at: Path) -> set[int]:
    """By perceptual hashes that differ in 10 of 64 bits at most."""
    from imagededup.methods import PHash  # type: ignore[import-not-found]  # in an environment of its own

    made = PHash(verbose=False)
    names = {Path(row["image"]).name: number for number, row in enumerate(rows_of(at))}
    hashes: dict[str, str] = {}
    for folder in ("originals", "copies"):
        hashes |= made.encode_images(image_dir=str(at / folder))
    # Names of both folders apart: their numbers do not overlap.
    return {names[name] for name in made.find_duplicates_to_remove(encoding_map=hashes)}


def cleanvision(at: Path) -> set[int]:
    """All but the first of each set of exact duplicates, by MD5, and of near ones, by equal hashes."""
    from cleanvision import Imagelab  # type: ignore[import-not-found]  # in an environment of its own

    paths = {str(at / row["image"]): number for number, row in enumerate(rows_of(at))}
    lab = Imagelab(filepaths=list(paths))
    kinds = ("exact_duplicates", "near_duplicates")
    lab.find_issues({kind: {} for kind in kinds}, verbose=False)
    sets = [found for kind in kinds for found in lab.info[kind]["sets"]]
    return {paths[path] for found in sets for path in sorted(found, key=paths.__getitem__)[1:]}


def rows_of(at: Path) -> list[Record]:
    """The records of a pool."""
    rows: list[Record] = json.loads((at / "data.json").read_text())
    return rows


TOOLS: dict[str, Callable[[Path], set[int]]] = {
    "curate": curate,
    "semhash": semhash,
    "imagededup": imagededup,
    "cleanvision": cleanvision,
}
POOLS: dict[str, tuple[Callable[[Path, int], None], tuple[str, ...]]] = {
    "texts": (write_texts, ("semhash",)),
    "images": (write_images, ("imagededup", "cleanvision")),
}
"""How a pool is written, and the peers that look at it."""


# --- running -----------------------------------------------------------------------------------------------


def compared(pool: str, n: int, repeat: int, unavailable: dict[str, str]) -> dict[str, float]:
    """We and the peers in turn on one pool; those that cannot be installed go into `unavailable`."""
    write, peers = POOLS[pool]
    environments: dict[str, dict[str, str] | None] = {"curate": None}
    for peer in peers:
        try:
            environments[peer] = variables(peer)
        except Unavailable as error:
            unavailable[peer] = str(error)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), n)
        seconds: dict[str, list[float]] = {tool: [] for tool in environments}
        for _ in range(repeat):
            for tool, environment in environments.items():
                if tool in unavailable:
                    continue
                try:
                    gone, took = run(tool, Path(folder), environment)
                except subprocess.CalledProcessError as error:
                    if tool == "curate":
                        sys.stderr.write(error.stderr)
                        raise
                    unavailable[tool] = f"it failed: {error.stderr.strip().splitlines()[-1]}"
                    continue
                seconds[tool].append(took)
                figures |= {f"{tool}.{name}": value for name, value in judged(Path(folder), gone).items()}
    medians = {tool: statistics.median(each) for tool, each in seconds.items() if each}
    figures |= {f"{tool}.seconds": value for tool, value in medians.items()}
    figures |= {
        f"time_ratio_vs_{tool}": medians["curate"] / medians[tool] for tool in medians if tool != "curate"
    }
    return {f"{pool}_{n}.{name}": figures[name] for name in sorted(figures)}


def run(tool: str, at: Path, environment: dict[str, str] | None) -> tuple[set[int], float]:
    """What goes, and the seconds of the process."""
    out = at / f"{tool}.json"
    command = [sys.executable, "-m", "benchmarks.peers", "--tool", tool, "--pool", str(at), "--to", str(out)]
    # Threads that wait do not spin: as `load_encoder` has it, for everybody.
    environment = {**(environment or os.environ), "OMP_WAIT_POLICY": "PASSIVE"}
    start = time.perf_counter()
    subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    return set(json.loads(out.read_text())), time.perf_counter() - start


def judged(at: Path, gone: set[int]) -> dict[str, float]:
    """Share of the copies that are found, of the twins and of all else that go."""
    copied = json.loads((at / "copies.json").read_text())
    caught: dict[str, list[bool]] = {"copies": [], "twins": []}
    touched: set[int] = set()
    for copy, (kind, of) in copied.items():
        pair = {int(copy), of}
        touched |= pair
        caught["twins" if kind == "twins" else "copies"].append(bool(pair & gone))
    others = len(rows_of(at)) - len(touched)
    figures = {
        "recall_of_copies": statistics.fmean(caught["copies"]),
        "others_removed": len(gone - touched) / others,
    }
    return figures | ({"twins_removed": statistics.fmean(caught["twins"])} if caught["twins"] else {})


def flags() -> argparse.Namespace:
    """The shared ones, and those of the processes that it starts."""
    made = parser(__doc__)
    for name, kind in (("tool", str), ("pool", Path), ("to", Path)):
        made.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    return made.parse_args()


def main() -> None:
    """Texts, then images."""
    given = flags()
    if given.tool:
        given.to.write_text(json.dumps(sorted(TOOLS[given.tool](given.pool))))
        return
    sizes, repeat = (
        ({"texts": 400, "images": 200}, 1) if given.quick else ({"texts": 8000, "images": 4000}, 3)
    )
    unavailable = dict(NOT_MEASURED)
    figures: dict[str, float] = {}
    for pool, n in sizes.items():
        figures |= compared(pool, n, repeat, unavailable)
    measured = [peer for peer in PACKAGES if peer in TOOLS and peer not in unavailable]
    packages = ["torch", "pillow", "imagehash", *versions(measured)]
    show("peers", figures, packages, as_json=given.json, skipped=unavailable)


if __name__ == "__main__":
    main()
