"""Images per second of the whole embed stage, against a plain open_clip loop and the bare forward pass.

The stage reads files, decodes, resizes, runs the model and commits shards. (a) is what people write:
open_clip in float32 over the same files, 32 at a time. (b) is the model alone, bfloat16 weights, pixels in
memory. The vectors of the stage and of (a) must agree before anything is timed. The images are those of the
internal test data; where that is not there, drawn ones, which are smaller and faster to decode.
"""

from __future__ import annotations

import os

# As `load_encoder` does, but here torch is imported before it; the plain loop gets the benefit too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from benchmarks.pools import drawn
from benchmarks.report import SHARED, alternate, arguments, show
from curation.executor.local import LocalEngine
from curation.executor.memory import MemoryLimit
from curation.executor.planner import Planner
from curation.models.assembly import assembled
from curation.models.encoder import load_encoder
from curation.models.spec import BUILTIN, CLIPS
from curation.progress import Silent
from curation.readers.images import to_rgb
from curation.readers.sources import find_spans
from curation.steps.chain import chain
from curation.storage.rows import vectors
from curation.workspace import Workspace
from scorers.image_figures import measure

if TYPE_CHECKING:
    from schemas.stages import Stage

BATCH = 32
MODELS = ("builtin", "builtin:tiny", "ViT-B-32/random")


def stage_of(folder: Path, model: str, limit: int) -> tuple[Planner, Stage, list[Path]]:
    """A workspace with `limit` distinct images ingested, and its image embedding stage, not yet run."""
    there = (SHARED / "mixture").is_dir()
    data = subset(folder, limit) if there else drawn_pool(folder, limit)
    images = SHARED / "mixture" if there else folder
    workspace = Workspace.init(folder / "work", {"pool": data}, images=[images], model=model)
    spans = find_spans(workspace.config, workspace.store.root, workspace.base, Silent())
    planner = Planner(
        workspace.store, LocalEngine(workspace.store, MemoryLimit(10**11)), Silent(), spans, 0.5
    )
    planner.run(chain(workspace.context, "ingest"))
    embed = next(s for s in chain(workspace.context, "embed") if s.name == "image_vectors")
    refs = [ref for refs in workspace.store.read("samples", ["images"])["images"].to_pylist() for ref in refs]
    files = list(dict.fromkeys(Path(ref["path"]) for ref in {ref["sha256"]: ref for ref in refs}.values()))
    return planner, embed, files


def subset(folder: Path, limit: int) -> Path:
    """Records of the mixture, spread over its sources, with `limit` distinct image files between them."""
    import json

    records = json.loads((SHARED / "mixture" / "mixture.json").read_text())
    single = [record for record in records if isinstance(record.get("image"), str)]
    chosen = list({record["image"]: record for record in single}.values())
    step = max(1, len(chosen) // limit)
    path = folder / "pool.json"
    path.write_text(json.dumps(chosen[::step][:limit]))
    return path


def drawn_pool(folder: Path, limit: int) -> Path:
    """`limit` records of drawn pictures."""
    import json

    path = folder / "pool.json"
    path.write_text(json.dumps(drawn(folder, limit, 0)))
    return path


def run_stage(planner: Planner, stage: Stage, n: int) -> float:
    """Images per second of the stage, from nothing committed."""
    root = planner.store.root
    assert isinstance(root, Path)
    for kind in ("shards", "ledger"):
        shutil.rmtree(root / kind / stage.name, ignore_errors=True)
    (root / "tables" / f"{stage.name}.json").unlink(missing_ok=True)
    start = time.perf_counter()
    planner.run([stage])
    return n / (time.perf_counter() - start)


def plain_loop(encoder: Any, files: list[Path]) -> tuple[np.ndarray[Any, Any], float]:
    """What people write: open_clip's own transform and float32 model, one batch after the other."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    transform = image_transform_v2(PreprocessCfg(**encoder.model.visual.preprocess_cfg), is_train=False)
    found = []
    start = time.perf_counter()
    with torch.inference_mode():
        for at in range(0, len(files), BATCH):
            images = [transform(to_rgb(Image.open(path))) for path in files[at : at + BATCH]]
            features = encoder.model.encode_image(torch.stack(images))
            found.append(torch.nn.functional.normalize(features, dim=-1).numpy())
    return np.concatenate(found), len(files) / (time.perf_counter() - start)


def forward_only(encoder: Any, n: int) -> float:
    """The model alone: batches of pixels that are in memory already."""
    pixels = torch.randn(BATCH, 3, *encoder.image_size).to(torch.bfloat16)
    batches = max(1, n // BATCH)
    with torch.inference_mode():
        start = time.perf_counter()
        for _ in range(batches):
            encoder.model.encode_image(pixels)
    return batches * BATCH / (time.perf_counter() - start)


def decode_only(files: list[Path]) -> float:
    """One thread that opens, decodes and measures."""
    start = time.perf_counter()
    for path in files:
        measure(to_rgb(Image.open(path)))
    return len(files) / (time.perf_counter() - start)


def benchmark(model: str, limit: int, repeat: int) -> dict[str, float]:
    """Figures of one model."""
    torch.set_num_threads(2)
    as_open_clip_has_it = str(assembled(CLIPS[BUILTIN])) if model == BUILTIN else model
    bf16 = load_encoder(as_open_clip_has_it, device="cpu", dtype="bfloat16")
    fp32 = load_encoder(as_open_clip_has_it, device="cpu", dtype="float32")
    with tempfile.TemporaryDirectory() as folder:
        planner, stage, files = stage_of(Path(folder), model, limit)
        planner.run([stage])
        ours = vectors(planner.store.read("image_vectors", ["vector"])["vector"])
        theirs, _ = plain_loop(fp32, files)
        agreement = float((ours * theirs).sum(axis=1).min())
        assert agreement > 0.998, f"the stage and the plain loop disagree: cosine {agreement}"
        runs = {
            "stage": lambda: run_stage(planner, stage, len(files)),
            "plain_fp32_loop": lambda: plain_loop(fp32, files)[1],
            "forward_bf16_only": lambda: forward_only(bf16, len(files)),
            "decode_and_measure_one_thread": lambda: decode_only(files),
        }
        medians = alternate(runs, repeat)
    figures = {f"{model}.{name}_images_per_second": value for name, value in medians.items()}
    figures[f"{model}.ratio_vs_plain_loop"] = medians["stage"] / medians["plain_fp32_loop"]
    figures[f"{model}.ratio_vs_forward_only"] = medians["stage"] / medians["forward_bf16_only"]
    figures[f"{model}.smallest_cosine_to_plain_loop"] = agreement
    return figures


def main() -> None:
    """All models; `builtin` alone where it must be quick."""
    flags = arguments(__doc__)
    figures: dict[str, float] = {}
    for model in MODELS[:1] if flags.quick else MODELS:
        figures |= benchmark(model, 128 if flags.quick else 512, 2 if flags.quick else flags.repeat)
    show("embed", figures, ["torch", "open_clip_torch", "pillow"], as_json=flags.json)


if __name__ == "__main__":
    main()
