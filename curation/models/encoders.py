"""Which encoder `--model` names: one of open_clip, or with `NAME:…` one of these or another package's."""

from __future__ import annotations

import random

import numpy as np

from curation.generate import KINDS
from curation.models.encoder import PRECISIONS, OpenClip
from curation.models.environment import environment
from curation.plugins import offered
from schemas.protocols import EncoderKind

GROUP = "curation.encoders"
OPEN_CLIP = "open_clip"

ENCODERS: dict[str, type[EncoderKind]] = {
    OPEN_CLIP: OpenClip,
}


def kind_of(model: str) -> EncoderKind:
    """What knows how to load `model`; open_clip whatever nobody else claims."""
    name, colon, _ = model.partition(":")
    if colon and name in ENCODERS:
        return ENCODERS[name]()
    others = offered(GROUP) if colon else {}
    if name in others:
        found: EncoderKind = others[name].load()()
        return found
    return ENCODERS[OPEN_CLIP]()


def resolve_environment(model: str, device: str = "auto") -> dict[str, str]:
    """Return the model's identity with device ("cpu" or "cuda"), candidate dtype, and the packages' versions.

    `device` is auto, cpu or cuda; auto takes a GPU where one is visible. The dtype is bfloat16 on a GPU and
    on processors with bf16 instructions, else float32; whether the model bears it, `bf16_cosine` says.

    Raises:
        ConfigError: the device is unknown, or cuda is asked for and no GPU is visible.
        ModelUnavailable: the model's name or path is wrong.
    """
    kind = kind_of(model)
    return {**kind.identity(model), **environment(device, kind.packages)}


def bf16_cosine(model: str, device: str = "cpu") -> float:
    """Return the smallest cosine between float32 and bfloat16 vectors of 28 generated pictures and texts.

    Raises:
        ModelUnavailable: the model cannot be loaded.
    """
    samples = [draw(random.Random(seed)) for seed in range(4) for draw in KINDS.values()]
    texts = [sample.caption for sample in samples]
    images = [sample.image for sample in samples if sample.image is not None]
    found = []
    for dtype in PRECISIONS:
        encoder = kind_of(model).load(model, device=device, dtype=dtype)
        seen = encoder.encode_images(np.stack([encoder.preprocess(image) for image in images]))
        found.append(np.concatenate([seen, encoder.encode_texts(encoder.tokenize(texts))]))
    return float((found[0] * found[1]).sum(axis=1).min())
