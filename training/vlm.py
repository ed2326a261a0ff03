"""Train the builtin VLM: `python -m training.vlm --out DIR --data ../shared/data --minutes 70`."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.mixture import Mixture, texts_for_tokenizer
from training.questions import FACTS
from training.rows import (
    END,
    IMAGE,
    PAD,
    PATCH,
    PATCHES,
    SIDE,
    SPECIAL,
    START,
    UNKNOWN,
    Encoder,
)  # fmt: skip

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from training.rows import Rows

VOCABULARY = 4096  # tokens
CONTEXT = 1024  # tokens that the language model has positions for; it was trained on far shorter rows
LOOKING = 0.35  # of the run: the vision tower alone learns what each patch shows
GUIDED = 0.5  # weight of the facts of the patches beside the answers
PLACED = 8.0  # by which position embeddings are enlarged; small ones drown in the patches' colours
TOWER: dict[str, Any] = {
    "hidden_size": 192,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
}
LANGUAGE: dict[str, Any] = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 5,
    "num_attention_heads": 6,
}
# As curate's own tokens want it: "<s><user><image>What is this?<assistant>a cat</s><user>..."
CHAT_TEMPLATE = (
    "<s>{% for message in messages %}"
    "{% if message.role == 'user' %}<user>{% elif message.role == 'assistant' %}<assistant>{% endif %}"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}{% if part.type == 'image' %}<image>{% endif %}{% endfor %}"
    "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}"
    "{% endif %}{% if message.role == 'assistant' %}</s>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What a training run depends on."""

    out: Path
    data: Path | None = None  # folder that holds mixture/, else drawn pictures and text alone
    tower: Path | None = None  # open_clip folder whose image tower the vision tower starts from
    minutes: float = 70.0
    seed: int = 0
    threads: int = 1
    rows: int = 32  # of a step
    width: int = 104  # tokens of a row
    rate: float = 8e-4
    device: str = "cpu"
    steps: int | None = None  # ends after as many steps, whatever the time


def train(settings: Settings) -> None:
    """Train, or go on from `out`/checkpoint.pt, and write the model folder that transformers loads.

    Leaves in `out` what `save_pretrained` of model (fp16) and processor write, model.sha256 and training.json
    (steps, rows, minutes). Same settings do not give the same bytes: a run's length is given in minutes.
    """
    import torch

    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    settings.out.mkdir(parents=True, exist_ok=True)
    mixture = Mixture.of(settings.data, settings.seed, settings.rows, settings.width)
    tokenizer = tokenizer_for(settings.out, settings.data, settings.seed)
    model = new_model()
    if settings.tower:
        _take_tower(model, settings.tower)
    with torch.no_grad():
        model.model.vision_tower.embeddings.position_embedding.weight.mul_(PLACED)
    facts = _fit(model.to(settings.device), Encoder(tokenizer), mixture, settings)
    save(model, settings.out, facts)


def new_model() -> Any:
    """Return a freshly initialised LlavaForConditionalGeneration (weights from torch's current seed)."""
    import transformers

    known: Any = transformers  # its types know fewer arguments than its classes take
    tower = known.CLIPVisionConfig(
        **TOWER, image_size=SIDE, patch_size=PATCH, hidden_act="gelu", projection_dim=192
    )
    language = known.LlamaConfig(
        **LANGUAGE, vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, tie_word_embeddings=True,
        pad_token_id=PAD, bos_token_id=START, eos_token_id=END,
    )  # fmt: skip
    config = known.LlavaConfig(
        vision_config=tower, text_config=language, image_token_index=IMAGE, image_seq_length=PATCHES,
        vision_feature_layer=-1, vision_feature_select_strategy="default", tie_word_embeddings=True,
        pad_token_id=PAD, bos_token_id=START, eos_token_id=END,
    )  # fmt: skip
    model = known.LlavaForConditionalGeneration(config)
    model.set_attn_implementation("eager")  # on CPU, the backward pass of fused attention takes longer
    return model


def _take_tower(model: Any, folder: Path) -> None:
    """Copy the image tower of an open_clip ViT of the same sizes into the vision tower."""
    import torch
    from safetensors.torch import load_file

    weights = {
        name.removeprefix("visual."): tensor.float()
        for name, tensor in load_file(folder / "model.safetensors").items()
        if name.startswith("visual.")
    }
    found = {
        "embeddings.class_embedding": weights["class_embedding"],
        "embeddings.patch_embedding.weight": weights["conv1.weight"],
        "embeddings.position_embedding.weight": weights["positional_embedding"],
    }
    for part in ("weight", "bias"):
        found[f"pre_layrnorm.{part}"] = weights[f"ln_pre.{part}"]
        found[f"post_layernorm.{part}"] = weights[f"ln_post.{part}"]
        for i in range(TOWER["num_hidden_layers"]):
            ours, theirs = f"encoder.layers.{i}", f"transformer.resblocks.{i}"
            packed = weights[f"{theirs}.attn.in_proj_{part}"].chunk(3)
            for name, tensor in zip("qkv", packed, strict=True):
                found[f"{ours}.self_attn.{name}_proj.{part}"] = tensor
            for name, other in (
                ("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
            ):  # fmt: skip
                found[f"{ours}.{name}.{part}"] = weights[f"{theirs}.{other}.{part}"]
    tower = model.model.vision_tower
    prefix = "vision_model." if hasattr(tower, "vision_model") else ""
    with torch.no_grad():
        missing, unexpected = tower.load_state_dict(
            {f"{prefix}{name}": tensor for name, tensor in found.items()}, strict=False
        )
    if unexpected or [name for name in missing if "position_ids" not in name]:
        raise ValueError(f"{folder} has another image tower: {[*missing, *unexpected][:4]} do not match")


def tokenizer_for(out: Path, data: Path | None, seed: int) -> Tokenizer:
    """Return the byte-level BPE of `out`, trained on the texts of the mixture where it is not there yet.

    Digits stand alone, and a space is put before each text, so that a word is the same token wherever it is.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    path = out / "tokenizer.json"
    if not path.exists():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Prepend(" ")])
        words = Regex(r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(words, "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
        )
        tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY, special_tokens=list(SPECIAL), show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
        tokenizer.train_from_iterator(texts_for_tokenizer(data, seed), trainer)
        tokenizer.save(str(path), pretty=False)
    return Tokenizer.from_file(str(path))


def processor_for(tokenizer: Tokenizer) -> Any:
    """Return the LlavaProcessor of the builtin VLM: squashed to SIDE px, mean and deviation 0.5."""
    import transformers

    known: Any = transformers
    half = [0.5, 0.5, 0.5]
    pictures = known.CLIPImageProcessor(
        size={"height": SIDE, "width": SIDE}, do_center_crop=False, image_mean=half, image_std=half
    )
    texts = known.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        additional_special_tokens=["<image>", "<user>", "<assistant>"], padding_side="left",
        model_max_length=CONTEXT, chat_template=CHAT_TEMPLATE, clean_up_tokenization_spaces=False,
    )  # fmt: skip
    return known.LlavaProcessor(
        pictures, texts, patch_size=PATCH, vision_feature_select_strategy="default", image_token="<image>",
        num_additional_image_tokens=1, chat_template=CHAT_TEMPLATE,
    )  # fmt: skip


def new_guide() -> Any:
    """Return the head that reads FACTS off image tokens in training; the model that is saved has none.

    It gives the vision tower a target a patch: from the answers alone it would learn many times slower.
    """
    from torch import nn

    d = LANGUAGE["hidden_size"]
    return nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 2 + sum(map(len, FACTS.values()))))


def answer_loss(model: Any, rows: Rows, tokens: torch.Tensor | None, device: str) -> torch.Tensor:
    """Return the weighted mean NLL (nats) of the answers, given the (p, PATCHES, d) image tokens."""
    import torch
    from torch.nn import functional

    ids, places = torch.from_numpy(rows.ids).to(device), torch.from_numpy(rows.places).to(device)
    weights = torch.from_numpy(rows.weights[:, 1:]).to(device)
    allowed = torch.from_numpy(rows.mask()).to(device)
    barred = torch.zeros(allowed.shape, device=device).masked_fill(~allowed, -1e9)
    with torch.autocast(device, torch.bfloat16):
        embedded = model.get_input_embeddings()(ids)
        if tokens is not None:
            embedded = embedded.masked_scatter((ids == IMAGE)[:, :, None], tokens.to(embedded.dtype))
        hidden = model.model.language_model(
            inputs_embeds=embedded, attention_mask=barred, position_ids=places, use_cache=False
        ).last_hidden_state
        asked = weights > 0
        logits = model.lm_head(hidden[:, :-1][asked])
    losses = functional.cross_entropy(logits.float(), ids[:, 1:][asked], reduction="none")
    return (losses * weights[asked]).sum() / weights.sum()


def image_tokens(model: Any, rows: Rows, device: str) -> torch.Tensor | None:
    """Return the (p, PATCHES, d) tokens that the language model gets for the rows' pictures."""
    import torch

    if not len(rows.pixels):
        return None
    shown = torch.from_numpy(rows.pixels).to(device).float().div_(127.5).sub_(1.0)
    with torch.autocast(device, torch.bfloat16):
        seen = model.model.vision_tower(shown).last_hidden_state[:, 1:]
        tokens: torch.Tensor = model.model.multi_modal_projector(seen)
    return tokens


def guide_loss(guide: Any, rows: Rows, tokens: torch.Tensor) -> torch.Tensor:
    """Return the NLL (nats) of the facts of the patches: of each fact the mean, of these the mean."""
    import torch
    from torch.nn import functional

    classes = torch.from_numpy(rows.facts).to(tokens.device)
    with torch.autocast(tokens.device.type, torch.bfloat16):
        found = guide(tokens).split([2, *map(len, FACTS.values())], dim=-1)
    losses = []
    for i, logits in enumerate(found):
        known = classes[:, :, i] != UNKNOWN
        if known.any():
            losses.append(functional.cross_entropy(logits[known].float(), classes[:, :, i][known]))
    return torch.stack(losses).mean() if losses else tokens.sum() * 0.0


def _fit(model: Any, encoder: Encoder, mixture: Mixture, settings: Settings) -> dict[str, Any]:
    import torch

    guide = new_guide().to(settings.device)
    learnt = [*model.parameters(), *guide.parameters()]
    groups = [
        {"params": [p for p in learnt if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in learnt if p.ndim <= 1], "weight_decay": 0.0},
    ]
    parts = {
        "model": model,
        "guide": guide,
        "optimizer": torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.98), fused=True),
    }
    step, before = _resume(parts, settings)
    start, recent = time.monotonic(), deque[list[float]](maxlen=50)
    while True:
        spent = before + time.monotonic() - start
        done = max(spent / (60 * settings.minutes), step / settings.steps if settings.steps else 0.0)
        if done >= 1:
            break
        for group in parts["optimizer"].param_groups:
            group["lr"] = settings.rate * _pace(step, done)
        losses = _losses(model, guide, _rows(mixture, encoder, step, done), settings.device)
        loss: Any = losses[0] + GUIDED * losses[1]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        parts["optimizer"].step()
        parts["optimizer"].zero_grad()
        step += 1
        recent.append([part.item() for part in losses])
        if step % 50 == 0:
            log.info(
                "step %d, %.1f min, answers %.3f, facts %.3f", step, spent / 60, *np.mean(recent, axis=0)
            )
        if step % 100 == 0:
            _keep(parts, settings, {"step": step, "spent": spent})
    _keep(parts, settings, {"step": step, "spent": spent})
    return {"steps": step, "rows": settings.rows, "width": settings.width, "minutes": round(spent / 60, 1)}


def _rows(mixture: Mixture, encoder: Encoder, step: int, done: float) -> Rows:
    if done < LOOKING:
        return mixture.pictures(encoder, step)
    return mixture.batch(encoder, step, (done - LOOKING) / (1 - LOOKING))


def _losses(model: Any, guide: Any, rows: Rows, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of the answers, 0 where nothing is asked, and that of the facts."""
    import torch

    nil = torch.zeros((), device=device)
    tokens = image_tokens(model, rows, device)
    told = nil if tokens is None else guide_loss(guide, rows, tokens)
    return (answer_loss(model, rows, tokens, device) if rows.weights.any() else nil), told


def _pace(step: int, done: float) -> float:
    """Return the fraction of the rate: a rise at the start of either part of the run, then a cosine to 0."""
    rise = (step + 1) / 100 if done < LOOKING else (done - LOOKING) / 0.01
    return min(1.0, rise + 0.01) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def _keep(parts: dict[str, Any], settings: Settings, progress: dict[str, Any]) -> None:
    import torch

    state = {name: part.state_dict() for name, part in parts.items()}
    torch.save({**state, **progress}, settings.out / "checkpoint.tmp")
    (settings.out / "checkpoint.tmp").replace(settings.out / "checkpoint.pt")


def _resume(parts: dict[str, Any], settings: Settings) -> tuple[int, float]:
    """Return (steps done, seconds spent) of an earlier run in the same folder, its state loaded."""
    import torch

    path = settings.out / "checkpoint.pt"
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, map_location=settings.device, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    log.info("going on from step %d", state["step"])
    return state["step"], state["spent"]


def save(model: Any, out: Path, facts: dict[str, Any]) -> None:
    """Write the model (fp16), its processor, the sha256 of the weights and the facts of the run to `out`."""
    import torch
    from tokenizers import Tokenizer

    model.to(torch.float16).save_pretrained(out)
    processor_for(Tokenizer.from_file(str(out / "tokenizer.json"))).save_pretrained(out)
    digest = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    (out / "model.sha256").write_text(f"{digest}  model.safetensors\n", encoding="utf-8")
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder that holds mixture/mixture.json and sources.json")
    parser.add_argument("--tower", type=Path, help="open_clip folder whose image tower to start from")
    parser.add_argument("--minutes", type=float, default=Settings.minutes)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--threads", type=int, default=Settings.threads)
    parser.add_argument("--rows", type=int, default=Settings.rows)
    parser.add_argument("--width", type=int, default=Settings.width)
    parser.add_argument("--rate", type=float, default=Settings.rate)
    parser.add_argument("--device", default=Settings.device, choices=("cpu", "cuda"))
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("PIL").setLevel(logging.WARNING)
    train(Settings(**vars(given)))


if __name__ == "__main__":
    main()
