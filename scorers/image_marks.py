"""What an image's file says of its origin: generator, software, camera. A decoded image in, names out."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

# Characters of a text that are looked at and kept.
READ, KEPT = 4096, 200

# Keys of text chunks that only one program writes.
_KEYS = {
    "parameters": "Stable Diffusion",
    "sd-metadata": "InvokeAI",
    "invokeai_metadata": "InvokeAI",
    "invokeai_graph": "InvokeAI",
    "dream": "InvokeAI",
    "workflow": "ComfyUI",
    "fooocus_scheme": "Fooocus",
    "generation_data": "Civitai",
}
_NAMES = {
    "ComfyUI": r"comfy ?ui|\"class_type\"",
    "InvokeAI": r"invoke ?ai",
    "Fooocus": r"fooocus",
    "NovelAI": r"novel ?ai",
    "Midjourney": r"midjourney|\bjob id: [0-9a-f-]{36}",
    "DALL-E": r"\bdall[-·•∙ ]?e\b|\bopenai\b|\bchatgpt\b|gpt-4o|gpt-image",
    "Adobe Firefly": r"\bfirefly\b",
    "Google": r"made with google ai|\bimagen\b|\bgemini\b|\bsynthid\b",
    "Bing Image Creator": r"bing image creator|microsoft designer",
    "Ideogram": r"\bideogram\b",
    "Leonardo.Ai": r"leonardo\.ai",
    "FLUX": r"\bflux\.?1?[ -](?:dev|pro|schnell|ultra|kontext)|black forest labs",
    "Stable Diffusion": r"stable[ -]?diffusion|automatic1111|sd-?webui|steps: \d+, sampler:|negative prompt:",
}
_GENERATORS = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _NAMES.items()}
# IPTC's digital source types, as XMP and C2PA manifests spell them.
_SOURCE_TYPES = (b"compositeWithTrainedAlgorithmicMedia", b"trainedAlgorithmicMedia")
_MANIFEST = re.compile(rb"jumb.{0,32}c2pa|c2pa\.(?:claim|assertions|actions)", re.DOTALL)
# EXIF tags (Exif 2.32): in the main directory, and in the one that 0x8769 points to.
_DESCRIPTION, _MAKE, _MODEL, _SOFTWARE, _ARTIST, _MORE, _COMMENT = (
    0x010E,
    0x010F,
    0x0110,
    0x0131,
    0x013B,
    0x8769,
    0x9286,
)
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, struct.error)


def marks(image: Image.Image, data: bytes) -> dict[str, str | None]:
    """What the file says of its origin; a name that is written there proves little, and its absence nothing.

    Args:
        image: as decoded, with its `info`, before it is converted.
        data: the bytes of the file.

    Returns:
        generator: the image generator that is named, such as `Stable Diffusion`; `unnamed` where the file
            says that a model made it (IPTC's trainedAlgorithmicMedia) and not which; else None.
        generator_mark: where that stands, such as `png:parameters`, `exif:Software` or `c2pa`. A C2PA
            manifest alone is a mark without a generator: cameras sign their photographs too.
        software: EXIF's or PNG's Software, at most 200 characters.
        camera: EXIF's Make and Model, at most 200 characters.
    """
    texts = dict(_texts(image))
    generator, mark = _named(texts)
    if generator is None:
        generator, mark = _declared(data)
    camera = " ".join(filter(None, (texts.get("exif:Make"), texts.get("exif:Model"))))
    software = texts.get("exif:Software") or texts.get("png:Software")
    return {
        "generator": generator,
        "generator_mark": mark,
        "software": software[:KEPT] if software else None,
        "camera": camera[:KEPT] or None,
    }


def _named(texts: dict[str, str]) -> tuple[str | None, str | None]:
    for place, text in texts.items():
        kind, _, key = place.partition(":")
        if kind == "png" and key.lower() in _KEYS:
            return _KEYS[key.lower()], place
        if place == "png:prompt" and text.startswith("{"):
            return "ComfyUI", place
        for name, pattern in _GENERATORS.items():
            if pattern.search(text):
                return name, place
    return None, None


def _declared(data: bytes) -> tuple[str | None, str | None]:
    """What a signed or unsigned declaration of origin says."""
    manifest = "c2pa" if b"c2pa" in data and _MANIFEST.search(data) else None
    for kind in _SOURCE_TYPES:
        if kind in data:
            return "unnamed", manifest or "iptc"
    return None, manifest


def _texts(image: Image.Image) -> Iterator[tuple[str, str]]:
    """(`png:KEY`, `exif:TAG`, `xmp` or `comment`, what stands there), the beginning of each."""
    kind = (image.format or "").lower()
    for key, value in image.info.items():
        if kind == "png" and isinstance(key, str) and isinstance(value, str) and "xmp" not in key.lower():
            yield f"png:{key}", _clean(value)
    for key in ("comment", "xmp", "XML:com.adobe.xmp"):
        value = image.info.get(key)
        if isinstance(value, (str, bytes)):
            yield "comment" if key == "comment" else "xmp", _clean(value)
    try:
        yield from _exif(image)
    except _DAMAGED:
        # Damaged EXIF is common and says nothing about the pixels.
        yield "exif:damaged", ""


def _exif(image: Image.Image) -> Iterator[tuple[str, str]]:
    exif = image.getexif()
    if not exif:
        return
    more = exif.get_ifd(_MORE)
    tags = {
        "Software": exif.get(_SOFTWARE),
        "Make": exif.get(_MAKE),
        "Model": exif.get(_MODEL),
        "ImageDescription": exif.get(_DESCRIPTION),
        "Artist": exif.get(_ARTIST),
        "UserComment": more.get(_COMMENT),
    }
    for name, value in tags.items():
        if isinstance(value, (str, bytes)) and value:
            yield f"exif:{name}", _clean(value)


def _clean(value: str | bytes) -> str:
    """The beginning of a text without zero bytes: UserComment is UTF-16, and cameras end a text with one."""
    head = value[: 2 * READ]
    raw = head if isinstance(head, bytes) else head.encode("utf-8", "replace")
    return " ".join(raw.decode("utf-8", "replace").replace("\0", "").split())[:READ]
