"""Pictures of a page as data: URLs: one each for those that are looked at, sheets of tiles for the map."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curation.report.thumbnails import pictures, thumbnails, webp

# Tiles a side of a sheet, and px a side of a tile: the more tiles, the smaller.
TILES = 16
SIDES = ((1500, 112), (4000, 88), (9000, 72), (16000, 56))
MOST = SIDES[-1][0]  # pictures that have a tile
TILE_QUALITY = 55  # of 100

Refs = Iterable[Mapping[str, Any]]


def data_urls(refs: Refs, *, side: int, max_pixels: int) -> dict[str, str]:
    """The picture of each of `refs` (rows of IMAGE_REF) by the hex of its sha256; those gone are left out."""
    distinct = in_order(refs)
    made = thumbnails(distinct, max_pixels=max_pixels, side=side)
    return {
        ref["sha256"].hex(): data_url(data)
        for ref, data in zip(distinct, made, strict=True)
        if data is not None
    }


def sheets(refs: Sequence[Mapping[str, Any] | None], *, max_pixels: int) -> dict[str, Any]:
    """Tiles of the first MOST distinct pictures.

    Returns:
        `tile`: of each of `refs` the number of its tile, None without; `sheets`: data: URLs of TILES by
        TILES tiles of `side` px each.
    """
    from PIL import Image

    distinct = in_order(ref for ref in refs if ref is not None)
    side = next((side for most, side in SIDES if len(distinct) <= most), SIDES[-1][1])
    number: dict[bytes, int] = {}
    made: list[str] = []
    sheet = Image.new("RGB", (TILES * side, TILES * side), "white")
    for ref, picture in zip(
        distinct[:MOST], pictures(distinct[:MOST], max_pixels=max_pixels, side=side), strict=True
    ):
        if picture is None:
            continue
        at = len(number) % TILES**2
        left, top = at % TILES * side, at // TILES * side
        sheet.paste(picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2))
        number[ref["sha256"]] = len(number)
        if at == TILES**2 - 1:
            made.append(data_url(webp(sheet, TILE_QUALITY)))
            sheet = Image.new("RGB", sheet.size, "white")
    if len(number) % TILES**2:
        made.append(data_url(webp(sheet, TILE_QUALITY)))
    tile = [None if ref is None else number.get(ref["sha256"]) for ref in refs]
    return {"tile": tile, "sheets": made, "side": side, "across": TILES}


def in_order(refs: Refs) -> list[Mapping[str, Any]]:
    """Each distinct picture once, in the order of the files that hold them."""
    distinct = {ref["sha256"]: ref for ref in refs if ref["sha256"]}
    return sorted(
        distinct.values(), key=lambda ref: (ref["path"], ref["row"] or 0, ref["offset"] or 0, ref["sha256"])
    )


def data_url(data: bytes) -> str:
    """A WebP as an address that holds it."""
    return f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"
