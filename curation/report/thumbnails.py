"""Small pictures of large ones, as WebP: alone, or many in one sheet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, Any

from curation.readers.images import BadImage, decode, fetch, to_rgb

if TYPE_CHECKING:
    from PIL import Image

SIDE = 160  # px, the longer one
QUALITY = 70  # of 100
AT_ONCE = 64  # pictures whose bytes are held
THREADS = 4


def thumbnail(data: bytes | BadImage, *, max_pixels: int, side: int = SIDE) -> bytes | None:
    """A WebP of at most `side` pixels a side of an image file's bytes; None where it cannot be decoded."""
    image = _small(data, side, max_pixels)
    return None if image is None else webp(image)


def thumbnails(
    refs: Sequence[Mapping[str, Any]], *, max_pixels: int, side: int = SIDE
) -> Iterator[bytes | None]:
    """`thumbnail` of each of `refs` (rows of IMAGE_REF), in order; None where its file is gone or changed.

    Pass refs in the order of their files, which are opened once for AT_ONCE of them.
    """
    for image in pictures(refs, max_pixels=max_pixels, side=side):
        yield None if image is None else webp(image)


def pictures(
    refs: Sequence[Mapping[str, Any]], *, max_pixels: int, side: int
) -> Iterator[Image.Image | None]:
    """The same as pictures in RGB, not yet encoded."""
    with ThreadPoolExecutor(THREADS) as threads:
        for start in range(0, len(refs), AT_ONCE):
            found = fetch(refs[start : start + AT_ONCE])
            yield from threads.map(lambda data: _small(data, side, max_pixels), found)


def webp(image: Image.Image, quality: int = QUALITY) -> bytes:
    """The bytes of a WebP file; equal pictures give equal bytes."""
    sink = BytesIO()
    image.save(sink, "WEBP", quality=quality, method=4)
    return sink.getvalue()


def _small(data: bytes | BadImage, side: int, max_pixels: int) -> Image.Image | None:
    if isinstance(data, BadImage):
        return None
    try:
        image = to_rgb(decode(data, max_pixels=max_pixels, least_side=2 * side))
    except BadImage:
        return None
    image.thumbnail((side, side))
    return image
