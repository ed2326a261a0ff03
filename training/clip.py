"""Train the built-in CLIP: `python -m training.clip --out DIR --minutes 75`."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.icons import icon_pairs
from training.pairs import SIDE, Cache, read_cache, real_pairs, synthetic_pairs, write_cache

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

CONTEXT, VOCABULARY = 77, 4096  # tokens
PAD, START, END = 0, 1, 2  # token ids
CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 256,
        "vision_cfg": {
            "image_size": SIDE, "patch_size": 16, "width": 192, "layers": 6, "head_width": 32,
            "pool_type": "avg", "final_ln_after_pool": True,
        },
        "text_cfg": {
            "context_length": CONTEXT, "vocab_size": VOCABULARY, "width": 192, "heads": 6, "layers": 4,
            "pad_id": PAD, "eos_id": END, "pool_type": "eos", "hf_tokenizer_name": "builtin",
            "tokenizer_kwargs": {"clean": "whitespace"},
        },
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", "resize_mode": "squash",
    },
}  # fmt: skip

SLICE = 3000  # pictures drawn in one go
SHARES = {"drawn": 0.3, "real": 0.4, "icons": 0.3}  # of a batch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What a training run depends on."""

    out: Path
    data: Path | None = None  # folder that holds mixture/
    icons: Path | None = None  # folder of unpacked npm packages, see training/icons.py
    minutes: float = 75.0
    seed: int = 0
    threads: int = 2
    synthetic: int = 60_000  # pairs drawn
    batch: int = 256
    views: int = 48  # pictures of a batch that are also shown changed
    rate: float = 1.0e-3
    device: str = "cpu"
    steps: int | None = None  # ends after as many steps, whatever the time; then a run repeats bit for bit
    save_every: int = 100  # steps


def train(settings: Settings) -> None:
    """Train, or go on from `out`/checkpoint.pt, and write the model folder that open_clip loads.

    Leaves in `out`: open_clip_config.json, tokenizer.json, tokenizer_config.json, model.safetensors (fp16),
    model.sha256 and training.json (steps, pairs, minutes). Where `steps` is given, same settings give the
    same bytes on the same machine, interrupted or not; a length in minutes does not.
    """
    import torch

    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    settings.out.mkdir(parents=True, exist_ok=True)
    caches = gather(settings)
    log.info("%d pairs to train on", sum(len(cache.texts) for _, cache in caches))
    tokenizer = tokenizer_for(settings.out, caches)
    model = new_model().to(settings.device)
    facts = _fit(model, tokenizer, caches, settings)
    _save(model, settings.out, facts)


def gather(settings: Settings) -> list[tuple[float, Cache]]:
    """Return what there is to train on with its share of a batch, drawn by as many processes as threads.

    Pictures are kept in `out`/pairs at the model's resolution, for a run that goes on.
    """
    from concurrent.futures import ProcessPoolExecutor
    from functools import partial
    from multiprocessing import get_context

    folder, n = settings.out / "pairs", settings.synthetic
    slices = [range(at, min(n, at + SLICE)) for at in range(0, n, SLICE)]
    with ProcessPoolExecutor(settings.threads, get_context("spawn")) as pool:
        paths = list(pool.map(partial(_draw_slice, folder, settings.seed), slices))
    drawn = [read_cache(path) for path in paths]
    caches = [(SHARES["drawn"] * len(cache.texts) / n, cache) for cache in drawn]
    if settings.data:
        write_cache(folder / "real", real_pairs(settings.data, aside=False))
        caches.append((SHARES["real"], read_cache(folder / "real")))
    if settings.icons:
        write_cache(folder / "icons", icon_pairs(settings.icons, settings.seed))
        caches.append((SHARES["icons"], read_cache(folder / "icons")))
    return caches


def _draw_slice(folder: Path, seed: int, numbers: range) -> Path:
    path = folder / f"drawn-{seed}-{numbers.start}"
    write_cache(path, synthetic_pairs(numbers, seed))
    return path


def new_model() -> Any:
    """Return a freshly initialised open_clip model of CONFIG (weights from torch's current seed)."""
    from copy import deepcopy

    from open_clip.model import CLIP

    return CLIP(**deepcopy(CONFIG["model_cfg"]))


def tokenizer_for(out: Path, caches: list[tuple[float, Cache]]) -> Tokenizer:
    """Return the byte-level BPE of `out`, trained on the texts of the caches where it is not there yet."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    path = out / "tokenizer.json"
    if not path.exists():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        special = ["<pad>", "<s>", "</s>"]
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        shown = [set(texts) for _, cache in caches for texts in cache.texts]
        tokenizer.train_from_iterator((text for texts in shown for text in sorted(texts)), trainer)
        ends = [("<s>", START), ("</s>", END)]
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
        tokenizer.save(str(path), pretty=False)
        described = {
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT,
            "padding_side": "right", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>",
        }  # fmt: skip
        (out / "tokenizer_config.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
        (out / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=1) + "\n", encoding="utf-8")
    return Tokenizer.from_file(str(path))


def tokens_of(tokenizer: Tokenizer, texts: list[str], length: int) -> NDArray[np.int64]:
    """Return (n, at most length) token ids; longer texts are cut and still end with END."""
    found = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    width = min(length, max(len(ids) for ids in found))
    tokens = np.full((len(found), width), PAD, dtype=np.int64)
    for row, ids in zip(tokens, found, strict=True):
        kept = ids if len(ids) <= width else [*ids[: width - 1], END]
        row[: len(kept)] = kept
    return tokens


def text_features(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Return unit text vectors, computed over the given length instead of all of the context."""
    import torch

    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    ends = (tokens == END).int().argmax(dim=-1)
    x = x[torch.arange(len(x), device=x.device), ends] @ model.text_projection
    return torch.nn.functional.normalize(x.float(), dim=-1)


def image_features(model: Any, images: torch.Tensor) -> torch.Tensor:
    """Return unit image vectors of normalised pixels."""
    import torch

    return torch.nn.functional.normalize(model.encode_image(images).float(), dim=-1)


def _augment(images: torch.Tensor) -> torch.Tensor:
    """Shift, zoom, blur, brighten and darken each picture a little; uint8 in, normalised float32 out."""
    import torch
    from torch.nn import functional

    n = len(images)
    x = images.float().div_(127.5).sub_(1.0)
    scale = 1 - 0.05 * torch.rand(n, device=x.device)
    theta = torch.zeros(n, 2, 3, device=x.device)
    theta[:, 0, 0], theta[:, 1, 1] = scale, 1 - 0.05 * torch.rand(n, device=x.device)
    theta[:, :, 2] = (torch.rand(n, 2, device=x.device) - 0.5) * 0.06
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    x = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    bright = 0.86 + 0.28 * torch.rand(n, 1, 1, 1, device=x.device)  # of black-to-white, clipped as in a file
    x = ((x + 1) * bright - 1).clamp_(-1, 1)
    contrast = 0.92 + 0.16 * torch.rand(n, 1, 1, 1, device=x.device)
    few = n // 6  # as a small original is blurred when it is enlarged to SIDE
    soft = functional.interpolate(x[:few], size=SIDE // 2, mode="area")
    x[:few] = functional.interpolate(soft, size=SIDE, mode="bilinear", align_corners=False)
    return (x * contrast).clamp_(-1, 1)


def _draw(
    caches: list[tuple[float, Cache]], settings: Settings, rng: np.random.Generator
) -> tuple[Any, Any, list[str], Any]:
    """Return clean pixels, changed pixels, one text each, and an id that equal pictures share."""
    clean, altered, texts, ids = [], [], [], []
    offset, total = 0, sum(share for share, _ in caches)
    chosen = rng.choice(len(caches), settings.batch, p=[share / total for share, _ in caches])
    for number, (_, cache) in enumerate(caches):
        n = int((chosen == number).sum())
        rows = rng.choice(len(cache.texts), n, replace=n > len(cache.texts))
        clean.append(cache.clean[rows])
        altered.append(cache.changed[rows])
        texts += [cache.texts[row][rng.integers(len(cache.texts[row]))] for row in rows]
        ids.append(rows + offset)
        offset += len(cache.texts)
    order = rng.permutation(settings.batch)
    picked = [texts[i] for i in order]
    return np.concatenate(clean)[order], np.concatenate(altered)[order], picked, np.concatenate(ids)[order]


def _loss(
    model: Any,
    tokenizer: Tokenizer,
    caches: list[tuple[float, Cache]],
    settings: Settings,
    rng: np.random.Generator,
) -> Any:
    """Return CLIP's loss plus one that keeps changed copies close and other pictures away."""
    import torch
    from torch.nn import functional

    clean, altered, texts, ids = _draw(caches, settings, rng)
    length = int(rng.choice((32, 48, CONTEXT), p=(0.6, 0.25, 0.15)))
    tokens = torch.from_numpy(tokens_of(tokenizer, texts, length)).to(settings.device)
    swap = rng.random(len(clean)) < 0.4
    first = np.where(swap[:, None, None, None], altered, clean)
    second = np.where(swap[:, None, None, None], clean, altered)[: settings.views]
    shown = _augment(torch.from_numpy(np.concatenate([first, second])).to(settings.device))
    with torch.autocast(settings.device, torch.bfloat16):
        images, sentences = image_features(model, shown), text_features(model, tokens)
    views, images = images[len(clean) :], images[: len(clean)]
    same = torch.from_numpy(ids[:, None] == ids[None]).to(settings.device)
    alike = same | (tokens[:, None] == tokens[None]).all(-1)
    alike.fill_diagonal_(False)
    same.fill_diagonal_(False)
    target = torch.arange(len(images), device=images.device)
    logits = (model.logit_scale.exp().clamp(max=100) * images @ sentences.T).masked_fill(alike, -1e4)
    pairs = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
    between = (views @ images.T / 0.1).masked_fill(same[: len(views)], -1e4)
    kept = functional.cross_entropy(between, target[: len(views)])
    apart = 1 - (views * images[: len(views)]).sum(-1).mean()
    return pairs + 0.5 * kept + 4.0 * apart, pairs.item(), apart.item()


def _fit(
    model: Any, tokenizer: Tokenizer, caches: list[tuple[float, Cache]], settings: Settings
) -> dict[str, Any]:
    import torch

    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.2}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.98))
    step, before = _resume(model, optimizer, settings)
    start = time.monotonic()
    while True:
        spent = before + time.monotonic() - start
        done = step / settings.steps if settings.steps else spent / (60 * settings.minutes)
        if done >= 1:
            break
        rate = (
            settings.rate * min(1.0, (step + 1) / 60) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        rng = np.random.default_rng((settings.seed, step))
        torch.manual_seed(int(rng.integers(1 << 62)))
        loss, pairs, apart = _loss(model, tokenizer, caches, settings, rng)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % 25 == 0:
            log.info("step %d, %.1f min, pairs %.3f, apart %.4f", step, spent / 60, pairs, apart)
        if step % settings.save_every == 0:
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "spent": spent,
            }
            torch.save(state, settings.out / "checkpoint.tmp")
            (settings.out / "checkpoint.tmp").replace(settings.out / "checkpoint.pt")
    sizes = sum(len(cache.texts) for _, cache in caches)
    return {"steps": step, "batch": settings.batch, "minutes": round(spent / 60, 1), "pictures": sizes}


def _resume(model: Any, optimizer: Any, settings: Settings) -> tuple[int, float]:
    """Return (steps done, seconds spent) of an earlier run in the same folder, its state loaded."""
    import torch

    path = settings.out / "checkpoint.pt"
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, map_location=settings.device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    log.info("going on from step %d", state["step"])
    return state["step"], state["spent"]


def _save(model: Any, out: Path, facts: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    weights = {name: tensor.detach().half().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, out / "model.safetensors")
    digest = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    (out / "model.sha256").write_text(f"{digest}  model.safetensors\n", encoding="utf-8")
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--data", type=Path, help="folder that holds mixture/mixture.json and mixture/sources.json"
    )
    parser.add_argument("--icons", type=Path, help="folder of unpacked npm packages of emoji")
    parser.add_argument("--minutes", type=float, default=Settings.minutes)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--threads", type=int, default=Settings.threads)
    parser.add_argument("--synthetic", type=int, default=Settings.synthetic)
    parser.add_argument("--rate", type=float, default=Settings.rate, help="the highest learning rate")
    parser.add_argument("--device", default=Settings.device, choices=("cpu", "cuda"))
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("PIL").setLevel(logging.WARNING)
    train(Settings(**vars(given)))


if __name__ == "__main__":
    main()
