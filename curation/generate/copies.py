"""Copies of a picture as they come about where pictures are handed on: other sizes, files, margins, light."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageEnhance, ImageOps

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

LEAST_ASPECT = 1.1  # longest by shortest side, below which a square about a picture adds next to nothing
BARS = 0.15  # of the side, each of the two bars of a letterbox
FRAME, FRAME_COLOUR = 10, (120, 36, 44)  # px on each side


@dataclass(frozen=True)
class Copy:
    """How one kind of copy is made: what happens to the picture, and the file that it is saved to."""

    change: Callable[[Picture], Picture]
    format: str = "JPEG"
    quality: int = 92
    oblong: bool = False  # makes sense for pictures that are no squares only

    def fits(self, picture: Picture) -> bool:
        """Say whether this makes another picture of it."""
        return not self.oblong or max(picture.size) >= LEAST_ASPECT * min(picture.size)

    @property
    def suffix(self) -> str:
        """Of the file's name."""
        return {"JPEG": ".jpg", "WEBP": ".webp"}[self.format]

    def of(self, picture: Picture) -> bytes:
        """Return the file of the copy; what is transparent is white."""
        buffer = io.BytesIO()
        self.change(opaque(picture)).save(buffer, self.format, quality=self.quality)
        return buffer.getvalue()


def opaque(picture: Picture) -> Picture:
    """Return the picture in RGB, on white where it is transparent."""
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture.convert("RGB")
    above = picture.convert("RGBA")
    white = Image.new("RGBA", above.size, "white")
    white.alpha_composite(above)
    return white.convert("RGB")


def resized(by: float) -> Callable[[Picture], Picture]:
    """Scale both sides."""

    def change(picture: Picture) -> Picture:
        width, height = (max(1, round(by * side)) for side in picture.size)
        return picture.resize((width, height), Image.Resampling.LANCZOS)

    return change


def cropped(left: float, top: float, right: float, bottom: float) -> Callable[[Picture], Picture]:
    """Cut fractions of the sides off, each rounded to a pixel and at least one where it is not 0."""

    def change(picture: Picture) -> Picture:
        width, height = picture.size
        x0, x1 = (_pixels(share, width) for share in (left, right))
        y0, y1 = (_pixels(share, height) for share in (top, bottom))
        return picture.crop((x0, y0, width - x1, height - y1))

    return change


def _pixels(share: float, side: int) -> int:
    return max(1, round(share * side)) if share else 0


def padded(colour: str) -> Callable[[Picture], Picture]:
    """Lay the picture onto the middle of a square."""

    def change(picture: Picture) -> Picture:
        longest = max(picture.size)
        return ImageOps.pad(picture, (longest, longest), color=colour)

    return change


def barred(across: float, down: float) -> Callable[[Picture], Picture]:
    """Put black bars left and right, or above and below, each a fraction of that side."""

    def change(picture: Picture) -> Picture:
        beside, above = round(across * picture.width), round(down * picture.height)
        return ImageOps.expand(picture, (beside, above, beside, above), "black")

    return change


def same(picture: Picture) -> Picture:
    """Leave it, for files that differ only."""
    return picture


def brighter(picture: Picture) -> Picture:
    """Make it 8 % brighter."""
    return ImageEnhance.Brightness(picture).enhance(1.08)


def framed(picture: Picture) -> Picture:
    """Put a frame of one colour round it."""
    return ImageOps.expand(picture, FRAME, FRAME_COLOUR)


COPIES: dict[str, Copy] = {
    "resized_0.5": Copy(resized(0.5)),
    "resized_0.6": Copy(resized(0.6)),
    "resized_2.0": Copy(resized(2.0)),
    "jpeg_40": Copy(same, quality=40),
    "webp": Copy(same, "WEBP", 80),
    "brightened": Copy(brighter),
    "cropped_3": Copy(cropped(0.03, 0.03, 0.03, 0.03)),
    "cropped_10": Copy(cropped(0.05, 0.05, 0.05, 0.05)),
    "cropped_one_side": Copy(cropped(0.0, 0.0, 0.1, 0.0)),
    "padded_white": Copy(padded("white"), oblong=True),
    "padded_black": Copy(padded("black"), oblong=True),
    "letterboxed": Copy(barred(0.0, BARS)),
    "pillarboxed": Copy(barred(BARS, 0.0)),
    "bordered": Copy(framed),
}
