"""A second look at two pictures: is one a copy of the other? Two images in, numbers out; no model.

A copy may have another size, file format or brightness, be cut at its sides or framed. What is left between
two such pictures, once they lie on each other, is spread over them: the marks of JPEG, of scaling. Between a
receipt and the next one it lies in a few places. So it is not how much differs that tells, but whether
somewhere much more differs than elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scorers.image_figures import inner_box
from scorers.registration import (
    HOPELESS,
    ON_IT,
    Place,
    Plane,
    aligned,
    correlation_at,
    correlation_of,
    halved,
    inverse,
    moved_onto,
    smooth,
)

if TYPE_CHECKING:
    from PIL import Image

Values = NDArray[np.float64]
Box = tuple[int, int, int, int]

PIXELS = 250_000  # that two pictures are compared at, at most
MOST_FRAMED = 3  # times as many with the border
LEAST_INNER, LEAST_SIDE = 40, 16  # pixels of what lies in a border, and of what both show
SAME_BORDER = 0.01  # of the sides of the pictures
MOST_GAIN = 1.4  # of the light of one over the other
MOST_TINT = 4.0  # levels of 256 that the colours differ by everywhere
LEAST_COVER = 0.5
MOST_OVERHANG = 2.0  # pixels
COARSER = 0.97  # pixels of the right picture on one of the left one, below which it is the coarser one
MOST_STRETCH = 0.05  # log of the scale of one axis over that of the other
LEAST_CORRELATION = 0.9
# Sides of the windows that are compared, in pixels: about a stroke of a letter, and a digit.
WINDOWS = (5, 9)
# Levels of 256 that a window varies by where there is nothing to see.
FLAT = 8.0
# Of each figure of the windows: what is added to the 99th percentile, the multiple of it that the largest may
# have, and the most that the 99th percentile may be. Of 1,200 copies of 120 pictures of the shared mixture
# (scaled, JPEG 40, brightened, cut, framed) 97 % stay below all; `benchmarks/duplicates.py` measures them.
STRUCTURE, TONE, COLOUR = (0.02, (9.0, 7.4), 0.5), (1.0, (4.5, 3.5), 18.0), (1.0, (6.7, 5.0), 18.0)


@dataclass(frozen=True)
class Look:
    """What is seen when one picture lies on the other.

    Args:
        correlation: of the luminance, in [-1, 1]; higher is more alike.
        cover: the share of one picture, mostly the left one, that the other shows as well, in [0, 1].
        oddness: how far the oddest place stands out, over what copies may have; >= 0, lower is more alike.
            A copy has at most 1.
    """

    correlation: float
    cover: float
    oddness: float


NOTHING = Look(0.0, 0.0, float("inf"))


def look(left: Image.Image, right: Image.Image) -> Look:
    """Lay `right` on `left` and compare them, window by window.

    Borders of one tone are left out. `scorers.registration` finds the place of one on the other (scale and
    shift of both sides). The structure of a window is that of SSIM (Wang et al., Image quality assessment,
    IEEE TIP 2004, eq. 10). All sums are those of numpy in a fixed order: equal pictures give equal bits,
    whatever the threads. About 30 ms a pair of the shared mixture, 100 of two receipts.

    Args:
        left: in mode RGB or L.
        right: likewise.
    """
    inner, whole = _inner_boxes(left, right), _whole_boxes(left, right)
    seen = _seen(*_pictures(left, right, inner))
    if seen.oddness <= 1 or _same_borders(left, right, inner):
        return seen
    # A light sky that was brightened is taken for a border.
    other = _seen(*_pictures(left, right, whole))
    return min(seen, other, key=lambda each: (each.oddness, -each.correlation))


def _seen(left: _Picture, right: _Picture) -> Look:
    if min(*left.inside[0].shape, *right.inside[0].shape) < LEAST_SIDE:
        return NOTHING
    place, correlation = aligned(left.inside[0], right.inside[0])
    if not _is_view(left, right, place):
        # A thing on a plain ground lies well in many places.
        place, correlation = ON_IT, correlation_at(smooth(left.inside[0]), smooth(right.inside[0]), ON_IT)
    if correlation < HOPELESS or not _is_view(left, right, place):
        return Look(correlation, 0.0, float("inf"))
    seen = _compared(left, right, place)
    if seen.oddness <= 1 or _scale(left, right, _in_whole(left, right, place)) >= COARSER:
        return seen
    # What is fine in the left one is not there in the right one, however much that is enlarged.
    return min(seen, _compared(right, left, inverse(place)), key=lambda each: each.oddness)


@dataclass(frozen=True)
class _Picture:
    """Luminance, red, green and blue, and where the picture lies in its border: rows and columns."""

    bands: list[Plane]
    rows: slice
    columns: slice

    @property
    def inside(self) -> list[Plane]:
        return [np.ascontiguousarray(band[self.rows, self.columns]) for band in self.bands]

    def axis(self, axis: int) -> tuple[int, int, int]:
        """Of an axis: its pixels, the first one inside the border, and how many are inside."""
        span = (self.rows, self.columns)[axis]
        return self.bands[0].shape[axis], span.start, span.stop - span.start


def _inner_boxes(left: Image.Image, right: Image.Image) -> tuple[Box, Box]:
    """What lies inside the borders of both, unless it is a thing on a plain ground, which is no border."""
    one, other = inner_box(left), inner_box(right)
    if min(min(box[2] - box[0], box[3] - box[1]) for box in (one, other)) < LEAST_INNER:
        return _whole_boxes(left, right)
    return one, other


def _same_borders(left: Image.Image, right: Image.Image, boxes: tuple[Box, Box]) -> bool:
    """Whether both have the same border, so that with it they lie on each other as without."""
    shares = [np.array(box) / (image.size * 2) for box, image in zip(boxes, (left, right), strict=True)]
    return bool(np.abs(shares[0] - shares[1]).max() <= SAME_BORDER)


def _whole_boxes(left: Image.Image, right: Image.Image) -> tuple[Box, Box]:
    return (0, 0, *left.size), (0, 0, *right.size)


def _pictures(left: Image.Image, right: Image.Image, boxes: tuple[Box, Box]) -> tuple[_Picture, _Picture]:
    """Both with about equally many pixels inside their boxes."""
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in boxes]
    most = min(PIXELS, *areas)
    one, other = (
        _scaled(image, box, min(most / area, MOST_FRAMED * PIXELS / (image.width * image.height)) ** 0.5)
        for image, box, area in zip((left, right), boxes, areas, strict=True)
    )
    return one, other


def _scaled(image: Image.Image, box: Box, factor: float) -> _Picture:
    from PIL import Image

    factor = min(factor, 1.0)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    scaled = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    bands = [np.asarray(band, np.float32) for band in (scaled.convert("L"), *scaled.split())]
    across, down = size[0] / image.width, size[1] / image.height
    first, last = (
        (round(box[0] * across), round(box[1] * down)),
        (round(box[2] * across), round(box[3] * down)),
    )
    return _Picture(bands, slice(first[1], last[1]), slice(first[0], last[0]))


# --- window by window --------------------------------------------------------------------------------------


def _compared(left: _Picture, right: _Picture, place: Place) -> Look:
    """Compare all that both pictures show, border or not: what stands in one in the other's border is odd."""
    whole = _in_whole(left, right, place)
    moved = [moved_onto(band, whole, left.bands[0].shape) for band in right.bands[1:]]
    _, rows, columns = moved[0]
    rows, columns = (slice(span.start + 1, max(span.stop - 1, span.start + 1)) for span in (rows, columns))
    inside = _overlap(left.rows, rows), _overlap(left.columns, columns)
    height, width = (span.stop - span.start for span in inside)
    if min(height, width) < LEAST_SIDE:
        return NOTHING
    shape = left.inside[0].shape
    cover = min(height * width / (shape[0] * shape[1]), 1.0)
    channels, other_channels = (
        np.stack([band[rows, columns] for band in side]).astype(np.float64)
        for side in (left.bands[1:], [band for band, _, _ in moved])
    )
    light, other_light = _lights(_coarse(channels), _coarse(other_channels))
    (one, *tints), (other, *other_tints) = light.on(channels), other_light.on(other_channels)
    one, other = (smooth(plane.astype(np.float32)).astype(np.float64) for plane in (one, other))
    within = tuple(
        slice(span.start - of.start, span.stop - of.start)
        for span, of in zip(inside, (rows, columns), strict=True)
    )
    correlation = correlation_of(one[within], other[within])
    gain = one[within].std() / max(float(other[within].std()), 1e-6)
    if correlation < LEAST_CORRELATION or cover < LEAST_COVER or not 0.9 < gain < 1 / 0.9:
        return Look(correlation, cover, float("inf"))
    colours = [tint - other_tint for tint, other_tint in zip(tints, other_tints, strict=True)]
    everywhere = [float(np.median(colour[within])) for colour in colours]
    if max(map(abs, everywhere)) > MOST_TINT:
        return Look(correlation, cover, float("inf"))
    colours = [colour - tint for colour, tint in zip(colours, everywhere, strict=True)]
    odd = 0.0
    for number, side in enumerate(WINDOWS):
        mean, other_mean = _means(one, side), _means(other, side)
        spread = _means(one * one, side) - mean**2 + _means(other * other, side) - other_mean**2
        apart = _means((one - other) ** 2, side) - (mean - other_mean) ** 2
        structure = np.maximum(apart, 0) / (spread + FLAT * FLAT)  # 1 - (2 cov + c) / (var + var + c)
        colour = np.maximum(*(np.abs(_means(band, side)) for band in colours))
        figures = ((structure, STRUCTURE), (np.abs(mean - other_mean), TONE), (colour, COLOUR))
        usual = tuple(slice(span.start, max(span.stop - side + 1, span.start + 1)) for span in within)
        odd = max(odd, *(_oddness(values, values[usual], number, *bounds) for values, bounds in figures))
    return Look(correlation, cover, odd)


def _is_view(left: _Picture, right: _Picture, place: Place) -> bool:
    """Whether one picture may be the other as it is, cut or framed, if it lies at that place."""
    whole = _in_whole(left, right, place)
    over, stretch = _overhang(whole, left.bands[0].shape), _stretch(left, right, whole)
    return over <= MOST_OVERHANG and stretch <= MOST_STRETCH


def _overhang(place: Place, shape: tuple[int, ...]) -> float:
    """How far each picture goes beyond the other, along some axis: in pixels of the left one.

    One that was cut lies in the other, one that was framed around it. Where either has something that the
    other has not, they are different views.
    """
    found = 0.0
    for axis, n in ((1, shape[0]), (0, shape[1])):
        scale, shift = place[2 * axis], place[2 * axis + 1]
        before, after = -shift, shift + scale - 1
        mutual = min(max(before, after, 0.0), max(-before, -after, 0.0))
        found = max(found, float(mutual / scale * n))
    return found


def _scale(left: _Picture, right: _Picture, place: Place) -> float:
    """How many pixels of the right picture lie on one of the left one, along the axis of fewer."""
    (height, width), (other_height, other_width) = left.bands[0].shape, right.bands[0].shape
    return float(min(place[0] * other_width / width, place[2] * other_height / height))


def _stretch(left: _Picture, right: _Picture, place: Place) -> float:
    """How much more one axis is scaled than the other; nothing where all of one picture lies on all of it.

    A picture may be scaled to another shape, or cut, but hardly both.
    """
    (height, width), (other_height, other_width) = left.bands[0].shape, right.bands[0].shape
    in_pixels = np.log(place[0] * other_width * height / (place[2] * other_height * width))
    return float(min(abs(in_pixels), np.abs(place[[0, 2]] - 1).max()))


def _in_whole(left: _Picture, right: _Picture, place: Place) -> Place:
    """A place of one inner picture on the other as that of the whole pictures."""
    found = np.empty(4)
    for axis, at in ((1, 0), (0, 2)):
        (size, start, n), (other_size, other_start, other_n) = left.axis(axis), right.axis(axis)
        step = place[at] * other_n / n
        found[at] = step * size / other_size
        found[at + 1] = (other_start + other_n * place[at + 1] - step * start) / other_size
    return found


def _overlap(one: slice, other: slice) -> slice:
    start = max(one.start, other.start)
    return slice(start, max(start, min(one.stop, other.stop)))


def _oddness(
    values: NDArray[np.float64],
    inside: NDArray[np.float64],
    number: int,
    floor: float,
    multiples: tuple[float, ...],
    most: float,
) -> float:
    usual = float(np.quantile(inside, 0.99))
    return max(float(values.max()) / (usual + floor) / multiples[number], usual / most)


@dataclass(frozen=True)
class _Light:
    """What brightening does: every channel times a gain and with an offset, cut off at black and at white."""

    gain: float = 1.0
    offset: float = 0.0

    @property
    def back(self) -> _Light:
        """What undoes it."""
        return _Light(1 / self.gain, -self.offset / self.gain)

    def on(self, channels: Values) -> tuple[Values, Values, Values]:
        """Luminance, Cr and Cb (ITU-R BT.601, without their 128) of red, green and blue in this light."""
        red, green, blue = np.clip(channels * self.gain + self.offset, 0, 255)
        luminance = 0.299 * red + 0.587 * green + 0.114 * blue
        return luminance, 0.713 * (red - luminance), 0.564 * (blue - luminance)


def _lights(one: Values, other: Values) -> tuple[_Light, _Light]:
    """What puts both into the light of the brighter one: what is white there is cut off in the other as well.

    Fitted to the spread of all values, or of those that are neither black nor white (of a drawing in lines
    the blurred edges alone), or to their ratio: whichever fits best.
    """
    grey = (one > 6) & (one < 249) & (other > 6) & (other < 249)
    lights = [_of_spread(one[seen], other[seen]) for seen in (grey, grey | True) if seen.mean() >= 0.05]
    if grey.mean() >= 0.05:
        lights.append(_Light(float(np.median(one[grey] / other[grey]))))
    brighter = one.mean() >= other.mean()
    found = [(_Light(), light) if brighter else (light.back, _Light()) for light in lights]
    return min(found, key=lambda both: float(np.abs(both[0].on(one)[0] - both[1].on(other)[0]).mean()))


def _coarse(channels: Values) -> Values:
    """Half as large and smooth: without the noise of JPEG."""
    return np.stack([smooth(halved(channel.astype(np.float32))) for channel in channels]).astype(np.float64)


def _of_spread(one: Values, other: Values) -> _Light:
    """The light that gives the other the mean and the spread of the one."""
    gain = min(max(float(one.std()) / max(float(other.std()), 1e-6), 1 / MOST_GAIN), MOST_GAIN)
    return _Light(gain, float(one.mean()) - float(other.mean()) * gain)


def _means(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """The mean of each window of side x side pixels."""
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    whole = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    means: NDArray[np.float64] = whole / (side * side)
    return means
