"""Recall and precision of every quality flag on planted defects, kind by kind and seed by seed.

`plant_defects.py` plants 100 of each of its kinds into the mixture; the chain scores the whole pool with the
built-in model. A flag is right where its kind was planted, and wrong wherever else it stands: on clean
records, and on other defects. Of swapped texts the area under the curve of
`alignment` against clean records is taken. `cpu_seconds_of_flags` is what the stages of synthetic quality add
to the chain, in one thread. Exit status 1 where a target is missed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report import SHARED, parser, show
from curation.steps.score.synthetic import MineTexts, flag_stage, quality_stage
from curation.workspace import Workspace
from schemas.stages import Task
from training.clip_evaluation import auc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What is planted, the flag that finds it, and the least recall and precision.
TARGETS = {
    "refusal": ("refusal", 0.97, 0.95),
    "prompt_echo": ("prompt_echo", 0.97, 0.95),
    "repetition": ("repetition", 0.97, 0.95),
    "empty_answer": ("empty_answer", 0.97, 0.95),
    "garbage_text": ("garbage_text", 0.95, 0.95),
    "blurry_image": ("blurry_image", 0.95, 0.95),
    "black_image": ("blank_image", 0.95, 0.95),
    "truncated_answer": ("truncated_answer", 0.6, 0.7),
}
SWAPPED, LEAST_AUC = "text_mismatch", 0.90
SEEDS, PER_KIND = 3, 100
# The quick one: a sample of the mixture, and few planted in it.
QUICK_RECORDS, QUICK_PER_KIND = 2400, 40


def planted(out: Path, seed: int, per_kind: int, records: int | None) -> dict[int, str]:
    """Plant defects into a copy of the mixture in `out`; the kind of each planted record by its position."""
    mixture = SHARED / "mixture"
    limit = ["--limit", str(records)] if records else []
    command = [
        sys.executable,
        str(SHARED / "tools" / "plant_defects.py"),
        "--in",
        str(mixture / "mixture.json"),
    ]
    command += ["--images", str(mixture), "--out", str(out), "--seed", str(seed), "--per-kind", str(per_kind)]
    subprocess.run([*command, *limit], check=True, capture_output=True)
    truth = json.loads((out / "truth.json").read_text())["records"]
    return {row["index"]: row["kind"] for row in truth}


def scored(data: Path, work: Path) -> Workspace:
    """The planted pool, scored."""
    made = Workspace.init(work, {"planted": data / "data.json"}, images=[data], model="builtin:tiny")
    workspace = Workspace(made.base, {"run.max_errors": "100%"})
    workspace.score()
    return workspace


def figures_of(workspace: Workspace, truth: Mapping[int, str]) -> dict[str, float]:
    """Recall and precision by kind, and the area under the curve of swapped texts."""
    store = workspace.store
    positions = [int(key.rpartition("#")[2]) for key in store.read("samples", ["key"])["key"].to_pylist()]
    kinds = np.array([truth.get(position, "") for position in positions])
    figures: dict[str, float] = {}
    for kind, (flag, _, _) in TARGETS.items():
        flagged = np.array([bool(value) for value in store.read("quality", [flag])[flag].to_pylist()])
        right = int((flagged & (kinds == kind)).sum())
        figures[f"{kind}.recall"] = right / int((kinds == kind).sum())
        figures[f"{kind}.precision"] = right / max(1, int(flagged.sum()))
    alignment = np.array(store.read("alignment", ["alignment"])["alignment"].to_pylist(), np.float64)
    clean, swapped = (alignment[(kinds == kind) & ~np.isnan(alignment)] for kind in ("", SWAPPED))
    figures[f"{SWAPPED}.auc_of_alignment"] = auc(clean.astype(np.float32), swapped.astype(np.float32))
    return figures


def seconds_of_flags(workspace: Workspace) -> float:
    """CPU seconds of the stages of synthetic quality over the whole pool, one after the other."""
    pool = workspace.store
    start = time.process_time()
    for stage in (flag_stage(), quality_stage()):
        source = stage.source
        tables = {item.table: dict(enumerate(pool.paths(item.table))) for item in source.inputs}
        for number in tables["checked" if "checked" in tables else "samples"]:
            task = Task(number, 0, tables)
            for rows in source.plan(task):
                for piece in source.load(task, rows):
                    stage.prepare(piece)
    list(MineTexts().run(pool))
    return time.process_time() - start


def missed(figures: Mapping[str, float], seeds: Sequence[int]) -> list[str]:
    """What falls short, a line each."""
    least = {f"{kind}.recall": recall for kind, (_, recall, _) in TARGETS.items()}
    least |= {f"{kind}.precision": precision for kind, (_, _, precision) in TARGETS.items()}
    least[f"{SWAPPED}.auc_of_alignment"] = LEAST_AUC
    wanted = [(f"seed_{seed}.{name}", value) for seed in seeds for name, value in least.items()]
    return [
        f"{name} {figures[name]:.3f}, at least {value}" for name, value in wanted if figures[name] < value
    ]


def main() -> None:
    """Every seed in a folder of its own that is removed afterwards."""
    flags = parser(__doc__)
    flags.add_argument("--seeds", type=int, default=SEEDS, help="plant that many times")
    given = flags.parse_args()
    seeds = range(1, 2 if given.quick else given.seeds + 1)
    figures: dict[str, float] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            per_kind, records = (QUICK_PER_KIND, QUICK_RECORDS) if given.quick else (PER_KIND, None)
            truth = planted(data, seed, per_kind, records)
            workspace = scored(data, Path(folder) / "work")
            figures |= {f"seed_{seed}.{name}": value for name, value in figures_of(workspace, truth).items()}
            if seed == 1:
                figures["records"] = workspace.store.read("samples", ["uid"]).num_rows
                figures["cpu_seconds_of_flags"] = seconds_of_flags(workspace)
    show("scorers", figures, ["pillow", "py3langid", "ftfy"], as_json=given.json)
    short = missed(figures, seeds)
    sys.stderr.write("".join(f"MISSED {line}\n" for line in short))
    sys.exit(1 if short else 0)


if __name__ == "__main__":
    main()
