"""Which vectors of the built-in image tower find edited copies among other pictures, and what hashes find.

Pictures are those that the towers' heads were not trained on; COPIES are made of some of them. A space
proposes the pairs above one threshold, and proposals are what a second look costs. `SPACE.cost.97` is how
many others each picture is proposed with where 97 % of the copies are, `SPACE.found` the share of copies that
are proposed at two others a picture, `SPACE.KIND.found` that of each kind. What vectors decide without a
look: `SPACE.alone` is the share of copies above the threshold that 0.5 % of pictures have another one above,
`twins.SPACE.alone` the same among drawn near-twins. `hashes.BITS` are those of LookAlikes.

Spaces: `clip`, the features before its head (`pooled`), means of powers (`gem`) and regional maxima (`rmac`)
of the last layer; of the last three also whitened by what copies differ in (`_white`), and under a linear
head that is trained as SSCD is (`_sscd`; Pizzi et al., CVPR 2022), both fitted to pictures that the towers'
heads are trained on.
"""

from __future__ import annotations

import io
import itertools
import random
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from benchmarks.report import SHARED, parser, show
from curation.generate.copies import COPIES
from curation.generate.twins import TWINS
from curation.models.encoder import load_encoder
from curation.steps.prune.perceptual import VIEWS
from scorers.image_figures import measure
from training.clip_evaluation import held_out_pairs
from training.pairs import changed, real_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from curation.models.encoder import OpenClipEncoder

    Floats = NDArray[np.float32]
    Space = Callable[[Floats], Floats]  # features -> unit rows

EACH, COPIED, FITTED, FAMILIES = 100, 20, 100, 25  # pictures of a source, of them copied; to fit to; of twins
QUICK = 10  # times fewer
BITS = (8, 10, 12, 16)
DIM, STEPS, BATCH, ENTROPY, WARMTH, RATE = 256, 400, 128, 3.0, 0.05, 2e-3
LAYERS = ("pooled", "gem", "rmac")
SHRUNK = 0.1  # share of a plain sphere in what copies differ by


@dataclass(frozen=True)
class Shown:
    """Pictures as the tower sees them, and their hashes."""

    features: dict[str, Floats]  # each (n, d)
    hashes: dict[str, NDArray[np.uint8]]  # each (n, 64) bits


def shown(encoder: OpenClipEncoder, pictures: Iterator[Picture]) -> Shown:
    """Pass pictures through the tower."""
    found: dict[str, list[Floats]] = defaultdict(list)
    codes: dict[str, list[bytes]] = defaultdict(list)
    while several := list(itertools.islice(pictures, 32)):
        for name, rows in _features(encoder, several).items():
            found[name].append(rows)
        for picture in several:
            figures = measure(picture)
            for name in {"phash", *itertools.chain(*VIEWS)}:
                codes[name].append(figures[name])
    bits = {
        name: np.unpackbits(np.frombuffer(b"".join(each), np.uint8).reshape(len(each), -1), axis=1)
        for name, each in codes.items()
    }
    return Shown({name: np.concatenate(parts) for name, parts in found.items()}, bits)


def _features(encoder: OpenClipEncoder, pictures: Sequence[Picture]) -> dict[str, Floats]:
    pixels = torch.from_numpy(np.stack([encoder.preprocess(picture) for picture in pictures]))
    tower = encoder.model.visual
    with torch.inference_mode():
        last = tower.trunk.forward_features(encoder._normalised(pixels))
        pooled = last.mean((2, 3))
        gem = last.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)
        parts = [region for n in (1, 2, 3) for region in _regions(last, n)]
        rmac = torch.stack([functional.normalize(part.amax((2, 3)), dim=1) for part in parts]).sum(0)
        found = {"clip": tower.head(pooled), "pooled": pooled, "gem": gem, "rmac": rmac}
    return {name: rows.float().numpy() for name, rows in found.items()}


def _regions(last: torch.Tensor, n: int) -> Iterator[torch.Tensor]:
    """The n x n squares of R-MAC (Tolias et al., ICLR 2016), each overlapping the next."""
    side = last.shape[2]
    width = 2 * side // (n + 1)
    starts = [round(place * (side - width) / max(n - 1, 1)) for place in range(n)]
    for top, left in itertools.product(starts, starts):
        yield last[:, :, top : top + width, left : left + width]


def unit(rows: Floats) -> Floats:
    """Rows of length one."""
    found: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def whitened(rows: Floats) -> Space:
    """Of (n, views, d), a picture and its copies: what copies differ by is made a sphere; DIM axes stay."""
    centre = rows[:, 0].mean(0)
    differ = (rows[:, 1:] - rows[:, :1]).reshape(-1, rows.shape[2])
    within = differ.T @ differ / len(differ)
    within = (1 - SHRUNK) * within + SHRUNK * np.trace(within) / len(within) * np.eye(len(within))
    values, axes = np.linalg.eigh(within)
    half = axes / np.sqrt(values)
    _, _, kept = np.linalg.svd((rows[:, 0] - centre) @ half, full_matrices=False)
    turn = (half @ kept[:DIM].T).astype(np.float32)
    return lambda given: unit((given - centre) @ turn)


def trained(rows: Floats) -> Space:
    """Of (n, views, d): a linear head by contrast of copies and by entropy, how far the nearest other is."""
    rng, drawn = np.random.default_rng(0), torch.random.manual_seed(0)
    centre, spread = rows[:, 0].mean(0), rows[:, 0].std()
    given = torch.from_numpy((rows - centre) / spread)
    head = torch.nn.Linear(rows.shape[2], DIM)
    torch.nn.init.normal_(head.weight, std=rows.shape[2] ** -0.5, generator=drawn)
    rates = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=1e-2)
    for step in range(STEPS):
        rates.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 50) * (1 - step / STEPS)
        picked = rng.permutation(len(rows))[:BATCH]
        views = np.argsort(rng.random((len(picked), rows.shape[1])), axis=1)[:, :2].T
        seen = functional.normalize(head(torch.cat([given[picked, view] for view in views])), dim=1)
        n = len(picked)
        other = torch.arange(2 * n).roll(n)
        alike = (seen @ seen.T).fill_diagonal_(-4)
        nearest = alike.detach().scatter(1, other[:, None], -4.0).argmax(1)
        entropy = (seen - seen[nearest]).norm(dim=1).clamp_min(1e-4).log().mean()
        loss = functional.cross_entropy(alike / WARMTH, other) - ENTROPY * entropy
        rates.zero_grad()
        loss.backward()
        rates.step()
    turn, shift = (part.detach().numpy() for part in (head.weight.T, head.bias))
    return lambda features: unit((features - centre) / spread @ turn + shift)


def spaces(fitted: dict[str, Floats]) -> dict[str, tuple[str, Space]]:
    """By name which features a space is made of, and how; `fitted` are (n, views, d)."""
    found: dict[str, tuple[str, Space]] = {name: (name, unit) for name in ("clip", *LAYERS)}
    for layer in LAYERS:
        found[f"{layer}_white"] = layer, whitened(fitted[layer])
        found[f"{layer}_sscd"] = layer, trained(fitted[layer])
    return found


@dataclass(frozen=True)
class Copied:
    """Pictures of a pool, and copies of some."""

    pictures: Shown
    copies: Shown
    of: NDArray[np.int64]  # of each copy its picture
    kinds: NDArray[np.str_]  # of each copy
    groups: NDArray[np.str_]  # of each picture: its family, else one for all


def copied(
    encoder: OpenClipEncoder, pictures: Sequence[Picture], some: Sequence[int], groups: Sequence[str]
) -> Copied:
    """Make every kind of copy that fits of some pictures."""
    made = [(kind, at) for at in some for kind, copy in COPIES.items() if copy.fits(pictures[at])]

    def again() -> Iterator[Picture]:
        for kind, at in made:
            with Image.open(io.BytesIO(COPIES[kind].of(pictures[at]))) as copy:
                yield copy.convert("RGB")

    kinds, of = zip(*made, strict=True)
    return Copied(
        shown(encoder, iter(pictures)),
        shown(encoder, again()),
        np.array(of),
        np.array(kinds),
        np.array(groups),
    )


def figures_of(name: str, near: Floats, among: Floats, pool: Copied) -> dict[str, float]:
    """What a threshold on nearness finds: `near` (m,) of copies, `among` (n, n) of pictures."""
    figures: dict[str, float] = {}
    among = among.copy()
    np.fill_diagonal(among, -np.inf)
    for share in (0.90, 0.97):
        figures[f"{name}.cost.{round(100 * share)}"] = float(
            (among >= np.quantile(near, 1 - share, method="lower")).sum(axis=1).mean()
        )
    pairs = np.sort(among[np.triu_indices(len(among), 1)])[::-1]
    found = near > pairs[len(among)]  # two others a picture are as many pairs as there are pictures
    figures[f"{name}.found"] = float(found.mean())
    for kind in np.unique(pool.kinds):
        figures[f"{name}.{kind}.found"] = float(found[pool.kinds == kind].mean())
    return figures | {f"{name}.alone": alone(near, among, pool)}


def alone(near: Floats, among: Floats, pool: Copied) -> float:
    """The share of copies above the threshold that 0.5 % of pictures have another of their group above."""
    others = np.where(pool.groups[:, None] == pool.groups, among, -np.inf)
    np.fill_diagonal(others, -np.inf)
    bar = np.sort(others.max(axis=1))[::-1][len(others) // 200]
    return float((near > bar).mean())


def in_space(pool: Copied, layer: str, space: Space) -> tuple[Floats, Floats]:
    """Cosines of copies to their pictures, and of pictures to each other."""
    pictures, copies = (space(each.features[layer]) for each in (pool.pictures, pool.copies))
    return (pictures[pool.of] * copies).sum(axis=1), pictures @ pictures.T


def hashed(pool: Copied) -> dict[str, float]:
    """Of each number of bits how many others a picture is proposed with, and the share of copies."""
    views = (("phash", "phash"), *VIEWS)

    def apart(one: NDArray[np.uint8], two: NDArray[np.uint8]) -> Floats:
        left, right = one.astype(np.float32), two.astype(np.float32)
        return np.asarray(left.sum(1)[:, None] + right.sum(1) - 2 * left @ right.T, np.float32)

    own, made = pool.pictures.hashes, pool.copies.hashes
    among = np.min([apart(own[one], own[two]) for one, two in views], axis=0)
    among = np.minimum(among, among.T)
    np.fill_diagonal(among, np.inf)
    near = np.min(
        [
            np.count_nonzero(made[one] != own[two][pool.of], axis=1)
            for pair in views
            for one, two in (pair, pair[::-1])
        ],
        axis=0,
    )
    figures: dict[str, float] = {}
    for bits in BITS:
        figures[f"hashes.{bits}.cost"] = float((among <= bits).sum(axis=1).mean())
        figures[f"hashes.{bits}.found"] = float((near <= bits).mean())
    return figures


def real(times: int) -> tuple[list[Picture], list[int]]:
    """Pictures of equal pixels once, none of them trained on, and the positions of those that are copied."""
    pictures: list[Picture] = []
    some: list[int] = []
    seen: dict[str, int] = defaultdict(int)
    for pair in (pair for tier in "AB" for pair in held_out_pairs(SHARED, tier)):
        if seen[pair.source] < EACH // times:
            if seen[pair.source] < COPIED // times:
                some.append(len(pictures))
            seen[pair.source] += 1
            pictures.append(pair.image)
    return pictures, some


def twins(times: int) -> tuple[list[Picture], list[int], list[str]]:
    """Families of near-twins; the first of each is copied."""
    pictures: list[Picture] = []
    some: list[int] = []
    groups: list[str] = []
    for kind, draw in TWINS.items():
        for number in range(max(1, FAMILIES // times)):
            some.append(len(pictures))
            family = draw(random.Random(f"copies/{kind}/{number}"), 4).images
            pictures += family
            groups += [f"{kind}/{number}"] * len(family)
    return pictures, some, groups


def views_to_fit(encoder: OpenClipEncoder, times: int) -> dict[str, Floats]:
    """(n, 4, d): pictures that heads are trained on, and three copies of each, no two changed alike."""
    seen: dict[str, int] = defaultdict(int)

    def pictures() -> Iterator[Picture]:
        for pair in real_pairs(SHARED, aside=False):
            seen[pair.source] += 1
            if seen[pair.source] <= FITTED // times:
                yield pair.image
                rng = random.Random(f"{pair.source}/{seen[pair.source]}")
                for kind in rng.sample(
                    ("cropped_10", "cropped_one_side", "letterboxed", "pillarboxed", "bordered"), 3
                ):
                    with Image.open(io.BytesIO(COPIES[kind].of(changed(pair.image, rng)))) as copy:
                        yield copy.convert("RGB")

    found = shown(encoder, pictures()).features
    return {layer: found[layer].reshape(-1, 4, found[layer].shape[1]) for layer in LAYERS}


def main() -> None:
    """Fit the spaces, then hold copies against other pictures, and against near-twins."""
    given = parser(__doc__).parse_args()
    times = QUICK if given.quick else 1
    encoder = load_encoder("builtin", device="cpu", dtype="float32")
    found = spaces(views_to_fit(encoder, times))
    pictures, some = real(times)
    pool = copied(encoder, pictures, some, [""] * len(pictures))
    families = copied(encoder, *twins(times))
    figures = hashed(pool)
    for name, (layer, space) in found.items():
        figures |= figures_of(name, *in_space(pool, layer, space), pool)
        figures[f"twins.{name}.alone"] = alone(*in_space(families, layer, space), families)
    show("copies", figures, ["open_clip_torch", "timm", "imagehash"], as_json=given.json)


if __name__ == "__main__":
    main()
