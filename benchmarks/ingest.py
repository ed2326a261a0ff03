"""MB and records a second of `curate ingest`, and its peak memory, on a generated LLaVA array.

Nine records of ten show a picture, whose bytes are read and hashed. Compared on a part, in turn: one worker,
two, `json.load` and a loop that checks roles, marks and pictures, and `datasets.load_dataset("json")`; the
last two hold the array. Then two workers ingest the whole. Memory is that of all processes of a run together,
resident, looked at twenty times a second; what processes share counts for each. `cores` is what this machine
makes of two plain Python processes over one, in turn with the rest: no two workers can do better.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from PIL import Image

from benchmarks.report import parser, show
from curation.generate.words import ANIMALS, CITIES, FRUITS, GOODS, NAMES, SPORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PICTURES, TEXTS = 256, 4096
LOOK = 0.05  # seconds
INGEST = """
import json, sys
from curation.workspace import Workspace
folder, workers = sys.argv[1], int(sys.argv[2])
found = Workspace(folder, {"run.workers": workers, "run.memory": "1GB"}).ingest()
sys.stdout.write(json.dumps([found["n_read"], found["n_quarantined"]]))
"""
LOOP = """
import hashlib, json, sys
from pathlib import Path
data, root = Path(sys.argv[1]), Path(sys.argv[1]).parent
good = bad = 0
for record in json.load(data.open()):
    turns = record["conversations"]
    roles = [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
    marks = sum(turn["value"].count("<image>") for turn in turns)
    if "image" in record:
        hashlib.sha256((root / record["image"]).read_bytes()).digest()
    right = roles and marks == int("image" in record)
    good, bad = good + right, bad + (not right)
sys.stdout.write(json.dumps([good + bad, bad]))
"""
DATASETS = """
import json, sys
from datasets import load_dataset
found = load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
sys.stdout.write(json.dumps([len(found), 0]))
"""
SPIN = "sum(number * number for number in range(12_000_000))"


@dataclass(frozen=True)
class Run:
    """What one process and those that it started did."""

    records: int
    megabytes: float
    seconds: float
    cpu: float  # seconds of all its processes
    peak: float  # GB


def write_array(file: Path, size: int, seed: int = 0) -> int:
    """An array of LLaVA records of `size` bytes, and its pictures beside it; how many records it has."""
    rng = random.Random(f"ingest/{seed}")
    (file.parent / "images").mkdir(exist_ok=True)
    for number in range(PICTURES):
        Image.new("RGB", (48, 48), (number, rng.randrange(256), 99)).save(
            file.parent / "images" / f"{number}.png"
        )
    texts = [list(_turns(rng)) for _ in range(TEXTS)]
    n = written = 0
    with file.open("w", encoding="utf-8") as out:
        out.write("[\n")
        while written < size:
            text = _record(n, texts[rng.randrange(TEXTS)], rng)
            written += out.write(text if not n else f",\n{text}")
            n += 1
        out.write("\n]\n")
    return n


def _record(number: int, turns: list[str], rng: random.Random) -> str:
    """A record as JSON; its turns are JSON already, the first without its picture."""
    shown = rng.random() < 0.9
    image = f'"image": "images/{rng.randrange(PICTURES)}.png", ' if shown else ""
    first = turns[0].replace("<image>\\n", "", not shown)
    return f'{{"id": "{number:09d}", {image}"conversations": [{first}, {", ".join(turns[1:])}]}}'


def _turns(rng: random.Random) -> Iterator[str]:
    """Turns of a conversation of about 1.5 kB, as LLaVA's mixture has them."""
    plain = 'the of and is a in on with behind left no two small white seen standing near "open" naïve 12'
    words = (
        *plain.split(),
        *FRUITS,
        *GOODS,
        *ANIMALS,
        *SPORTS,
        *rng.sample(NAMES, 4),
        *rng.sample(CITIES, 4),
    )
    for turn in range(2 * rng.randint(1, 6)):
        asked = turn % 2 == 0
        text = " ".join(
            rng.choice(words) for _ in range(rng.randint(6, 14) if asked else rng.randint(10, 70))
        )
        text = ("" if turn else "<image>\n") + text + ("?" if asked else ".")
        yield json.dumps({"from": "human" if asked else "gpt", "value": text}, ensure_ascii=False)


def run(code: str, data: Path, *arguments: str | int | Path) -> Run:
    """Run `code`, which works on `data`, in a process of its own and watch it."""
    begin, cpu = time.perf_counter(), _cpu()
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE
    ) as child:
        peak = 0
        while child.poll() is None:
            peak = max(peak, _resident(child.pid))
            time.sleep(LOOK)
        seconds = time.perf_counter() - begin
        assert child.stdout is not None
        printed = child.stdout.read()
    assert child.returncode == 0, f"it ended with {child.returncode}"
    records, bad = json.loads(printed)
    assert not bad, f"{bad} records are bad"
    return Run(records, data.stat().st_size / 1e6, seconds, _cpu() - cpu, peak / 1e9)


def _cpu() -> float:
    """Seconds that all processes took which were started here and have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident(pid: int) -> int:
    """Bytes that a process and all below it have resident."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        return total  # one has ended; the next look is near
    return total


def ingest(data: Path, scratch: Path, workers: int) -> Run:
    """Ingest `data` into a fresh workspace."""
    from curation.workspace import Workspace

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        Workspace.init(folder, {"pool": data}, model="builtin:tiny")
        return run(INGEST, data, folder, workers)


def looped(data: Path, scratch: Path) -> Run:
    """`json.load`, and a loop."""
    return run(LOOP, data, data)


def loaded(data: Path, scratch: Path) -> Run:
    """`load_dataset("json")`, with nothing cached."""
    with tempfile.TemporaryDirectory(dir=scratch) as cache:
        return run(DATASETS, data, data, cache)


def spun(processes: int) -> float:
    """Seconds in which so many plain loops end, side by side."""
    begin = time.perf_counter()
    started = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(processes)]
    for process in started:
        process.wait()
    return time.perf_counter() - begin


RUNS: dict[str, Callable[[Path, Path], Run]] = {
    "workers_1": partial(ingest, workers=1),
    "workers_2": partial(ingest, workers=2),
    "json_load_and_loop": looped,
    "load_dataset": loaded,
}


def compared(data: Path, scratch: Path, repeat: int) -> dict[str, float]:
    """Medians of each of RUNS on `data`, `repeat` times in turn."""
    found: dict[str, list[Run]] = {name: [] for name in RUNS}
    cores = []
    for _ in range(repeat):
        cores.append(2 * spun(1) / spun(2))
        for name, each in RUNS.items():
            found[name].append(each(data, scratch))
    figures = {"cores": statistics.median(cores)}
    for name, runs in found.items():
        assert {each.records for each in runs} == {found["workers_1"][0].records}
        figures |= _figures(name, runs)
    ratios = [
        one.seconds / two.seconds for one, two in zip(found["workers_1"], found["workers_2"], strict=True)
    ]
    return {**figures, "workers_2_over_1": statistics.median(ratios)}


def _figures(name: str, runs: Sequence[Run]) -> dict[str, float]:
    return {
        f"{name}.mb": runs[0].megabytes,
        f"{name}.records": runs[0].records,
        f"{name}.mb_per_second": statistics.median(each.megabytes / each.seconds for each in runs),
        f"{name}.records_per_second": statistics.median(each.records / each.seconds for each in runs),
        f"{name}.cpu_seconds": statistics.median(each.cpu for each in runs),
        f"{name}.peak_gb": max(each.peak for each in runs),
    }


def arguments() -> argparse.Namespace:
    """The flags of every benchmark, how large the arrays are and where they are written."""
    made = parser(__doc__)
    made.add_argument("--gb", type=float, default=1.0, help="size of the whole array")
    made.add_argument("--part-gb", type=float, default=0.1, help="size of what all are compared on")
    made.add_argument("--scratch", type=Path, help="where they are written, with twice their size free")
    return made.parse_args()


def main() -> None:
    """The arrays and the workspaces are gone afterwards."""
    flags = arguments()
    whole, part = (0.0, 0.02) if flags.quick else (flags.gb, flags.part_gb)
    with tempfile.TemporaryDirectory(dir=flags.scratch) as folder:
        scratch = Path(folder)
        write_array(scratch / "part.json", int(part * 1e9))
        figures = compared(scratch / "part.json", scratch, 1 if flags.quick else flags.repeat)
        if whole > part:
            write_array(scratch / "whole.json", int(whole * 1e9))
            figures |= _figures("whole.workers_2", [ingest(scratch / "whole.json", scratch, 2)])
    show("ingest", figures, ["datasets", "msgspec", "pyarrow"], as_json=flags.json)


if __name__ == "__main__":
    main()
