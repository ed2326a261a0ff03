"""Samples per second of the grounding stage, against one sample at a time in float32: both ours, same model.

The stage decodes images and makes prompts in threads, sorts by length and runs `vlm.batch` prompts a pass,
with the image and without. The alternative does the same, one sample after the other. The perplexities must
agree before anything is timed; of bfloat16 the rank correlation of image grounding with float32 is printed,
its error, and how many samples lie so near to 1 that such an error decides their rank.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from benchmarks.embed import run_stage, subset
from benchmarks.report import SHARED, alternate, parser, show
from curation.executor.local import LocalEngine
from curation.executor.memory import MemoryLimit
from curation.executor.planner import Planner
from curation.models.vision_language import VisionLanguageModel
from curation.models.vlm import load_vlm
from curation.progress import Silent
from curation.readers.images import decode, fetch, to_rgb
from curation.readers.sources import find_spans
from curation.steps.chain import chain
from curation.workspace import Workspace
from scorers.grounding import Grounding

if TYPE_CHECKING:
    from curation.steps.score.grounding import Ground

Rows = list[dict[str, Any]]


def one_at_a_time(vlm: VisionLanguageModel, samples: Rows) -> Rows:
    """Scores of each sample from passes of its own."""
    found: Rows = []
    for sample in samples:
        contents = fetch(sample["images"])
        images = [to_rgb(decode(data, max_pixels=10**8)) for data in contents if isinstance(data, bytes)]
        asked = vlm.ask([(turn["role"], turn["text"]) for turn in sample["turns"]], images)
        found += Grounding().score(vlm.answered([asked])).to_pylist()
    return found


def column(rows: Rows, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A column as float64, NaN where null."""
    return np.array([np.nan if row[name] is None else row[name] for row in rows], np.float64)


def rank_correlation(ours: Rows, theirs: Rows, name: str) -> float:
    """Spearman's, over rows where both have a value."""
    table = pl.DataFrame({"ours": column(ours, name), "theirs": column(theirs, name)}).fill_nan(None)
    return float(table.drop_nulls().select(pl.corr("ours", "theirs", method="spearman")).item())


def benchmark(vlm: str, limit: int, repeat: int) -> dict[str, float]:
    """Figures of one model."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = subset(folder, limit)
        workspace = Workspace.init(
            folder / "work", {"pool": data}, images=[SHARED / "mixture"], model="builtin:tiny"
        )
        workspace = Workspace(folder / "work", {"vlm.model": vlm})
        spans = find_spans(workspace.config, workspace.store.root, workspace.base, Silent())
        planner = Planner(
            workspace.store, LocalEngine(workspace.store, MemoryLimit(10**11)), Silent(), spans, 0.5
        )
        planner.run(chain(workspace.context, "ingest"))
        stages = chain(workspace.context, "score")
        stage: Any = next(stage for stage in stages if stage.name == "grounding")
        by_dtype: dict[str, Ground] = {
            dtype: replace(stage, vlm=replace(stage.vlm, dtype=dtype)) for dtype in ("float32", "bfloat16")
        }
        samples = workspace.store.read("samples", ["turns", "images"]).to_pylist()
        plain = VisionLanguageModel(*load_vlm(vlm, "cpu", "float32"), batch=1)
        expected, found = one_at_a_time(plain, samples), {}
        for dtype, each in by_dtype.items():
            run_stage(planner, each, len(samples))
            found[dtype] = workspace.store.read("grounding").to_pylist()
        difference = np.nanmax(np.abs(column(found["float32"], "nll") - column(expected, "nll")))
        assert difference < 1e-3, f"the stage and the plain loop disagree by {difference} nats"

        def timed() -> float:
            start = time.perf_counter()
            one_at_a_time(plain, samples)
            return len(samples) / (time.perf_counter() - start)

        runs = {"one_at_a_time_float32": timed}
        for dtype, each in by_dtype.items():
            runs[f"stage_{dtype}"] = lambda each=each: run_stage(planner, each, len(samples))  # type: ignore[misc]
        medians = alternate(runs, repeat)
    figures = {f"{name}_samples_per_second": value for name, value in medians.items()}
    for dtype in by_dtype:
        figures[f"ratio_{dtype}_vs_one_at_a_time"] = (
            medians[f"stage_{dtype}"] / medians["one_at_a_time_float32"]
        )
        figures[f"rank_correlation_of_grounding_{dtype}"] = rank_correlation(
            found[dtype], expected, "image_grounding"
        )
    exact, rounded = (column(rows, "image_grounding") for rows in (expected, found["bfloat16"]))
    figures["grounding_within_5_percent_of_1.share"] = float(np.nanmean(np.abs(exact - 1) < 0.05))
    figures["median_relative_error_of_grounding_bfloat16"] = float(np.nanmedian(np.abs(rounded / exact - 1)))
    return {"samples": len(samples), **figures}


def main() -> None:
    """The built-in model, or another."""
    flags = parser(__doc__)
    flags.add_argument("--vlm", default="builtin")
    given = flags.parse_args()
    limit, repeat = (128, 2) if given.quick else (512, given.repeat)
    figures = benchmark(given.vlm, limit, repeat)
    show("grounding", figures, ["torch", "transformers", "pillow"], as_json=given.json)


if __name__ == "__main__":
    main()
