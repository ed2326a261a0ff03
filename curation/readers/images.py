"""Images: where a record's path leads, and the pixels there. Each failure is a code and a sentence."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from curation.readers.data_urls import is_data_url
from curation.readers.image_bytes import BadImage, fetch
from curation.readers.spelling import recased, spellings
from curation.storage.files import Remote
from schemas.errors import (
    BAD_IMAGE_FIELD,
    IMAGE_OUTSIDE_ROOTS,
    IMAGE_TOO_LARGE,
    MISSING_IMAGE,
    NOT_AN_IMAGE,
    REMOTE_IMAGE,
    TRUNCATED_IMAGE,
    ZERO_BYTE_IMAGE,
    ReadError,
)
from schemas.protocols import ImageAt

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FORMATS", "BadImage", "ImageRoots", "decode", "fetch", "to_rgb"]

# The other formats of Pillow are rare in training data and some run foreign programs (EPS: Ghostscript).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MAGIC = re.compile(rb"\xff\xd8|\x89PNG|RIFF....WEBP|GIF8[79]a|BM....\0\0\0\0|II\*\0|MM\0\*", re.DOTALL)


@dataclass(frozen=True)
class Place:
    """Where an image was found."""

    path: str  # absolute path of the file that holds it, or its URL
    name: str  # as the record has it, or as it should
    respelled: bool  # found by another spelling of the path


@dataclass(frozen=True)
class ImageRoots:
    """The folders, here or at URLs, that images may lie in. Relative paths are tried under each in turn."""

    roots: tuple[str, ...]
    follow_links: bool = False
    allow_remote: bool = False
    beside: str = ""  # a folder in the roots, where paths are tried at last
    any_spelling: bool = False

    def find(self, image: ImageAt) -> Place:
        """Where `image` lies: by its path as it stands, then `beside`, then by other spellings of the path.

        Raises:
            BadImage: as `resolve`; for what is nowhere, that of the path as it stands.
        """
        try:
            return Place(self.resolve(image), image.path, respelled=False)
        except BadImage as error:
            if error.code != MISSING_IMAGE:
                raise
            for path in self._others(image.path):
                try:
                    found = self.resolve(ImageAt(path))
                except BadImage:
                    continue
                return Place(found, path, respelled=path != os.path.join(self.beside, image.path))
            raise

    def _others(self, path: str) -> Iterator[str]:
        if _URL.match(path) or os.path.isabs(path):
            tried = [path]
        else:
            tried = [path, os.path.join(self.beside, path)] if self.beside else [path]
            yield from tried[1:]
        if self.any_spelling:
            yield from (other for each in tried for other in spellings(each))
            yield from (other for root in self._folders for each in tried for other in _in_case(root, each))

    def resolve(self, image: ImageAt) -> str:
        """Absolute path of the file that holds `image` (its container, if it has one), or its URL.

        `..` is taken out of a path before it is looked at, so it never follows a link upwards. Costs about
        one stat; the real paths of folders are remembered for the life of the process.

        Raises:
            BadImage: MISSING_IMAGE, NOT_AN_IMAGE (no regular file), REMOTE_IMAGE, IMAGE_OUTSIDE_ROOTS.
        """
        if image.container is not None:
            return image.container
        path = image.path
        if is_data_url(path):
            raise BadImage(BAD_IMAGE_FIELD, "the image is a data: URL where none is read; write it to a file")
        if path.startswith("file://"):
            try:
                path = unquote(urlsplit(path).path)
            except ValueError as error:
                raise BadImage(MISSING_IMAGE, f"the address {_short(path)} is none: {error}") from None
        elif _URL.match(path):
            if self.allow_remote:
                return path
            raise BadImage(REMOTE_IMAGE, f"{_short(path)} is remote; --allow-remote fetches such images")
        if "\0" in path:
            raise BadImage(MISSING_IMAGE, f"the path {_short(path)} holds a NUL and cannot exist")
        try:
            return self._local(path)
        except BadImage as error:
            found = self._at_url(path) if error.code == MISSING_IMAGE else None
            if found is None:
                raise
            return found

    @cached_property
    def _folders(self) -> tuple[str, ...]:
        return tuple(root for root in self.roots if not _URL.match(root))

    def _at_url(self, path: str) -> str | None:
        """The URL of a relative path; where there are several, of the first at which there is something."""
        roots = [root.rstrip("/") for root in self.roots if _URL.match(root)]
        inside = os.path.normpath(path)
        if not roots or os.path.isabs(path):
            return None
        if inside.split("/")[0] == "..":
            raise BadImage(IMAGE_OUTSIDE_ROOTS, f"{_short(path)} leads outside the folders of images")
        urls = [f"{root}/{quote(inside) if root.startswith('http') else inside}" for root in roots]
        return urls[0] if len(urls) == 1 else next((url for url in urls if Remote(url).exists()), None)

    def _local(self, path: str) -> str:
        inside = [at for at in self._candidates(path) if self._holds(at)]
        if not inside:
            if not self._folders:
                raise BadImage(
                    MISSING_IMAGE,
                    f"{_short(path)} cannot be found without a folder of images; --images gives one",
                )
            raise BadImage(
                IMAGE_OUTSIDE_ROOTS,
                f"{_short(path)} leads outside the folders of images ({self._named()}); --images adds one",
            )
        outside: BadImage | None = None
        for at in inside:
            try:
                found = self._open(at)
            except BadImage as error:
                outside = outside or error
                continue
            if found is not None:
                return found
        raise outside or BadImage(
            MISSING_IMAGE,
            f"{_short(path)} is not in {self._named()}; is a folder missing from --images? "
            "Once the image is there, touch the data file, so that it is read again",
        )

    def _candidates(self, path: str) -> list[str]:
        """Where `path` may lie, `..` taken out."""
        if os.path.isabs(path):
            return [os.path.normpath(path)]
        return [os.path.normpath(os.path.join(os.path.abspath(root), path)) for root in self._folders]

    def _holds(self, at: str) -> bool:
        """Is `at`, links aside, in a root, or in the folder that a root is a link to?"""
        lexical = (os.path.abspath(root) for root in self._folders)
        return any(_within(at, root) or _within(at, _real_folder(root)) for root in lexical)

    def _open(self, at: str) -> str | None:
        """The file at `at`; None if there is nothing."""
        folder, name = os.path.split(at)
        real = os.path.join(_real_folder(folder), name)
        try:
            status = os.lstat(real)
            if stat.S_ISLNK(status.st_mode):
                real = os.path.realpath(real)
                status = os.stat(real)
        except OSError:
            return None
        if not self.follow_links and not any(
            _within(real, _real_folder(os.path.abspath(root))) for root in self._folders
        ):
            raise BadImage(
                IMAGE_OUTSIDE_ROOTS,
                f"{_short(at)} is a link to {_short(real)}, outside the folders of images; "
                "--follow-links allows it",
            )
        if not stat.S_ISREG(status.st_mode):
            raise BadImage(NOT_AN_IMAGE, f"{_short(at)} is no regular file")
        return real

    def _named(self) -> str:
        shown = ", ".join(self.roots[:4])
        return f"{shown} and {len(self.roots) - 4} more" if len(self.roots) > 4 else shown


def decode(data: bytes, *, max_pixels: int, least_side: int | None = None) -> Image.Image:
    """The image in `data`, every pixel decoded; of an animation or a stack of pages the first.

    The mode is the file's own (palette and transparency stay, see `to_rgb`), and so is the orientation: EXIF
    rotation is not applied, as LLaVA's loaders do not apply it either and boxes in answers refer to the
    stored pixels. The size is checked in the header, before a pixel is decoded. Pillow's own limit is a
    global that belongs to the caller's process; it stays as it is, and an image beyond it is too large here.
    With `least_side` a JPEG may come smaller, with no side below that; all its bytes are read all the same.

    Raises:
        BadImage: ZERO_BYTE_IMAGE, NOT_AN_IMAGE, TRUNCATED_IMAGE or IMAGE_TOO_LARGE.
    """
    from PIL import Image

    if not data:
        raise BadImage(ZERO_BYTE_IMAGE, "the image has no bytes")
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(IMAGE_TOO_LARGE, f"the image is too large for Pillow: {error}") from None
    except _PILLOW as error:
        if _MAGIC.match(data):
            raise BadImage(TRUNCATED_IMAGE, f"the image's header is damaged ({len(data)} bytes)") from error
        begins = data[:16].decode("ascii", "replace")
        raise BadImage(
            NOT_AN_IMAGE, f"the file is no {', '.join(FORMATS)} and begins with {begins!r}"
        ) from error
    width, height = image.size
    if width * height > max_pixels:
        sentence = f"the image has {width} x {height} pixels, more than the limit of {max_pixels}"
        raise BadImage(IMAGE_TOO_LARGE, sentence)
    if image.format == "PNG" and b"IEND" not in data:
        # Pillow shows a PNG whose last rows are missing in the file without a word if zlib has an end.
        raise BadImage(TRUNCATED_IMAGE, "the PNG has no end")
    if least_side is not None:
        image.draft(image.mode, (least_side, least_side))
    try:
        image.load()
    except _PILLOW as error:
        raise BadImage(TRUNCATED_IMAGE, f"the image cannot be decoded to its end: {error}") from error
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """`image` as RGB, transparency composited on white.

    Plain `convert("RGB")` drops the alpha channel and shows what was never meant to be seen: the black under
    most transparent icons and figures, on which dark text vanishes. 16-bit greys keep their high byte, which
    `convert` would clip to white; floats in [0, 1] are shares of white, which it would show as black.
    """
    from PIL import Image

    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "F":
        import numpy as np

        values = np.nan_to_num(np.asarray(image))
        # Floats are shares of white, or levels of 255.
        values = values * 255 if values.max(initial=0) <= 1 else values
        return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode.startswith("I"):
        import numpy as np

        return Image.fromarray((np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


# What Pillow's decoders raise on damaged input. UnidentifiedImageError is an OSError, struct.error is not.
_PILLOW = (
    OSError,
    SyntaxError,
    Warning,  # where the caller turns warnings into errors
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    ArithmeticError,
    AttributeError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zlib.error,
)


@lru_cache(maxsize=1 << 16)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _in_case(root: str, path: str) -> Iterator[str]:
    """Spellings of `path` in a folder of images, if it lies in that: absolute where it is."""
    if os.path.isabs(path):
        return (os.path.join(root, other) for other in recased(root, os.path.relpath(path, root)))
    return recased(root, path)


def _short(path: str) -> str:
    return repr(path if len(path) <= 200 else path[:200] + "…")


def picture_of(ref: dict[str, Any], data: bytes | BadImage, *, max_pixels: int) -> Image.Image | None:
    """The picture that was fetched for `ref`, in RGB; None where it cannot be decoded.

    Raises:
        ReadError: it is not what was ingested.
    """
    try:
        return to_rgb(decode(as_ingested(ref, data), max_pixels=max_pixels))
    except BadImage:
        return None


def as_ingested(ref: dict[str, Any], data: bytes | BadImage) -> bytes:
    """What was fetched for `ref`, a row of IMAGE_REF of a good sample.

    Raises:
        ReadError: it is not what was ingested.
    """
    if isinstance(data, BadImage) or hashlib.sha256(data).digest() != ref["sha256"]:
        where = f"{ref['path']} ({ref['name']})"
        raise ReadError(f"{where} changed since it was ingested; touch the data file and ingest again")
    return data
