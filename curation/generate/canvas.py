"""Sizes, colours, fonts and backgrounds that the generators draw with. Pillow only, no files."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageDraw import ImageDraw as Pen

Colour = tuple[int, int, int]  # 0 to 255 each

COLOURS: dict[str, Colour] = {
    "red": (214, 40, 40),
    "orange": (243, 134, 32),
    "yellow": (248, 214, 42),
    "green": (52, 160, 72),
    "teal": (28, 160, 160),
    "blue": (44, 98, 214),
    "purple": (132, 62, 180),
    "pink": (240, 128, 178),
    "brown": (128, 82, 44),
    "grey": (132, 134, 138),
    "black": (26, 26, 28),
    "white": (246, 246, 244),
}
PAPERS: tuple[Colour, ...] = (
    (255, 255, 255), (250, 246, 232), (236, 242, 250), (240, 248, 238), (252, 236, 236), (228, 228, 232),
    (255, 244, 200), (222, 236, 240), (36, 40, 50), (24, 52, 70), (60, 36, 60), (44, 60, 44),
)  # fmt: skip


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's bundled font at `size` px, the same on every machine.

    Raises:
        TypeError: this Pillow was built without FreeType and has no font of that size.
    """
    loaded = ImageFont.load_default(size=size)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        raise TypeError(f"Pillow has no FreeType, so there is no font of {size} px: install the Pillow wheel")
    return loaded


def jitter(rng: random.Random, colour: Colour, by: int = 14) -> Colour:
    """Return the colour with each channel moved by at most `by`, inside 0 to 255."""
    r, g, b = (min(255, max(0, channel + rng.randint(-by, by))) for channel in colour)
    return r, g, b


def luminance(colour: Colour) -> float:
    """Return the perceived brightness, 0 to 255 (Rec. 601 weights)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def ink_on(paper: Colour) -> Colour:
    """Return near-black or near-white, whichever is readable on `paper`."""
    return (24, 24, 28) if luminance(paper) > 130 else (244, 244, 240)


def contrasting(rng: random.Random, paper: Colour, n: int) -> list[str]:
    """Return n different names of COLOURS, each clearly visible on `paper` (n at most 8)."""

    def far(name: str) -> int:
        return sum(abs(a - b) for a, b in zip(COLOURS[name], paper, strict=True))

    names = sorted(COLOURS, key=far, reverse=True)[: len(COLOURS) - 3]
    return rng.sample(names, n)


def size(rng: random.Random, *, least: int = 160, most: int = 320) -> tuple[int, int]:
    """Return (width, height), the longer side between `least` and `most` px, aspect 1 to 1.7 either way."""
    longest = rng.randint(least, most)
    other = round(longest / rng.uniform(1.0, 1.7))
    return (longest, other) if rng.random() < 0.65 else (other, longest)


def page(rng: random.Random, *, least: int = 160, most: int = 320) -> tuple[Picture, Pen, Colour]:
    """Return a fresh picture (plain, gradient or speckled), a pen on it and its mean colour."""
    paper = jitter(rng, rng.choice(PAPERS), 10)
    extent = size(rng, least=least, most=most)
    style = rng.random()
    if style < 0.6:
        picture = Image.new("RGB", extent, paper)
    elif style < 0.85:
        picture = gradient(rng, extent, jitter(rng, paper, 24), jitter(rng, paper, 24))
    else:
        picture = speckle(rng, extent, paper)
    return picture, ImageDraw.Draw(picture), paper


def gradient(rng: random.Random, extent: tuple[int, int], first: Colour, last: Colour) -> Picture:
    """Return a picture that runs from one colour to another, top to bottom or left to right."""
    ramp = Image.linear_gradient("L")
    if rng.random() < 0.4:
        ramp = ramp.transpose(Image.Transpose.ROTATE_90)
    return ImageOps.colorize(ramp, first, last).resize(extent, Image.Resampling.BILINEAR)


def speckle(rng: random.Random, extent: tuple[int, int], paper: Colour) -> Picture:
    """Return a picture of soft random blotches around one colour."""
    grain = rng.choice((8, 12, 20))
    noise = Image.frombytes("L", (grain, grain), rng.randbytes(grain * grain))
    dark = tuple(max(0, channel - 16) for channel in paper)
    light = tuple(min(255, channel + 16) for channel in paper)
    return ImageOps.colorize(noise, dark, light).resize(extent, Image.Resampling.BICUBIC)


def fit_font(text: str, width: float, largest: int, smallest: int = 9) -> ImageFont.FreeTypeFont:
    """Return the largest font between the two sizes at which `text` is at most `width` px wide."""
    wide = font(largest).getlength(text)
    scaled = largest if wide <= width else int(largest * width / wide)
    return font(max(smallest, scaled))
