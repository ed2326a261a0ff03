"""Train the heads of the built-in CLIP: `python -m training.heads --data ../shared/data --out DIR`.

Both towers are frozen, so each picture and text passes through them once; what is trained are two linear
layers on features, in minutes. With few pairs that works by STRUCTURE (Groeger et al., NeurIPS 2025): a term
keeps the neighbourhoods that each tower has learned from far more data than there are pairs here.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import logging
import math
import random
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from curation.models.assembly import CONFIG, write_model
from curation.models.encoder import load_encoder
from curation.models.spec import BUILTIN, CLIPS
from curation.models.towers import classifier
from training.classes import ClassText, class_texts
from training.pairs import changed, real_pairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from curation.models.encoder import OpenClipEncoder
    from training.pairs import Pair

IMAGE_WIDTH, TEXT_WIDTH = 1280, 384  # of the towers' features
DIM = 256
MODEL: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": DIM,
        "vision_cfg": {
            "timm_model_name": "tf_efficientnet_lite0", "timm_model_pretrained": False, "timm_pool": "avg",
            "timm_proj": "linear", "timm_proj_bias": True, "image_size": 224,
        },
        "text_cfg": {
            "hf_model_name": "", "hf_tokenizer_name": "", "hf_model_pretrained": False,
            "hf_pooler_type": "mean_pooler", "hf_proj_type": "linear", "context_length": 128,
            "tokenizer_kwargs": {"clean": "whitespace"},
        },
    },
    "preprocess_cfg": {
        "mean": [127 / 255] * 3, "std": [128 / 255] * 3, "interpolation": "bicubic", "resize_mode": "squash",
    },
}  # fmt: skip
BATCH = 64  # pictures or texts a pass through a tower
CHANGED = 0.4  # share of the pictures of a batch that are shown changed
WEIGHTS = {
    "emoji_noto": 4.2, "nlvr": 3.0, "vqa_rad": 2.6, "openstax": 2.4, "generated": 1.8, "sroie": 1.6,
    "easy_vqa": 1.3,
}  # fmt: skip
"""How many times its share of a batch a source has; the share goes by the root of its size."""
FEWEST = 8  # pairs of a source in a batch, below which they are not ranked
PHOTOGRAPHS = ("openstax", "generated")  # sources whose pictures say where photographs lie

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What a run depends on besides its data."""

    steps: int = 200
    rate: float = 1e-3
    decay: float = 0.1  # of weights
    pairs: int = 1024  # of a batch: pictures with a text
    classes: int = 640  # of a batch: classes with a text
    structure: float = 5.0  # weight of the term that keeps neighbourhoods
    warmth: float = 0.05  # temperature of that term
    noise: float = 0.3  # added to features, in their standard deviations
    n_texts: int = 12_000  # texts on two classes
    seed: int = 0


@dataclass(frozen=True)
class Features:
    """Pairs as the towers see them."""

    images: torch.Tensor  # (n, 1280)
    altered: torch.Tensor  # (n, 1280), of the same pictures resized, recompressed, cropped or brightened
    texts: torch.Tensor  # (m, 384)
    of: tuple[tuple[int, ...], ...]  # n, rows of `texts` that belong to a picture
    sources: NDArray[np.str_]  # (n,)


@dataclass(frozen=True)
class Classes:
    """ImageNet's classes as pairs of a text and of where pictures of its classes lie."""

    rows: torch.Tensor  # (1000, 1280), the classifier's weights
    texts: torch.Tensor  # (m, 384)
    shown: torch.Tensor  # (m, 2), classes that a text's picture shows; the same twice where it is one
    true_of: torch.Tensor  # (m, 1000), 1 where a text is true of a class

    def centres(self, photographs: torch.Tensor) -> torch.Tensor:
        """(1000, 1280) where pictures of each class lie, told by (n, 1280) features of any photographs.

        A row of a linear classifier is the offset of its class's mean times the inverse covariance, so the
        covariance takes it back. That has few photographs to be told from, and so counts half: the other half
        is the row itself. All lie as far from the mean of photographs as photographs do.
        """
        mean = photographs.mean(0)
        offsets = photographs - mean
        covariance = offsets.T @ offsets / len(offsets)
        covariance = 0.9 * covariance + 0.1 * torch.diag(torch.diagonal(covariance))
        rows = self.rows - self.rows.mean(0)
        both = functional.normalize(rows, dim=1) + functional.normalize(rows @ covariance, dim=1)
        distance: torch.Tensor = offsets.norm(dim=1).median()
        return mean + functional.normalize(both, dim=1) * distance


class Towers:
    """The frozen towers, through the encoder that users load."""

    def __init__(self, scratch: Path) -> None:
        write_heads(scratch / "heads", {name: torch.zeros(shape) for name, shape in SHAPES.items()}, {})
        write_model(scratch / "heads", scratch / "model")
        self.encoder: OpenClipEncoder = load_encoder(str(scratch / "model"), device="cpu", dtype="float32")

    def images(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """(n, 1280) features."""
        trunk, found = self.encoder.model.visual.trunk, []
        for at in range(0, len(pictures), BATCH):
            pixels = np.stack([self.encoder.preprocess(picture) for picture in pictures[at : at + BATCH]])
            with torch.inference_mode():
                found.append(trunk(self.encoder._normalised(torch.from_numpy(pixels))).numpy())
        return np.concatenate(found)

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, 384) features; what is longer than the context is cut."""
        tower, out = self.encoder.model.text, np.zeros((len(texts), TEXT_WIDTH), np.float32)
        tokens = self.encoder.tokenize(texts)
        lengths = self.encoder.used_lengths(tokens)
        order = np.argsort(lengths, kind="stable")
        for at in range(0, len(order), BATCH):
            rows = order[at : at + BATCH]
            ids = torch.from_numpy(tokens[rows, : lengths[rows].max()])
            mask = (ids != tower.config.pad_token_id).long()
            with torch.inference_mode():
                out[rows] = tower.pooler(tower.transformer(input_ids=ids, attention_mask=mask), mask).numpy()
        return out


def features(towers: Towers, pairs: Iterable[Pair], seed: int) -> Features:
    """Pass pairs through the towers, each picture also changed."""
    rng = random.Random(seed)
    images, altered, of, sources = [], [], [], []
    texts: dict[str, int] = {}
    waiting = iter(pairs)
    while several := list(itertools.islice(waiting, BATCH)):
        images.append(towers.images([pair.image for pair in several]))
        altered.append(towers.images([changed(pair.image.convert("RGB"), rng) for pair in several]))
        for pair in several:
            of.append(tuple(texts.setdefault(text, len(texts)) for text in pair.texts))
            sources.append(pair.source)
    return Features(
        torch.from_numpy(np.concatenate(images)), torch.from_numpy(np.concatenate(altered)),
        torch.from_numpy(towers.texts(list(texts))), tuple(of), np.array(sources),
    )  # fmt: skip


def classes_of(towers: Towers, texts: Sequence[ClassText]) -> Classes:
    """The texts through the text tower, and where the classifier's rows point."""
    rows = torch.from_numpy(classifier())
    shown = torch.tensor([text.classes * (3 - len(text.classes)) for text in texts])
    true_of = torch.zeros(len(texts), len(rows))
    for i, text in enumerate(texts):
        true_of[i, sorted(text.true_of)] = 1
    found = torch.from_numpy(towers.texts([text.text for text in texts]))
    return Classes(rows, found, shown, true_of)


class Heads(torch.nn.Module):
    """The two linear layers, on features that are centred and scaled; `folded` takes that into the layers."""

    def __init__(self, given: Features) -> None:
        super().__init__()
        self.image = torch.nn.Linear(IMAGE_WIDTH, DIM)
        self.text = torch.nn.Linear(TEXT_WIDTH, DIM, bias=False)
        self.scale = torch.nn.Parameter(torch.tensor(np.log(20.0), dtype=torch.float32))
        self.image_centre, self.image_spread = given.images.mean(0), given.images.std()
        self.text_centre, self.text_spread = given.texts.mean(0), given.texts.std()

    def forward(self, images: torch.Tensor, texts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit vectors of features."""
        seen = self.image((images - self.image_centre) / self.image_spread)
        read = self.text(texts / self.text_spread)
        return functional.normalize(seen, dim=-1), functional.normalize(read, dim=-1)

    def folded(self) -> dict[str, torch.Tensor]:
        """Weights under open_clip's names, for features as the towers give them."""
        image = self.image.weight.detach() / self.image_spread
        return {
            "visual.head.proj.weight": image,
            "visual.head.proj.bias": self.image.bias.detach() - image @ self.image_centre,
            "text.proj.weight": self.text.weight.detach() / self.text_spread,
            "logit_scale": self.scale.detach(),
        }


SHAPES = {
    "visual.head.proj.weight": (DIM, IMAGE_WIDTH),
    "visual.head.proj.bias": (DIM,),
    "text.proj.weight": (DIM, TEXT_WIDTH),
    "logit_scale": (),
}


def write_heads(folder: Path, weights: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    """Write what ships: the config, the heads as fp16, their sha256, and how they were trained."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    data = save({name: tensor.half().contiguous() for name, tensor in weights.items()})
    (folder / "model.safetensors").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    (folder / "model.sha256").write_text(f"{digest}  model.safetensors\n", encoding="utf-8")
    (folder / CONFIG).write_text(json.dumps(MODEL, indent=1) + "\n", encoding="utf-8")
    (folder / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def fit(given: Features, classes: Classes, recipe: Recipe) -> Heads:
    """Train the heads. Same features and recipe give the same weights on the same machine."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    heads = Heads(given)
    rates = torch.optim.AdamW(
        [
            {"params": [*heads.image.parameters(), *heads.text.parameters()], "weight_decay": recipe.decay},
            {"params": [heads.scale], "weight_decay": 0.0},
        ],
        lr=recipe.rate,
    )
    draw = Batches(given, classes, recipe, rng)
    for step in range(recipe.steps):
        decayed = 0.5 * (1 + math.cos(math.pi * step / recipe.steps)) + 0.01
        for group in rates.param_groups:
            group["lr"] = recipe.rate * min(1, (step + 1) / 50) * decayed
        batch = draw.next()
        images = batch.images + recipe.noise * heads.image_spread * torch.randn_like(batch.images)
        seen, read = heads(images, batch.texts)
        logits = heads.scale.exp().clamp(max=100) * seen @ read.T
        kept = structure(images - heads.image_centre, seen, recipe.warmth)
        kept = kept + structure(batch.texts - heads.text_centre, read, recipe.warmth)
        loss = contrast(logits, batch.alike) + ranking(logits, batch.alike, batch.sources)
        loss = loss + recipe.structure * min(1, step / 100) * kept
        rates.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        rates.step()
        if step % 20 == 19:
            log.info("step %d of %d: loss %.3f", step + 1, recipe.steps, loss.item())
    return heads


@dataclass(frozen=True)
class Batch:
    """Row i of `images` and of `texts` belong together."""

    images: torch.Tensor  # (n, 1280)
    texts: torch.Tensor  # (n, 384)
    alike: torch.Tensor  # (n, n) which other texts are true of a picture too, or may be
    sources: NDArray[np.str_]  # (n,)


class Batches:
    """Draws pictures, from small sources more often than their share, and classes."""

    def __init__(self, given: Features, classes: Classes, recipe: Recipe, rng: np.random.Generator) -> None:
        self.given, self.classes, self.recipe, self.rng = given, classes, recipe, rng
        self.of = {str(name): np.flatnonzero(given.sources == name) for name in np.unique(given.sources)}
        weights = np.array([len(rows) ** 0.5 * WEIGHTS.get(name, 1.0) for name, rows in self.of.items()])
        self.shares = weights / weights.sum()
        photographs = given.images[torch.from_numpy(np.isin(given.sources, PHOTOGRAPHS))]
        self.centres = classes.centres(photographs)

    def next(self) -> Batch:
        """A batch of pairs, then of classes."""
        rows, texts = self._pairs()
        given, rng = self.given, self.rng
        varied = torch.from_numpy(rng.random(len(rows)) < CHANGED)[:, None]
        images = torch.where(varied, given.altered[rows], given.images[rows])
        drawn = rng.choice(len(self.classes.texts), self.recipe.classes, replace=False)
        share = torch.from_numpy(rng.uniform(0.35, 0.65, (len(drawn), 1)).astype(np.float32))
        first, second = self.classes.shown[drawn].T
        shown = share * self.centres[first] + (1 - share) * self.centres[second]
        there = torch.zeros(len(drawn), len(self.centres))
        there[torch.arange(len(drawn)), first] = there[torch.arange(len(drawn)), second] = 1
        n = len(rows)
        alike = torch.zeros(n + len(drawn), n + len(drawn), dtype=torch.bool)
        alike[:n, :n] = torch.from_numpy((texts[:, None] == texts) | (rows[:, None] == rows))
        alike[n:, n:] = there @ self.classes.true_of[drawn].T > 0
        return Batch(
            torch.cat([images, shown]),
            torch.cat([given.texts[texts], self.classes.texts[drawn]]),
            alike.fill_diagonal_(False),
            np.concatenate([given.sources[rows], np.full(len(drawn), "a class")]),
        )

    def _pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of pictures, and of a text of each."""
        counts = self.rng.multinomial(self.recipe.pairs, self.shares)
        rows = np.concatenate(
            [
                self.rng.choice(own, min(count, len(own)), replace=False)
                for own, count in zip(self.of.values(), counts, strict=True)
            ]
        )
        return rows, np.array([self.rng.choice(self.given.of[row]) for row in rows])


def contrast(logits: torch.Tensor, alike: torch.Tensor) -> torch.Tensor:
    """CLIP's loss, in which what may be a pair as well is no opponent (Radford et al. 2021)."""
    masked, own = logits.masked_fill(alike, -1e4), torch.arange(len(logits))
    return (functional.cross_entropy(masked, own) + functional.cross_entropy(masked.T, own)) / 2


def ranking(logits: torch.Tensor, alike: torch.Tensor, sources: NDArray[np.str_]) -> torch.Tensor:
    """How far true pairs lie below all false ones of their source, whichever picture or text those have.

    CLIP's loss compares within a row or column; an alignment score is compared over a whole dataset.
    """
    total = logits.new_zeros(())
    for source in np.unique(sources):
        rows = torch.from_numpy(np.flatnonzero(sources == source))
        if len(rows) < FEWEST:
            continue
        own = logits[rows][:, rows]
        false = own[~(alike[rows][:, rows] | torch.eye(len(rows), dtype=torch.bool))]
        bar = torch.logsumexp(false, 0) - math.log(max(1.0, len(false) / len(rows)))
        total = total + functional.softplus(bar - own.diagonal()).sum()
    return total / len(logits)


def structure(features: torch.Tensor, vectors: torch.Tensor, warmth: float) -> torch.Tensor:
    """How far the neighbourhoods of `vectors` are from those of `features`: a Jensen-Shannon divergence.

    As STRUCTURE has it: both are centred and of unit length, similarities go through a softmax; of its
    levels the first.
    """
    first, second = (_neighbourhoods(rows, warmth) for rows in (features, vectors))
    middle = ((first + second) / 2).clamp_min(1e-9).log()
    parts = [(p * (p.clamp_min(1e-9).log() - middle)).sum(-1).mean() for p in (first, second)]
    return (parts[0] + parts[1]) / 2


def _neighbourhoods(rows: torch.Tensor, warmth: float) -> torch.Tensor:
    unit = functional.normalize(rows - rows.mean(0), dim=-1)
    return functional.softmax(unit @ unit.T / warmth, dim=-1)


def main() -> None:
    """Train and write the heads."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--out", type=Path, default=CLIPS[BUILTIN])
    flags.add_argument("--data", type=Path, required=True, help="folder that holds mixture/")
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--threads", type=int, default=2)
    given = flags.parse_args()
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    torch.set_num_threads(given.threads)
    start, recipe = time.monotonic(), Recipe(seed=given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        towers = Towers(Path(scratch))
        log.info("passing pairs through the towers")
        pairs = features(towers, real_pairs(given.data, aside=False), recipe.seed)
        classes = classes_of(towers, class_texts(recipe.n_texts, recipe.seed))
    log.info(
        "%d pairs and %d texts on classes; %.0f s",
        *map(len, (pairs.of, classes.texts)),
        time.monotonic() - start,
    )
    heads = fit(pairs, classes, recipe)
    names, counts = np.unique(pairs.sources, return_counts=True)
    facts = {**asdict(recipe), "data": {str(name): int(n) for name, n in zip(names, counts, strict=True)}}
    write_heads(given.out, heads.folded(), facts)
    log.info("%.0f s", time.monotonic() - start)


if __name__ == "__main__":
    main()
