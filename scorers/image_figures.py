"""Figures of one image: size, light, sharpness, colour, borders, hash. A decoded image in, numbers out."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.int16]
Box: TypeAlias = "tuple[int, int, int, int]"  # left, top, right, bottom
Margins: TypeAlias = "tuple[int, int, int, int]"  # rows at the top and bottom, columns at the left and right

# Sharpness is measured at this longest side, so that it compares between images of different sizes.
BLUR_SIDE = 224
# Colour is looked at about this small: enough to tell a photograph from its greys.
COLOUR_SIDE = 112
# Levels of 256 that two channels of a grey pixel may differ by: what JPEG makes of grey.
CHROMA = 12
# Levels that a blank row may vary by, and that blank rows of one border may differ by.
BLANK = 10
STRONGEST = 0.999
HASH_SIDE = 32
# With this gap the box reduction before the hash moves at most 2 of its 64 bits (1,500 images measured).
HASH_GAP = 6.0
CENTRE, CORE = 0.05, 0.1  # what a hash of the middle leaves out at each side
INNER_GAP = 2.0
EDGE = 2  # rows between two borders in each other, and that an edge may lie away from where it was found


def measure(image: Image.Image) -> dict[str, Any]:
    """Figures of an image; nothing here depends on a model, and equal pixels give equal figures.

    Luminance is ITU-R 601-2, as Pillow's mode L. About 1.2 ms for 448 x 448 pixels.

    Args:
        image: in mode RGB or L; palettes and transparency are composited before.

    Returns:
        width: pixels.
        height: pixels.
        brightness: mean luminance, in [0, 1]; near 0 is black, near 1 is white.
        contrast: standard deviation of the luminance, in [0, 0.5]; 0 is one flat tone.
        blur: variance of the Laplacian (4 neighbours, luminance 0 to 255) of the image scaled down to a
            longest side of 224 pixels; >= 0, LOWER is blurrier (Pech-Pacheco et al., Diatom autofocusing in
            brightfield microscopy, ICPR 2000). Smaller images are measured as they are; 0 under 3 pixels.
        sharpness: `blur` divided by the variance of the luminance it was measured on, so that a pale picture
            compares with a strong one; >= 0, higher is sharper, photographs have 0.05 to 2. None where the
            image is one flat tone.
        edges: the 99.9th percentile of the Laplacian's absolute values, in [0, 1020]: how hard the hardest
            edges are. Higher is sharper; an image out of focus has under 10.
        grey_share: share of the pixels without colour (channels at most 12 of 255 apart), in [0, 1]; measured
            on the image reduced to about 112 pixels. 1 is a greyscale image.
        border: share of the area in blank rows and columns at the four sides, in [0, 1]: letterboxes and
            margins. 1 is a blank image.
        entropy: Shannon entropy of the 256-bin luminance histogram, in bits, in [0, 8]; 0 is one flat tone.
        pixels_hash: 16 bytes, of the size and the RGB pixels: equal pixels have equal hashes, in any file.
        phash: 8 bytes, the 64-bit DCT hash of `imagehash.phash`; compare by the number of unequal bits. It is
            taken after a box reduction, to save most of its time: on 1,500 images 95 % of the hashes equal
            those of `imagehash.phash(image)`, and none is more than 2 bits away.
        phash256: 32 bytes, `imagehash.phash` with 16 x 16 frequencies, taken from the same 32 x 32 pixels;
            its own default of 64 x 64 pixels moves 4 of the 256 bits, and costs as much as the other hashes.
        phash_flip: 8 bytes, `phash` of the mirrored image (left and right exchanged).
        phash_inner, phash256_inner: without the border (`inner_box`): one picture has one in any frame.
        phash_unframed, phash256_unframed: without bars or a frame of one tone, that of all four corners: the
            `phash` of a picture that was framed, with the margin that it has of its own.
        phash_centre, phash256_centre: less a 20th at each side: the `phash` of a picture cut so.
        phash_core, phash256_core: less a tenth at each side.
        phash_inner_centre, phash256_inner_centre: without the border, and of the rest less a 20th.

    Raises:
        ValueError: the image has another mode.
    """
    if image.mode not in {"RGB", "L"}:
        raise ValueError(f"the image has mode {image.mode}; convert it to RGB first")
    grey = image.convert("L")
    counts = np.array(grey.histogram(), np.float64)
    share = counts / counts.sum()
    levels = np.arange(256) / 255.0
    mean = float(np.sum(share * levels))
    variance = float(np.sum(share * (levels - mean) ** 2))
    filled = share[share > 0]
    small = np.asarray(_scaled(grey)).astype(np.int16)
    laplacian = _laplacian(small)
    blur, light = _variance(laplacian), _variance(small)
    return {
        "width": image.width,
        "height": image.height,
        "brightness": min(mean, 1.0),
        "contrast": min(math.sqrt(variance), 0.5),
        "blur": blur,
        "sharpness": blur / light if light else None,
        "edges": _strongest(laplacian),
        "grey_share": _grey_share(image),
        "border": _border(small),
        # Adding 0.0 turns the -0.0 of a flat image into 0.0.
        "entropy": float(-np.sum(filled * np.log2(filled))) + 0.0,
        "pixels_hash": _pixels_hash(image),
        **_hashes(grey, small),
    }


def inner_box(image: Image.Image) -> tuple[int, int, int, int]:
    """The box inside the blank border, in pixels: left, top, right, bottom; all of a blank image.

    A white page in a black frame has two borders, one in the other: both are left out.
    """
    return _inner(image.size, np.asarray(_scaled(image.convert("L"))).astype(np.int16))


def _scaled(grey: Image.Image) -> Image.Image:
    """`grey` with its longest side at most BLUR_SIDE: an integer box reduction first, as that is cheap."""
    from PIL import Image

    longest = max(grey.size)
    if longest <= BLUR_SIDE:
        return grey
    width, height = (max(1, round(side * BLUR_SIDE / longest)) for side in grey.size)
    reduced = grey.reduce(longest // BLUR_SIDE)
    return reduced.resize((width, height), Image.Resampling.BILINEAR)


def _laplacian(pixels: NDArray[np.int16]) -> NDArray[np.int16]:
    """(h, w) -> (h - 2, w - 2), or nothing under 3 pixels."""
    if min(pixels.shape) < 3:
        return np.zeros((0, 0), np.int16)
    inner = pixels[1:-1, 1:-1]
    return pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:] - 4 * inner


def _variance(values: NDArray[np.int16]) -> float:
    # Sums of integers: exact, so no order of addition shows. Not a BLAS call: its threads would fight those
    # that decode.
    flat = values.ravel().astype(np.int64)
    n, total, squares = flat.size, int(flat.sum()), int(np.einsum("i,i->", flat, flat))
    return (squares - total * total / n) / n if n else 0.0


def _strongest(laplacian: NDArray[np.int16]) -> float:
    """The 99.9th percentile of the absolute values, the lower one where it falls between two."""
    if not laplacian.size:
        return 0.0
    counts = np.bincount(np.abs(laplacian).ravel())
    return float(np.searchsorted(np.cumsum(counts), STRONGEST * laplacian.size))


def _grey_share(image: Image.Image) -> float:
    if image.mode == "L":
        return 1.0
    from PIL import ImageChops

    red, green, blue = image.reduce(max(1, max(image.size) // COLOUR_SIDE)).split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    least = ImageChops.darker(ImageChops.darker(red, green), blue)
    counts = ImageChops.subtract(most, least).histogram()
    return float(sum(counts[: CHROMA + 1]) / sum(counts))


def _border(pixels: NDArray[np.int16]) -> float:
    """Share of the area outside the blank rows, and then outside the blank columns of the rest."""
    height, width = map(int, pixels.shape)
    top, bottom, left, right = _frame(pixels)
    return 1.0 - (height - top - bottom) * (width - left - right) / (height * width)


def _frame(pixels: Pixels, tone: int | None = None) -> Margins:
    """How many rows are blank at the top and at the bottom, and of the rest columns at the left and right.

    Each side is of one tone; of this one, where it is given.
    """
    top, bottom = _margins(pixels, tone)
    rest = pixels[top : len(pixels) - bottom]
    left, right = _margins(rest.T, tone) if rest.size else (0, 0)
    return top, bottom, left, right


def _margins(pixels: Pixels, tone: int | None) -> tuple[int, int]:
    """How many rows at each end are blank: each of one tone, that of the outermost row or `tone`."""
    least, most = pixels.min(axis=1), pixels.max(axis=1)
    blank = most - least <= BLANK
    first, last = (blank & (np.abs(most - (most[end] if tone is None else tone)) <= BLANK) for end in (0, -1))
    if first.all():
        return len(blank), 0
    return int(np.argmin(first)), int(np.argmin(last[::-1]))


def _inner(size: tuple[int, int], pixels: Pixels) -> Box:
    """The box inside the frames of `pixels`, in an image of `size` that they are a reduction of."""
    height, width = pixels.shape
    top, below, left, right = frame = _frame(pixels)
    if any(frame):
        # Where one tone meets the other a few rows are of neither.
        held = [margin + EDGE if margin else 0 for margin in frame]
        rest = pixels[held[0] : height - held[1], held[2] : width - held[3]]
        second = _frame(rest) if rest.size else (0, 0, 0, 0)
        top, below, left, right = (
            margin if not more else outer + more
            for margin, outer, more in zip(frame, held, second, strict=True)
        )
    return _box(size, pixels, (top, below, left, right))


def _unframed(size: tuple[int, int], pixels: Pixels) -> Box:
    """The box inside bars or a frame: the margins of one tone, that of all four corners."""
    corners = np.sort(pixels[[0, 0, -1, -1], [0, -1, 0, -1]])
    if corners[3] - corners[0] > BLANK:
        return 0, 0, *size
    return _box(size, pixels, _frame(pixels, int(corners[1])))


def _box(size: tuple[int, int], pixels: Pixels, margins: Margins) -> Box:
    """Inside the margins of `pixels`, in an image of `size`; all of it where nothing is left."""
    height, width = map(int, pixels.shape)
    top, below, left, right = margins
    if top + below < height and left + right < width:
        rows, columns = pixels[:, left : width - right], pixels[top : height - below].T
        top, below = _to_the_edge(rows, top), _to_the_edge(rows[::-1], below)
        left, right = _to_the_edge(columns, left), _to_the_edge(columns[::-1], right)
    if top + below >= height or left + right >= width:
        return 0, 0, *size
    across, down = size[0] / width, size[1] / height
    return (
        round(left * across),
        round(top * down),
        round((width - right) * across),
        round((height - below) * down),
    )


def _to_the_edge(rows: Pixels, margin: int) -> int:
    """Of blank first rows how many there are up to the largest step near their end.

    JPEG and scaling leave rows beside an edge that are no longer blank, a faint picture has some that are.
    """
    if not margin:
        return 0
    first = max(margin - EDGE, 1)
    steps = np.abs(np.diff(rows[first - 1 : margin + EDGE + 1], axis=0)).sum(axis=1)
    return first + int(np.argmax(steps))


def _pixels_hash(image: Image.Image) -> bytes:
    # SHA-256 has instructions of its own on today's processors: 0.3 ms for 448 x 448 pixels.
    pixels = image.convert("RGB").tobytes()
    return hashlib.sha256(b"%d %d " % image.size + pixels).digest()[:16]


def _hashes(grey: Image.Image, pixels: Pixels) -> dict[str, bytes]:
    """The hashes of all boxes; `pixels` are a reduction of `grey`."""
    from PIL import Image

    width, height = grey.size
    whole = (0, 0, width, height)
    small = grey.resize((HASH_SIDE, HASH_SIDE), Image.Resampling.LANCZOS, reducing_gap=HASH_GAP)
    mirrored = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    inner = _inner(grey.size, pixels)
    boxes = {
        "inner": inner,
        "unframed": _unframed(grey.size, pixels),
        "centre": _middle(whole, CENTRE),
        "core": _middle(whole, CORE),
        "inner_centre": _middle(inner, CENTRE),
    }
    known: dict[tuple[float, ...], dict[str, bytes]] = {whole: _codes(small)}
    for box in boxes.values():
        if box not in known:
            part = grey.resize(small.size, Image.Resampling.LANCZOS, box=box, reducing_gap=INNER_GAP)
            known[box] = _codes(part)
    found = {f"phash{bits}": code for bits, code in known[whole].items()}
    for name, box in boxes.items():
        found |= {f"phash{bits}_{name}": code for bits, code in known[box].items()}
    return found | {"phash_flip": _codes(mirrored)[""]}


def _middle(box: Box, cut: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    across, down = (right - left) * cut, (bottom - top) * cut
    return left + across, top + down, right - across, bottom - down


def _codes(small: Image.Image) -> dict[str, bytes]:
    """The hash of 8 x 8 frequencies of a small picture, and that of 16 x 16."""
    import imagehash

    fine = imagehash.phash(small, hash_size=16, highfreq_factor=HASH_SIDE // 16)
    codes = {"": imagehash.phash(small), "256": fine}
    return {bits: np.packbits(code.hash).tobytes() for bits, code in codes.items()}
