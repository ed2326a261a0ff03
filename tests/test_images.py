"""Images: paths that may be read, bytes, and pixels that are all there."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageFile

from curation.readers.images import BadImage, ImageRoots, decode, fetch, to_rgb
from schemas import errors
from schemas.protocols import ImageAt

MAX = 10_000_000

# Pillow warns about each odd tag of a damaged TIFF.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def pixels(size: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def code_of(path: str, roots: ImageRoots) -> str:
    with pytest.raises(BadImage) as raised:
        roots.resolve(ImageAt(path))
    return raised.value.code


def whole(path: Path, **changes: object) -> dict[str, Any]:
    ref = {"path": str(path), "offset": 0, "length": -1, "column": None, "row": None, "name": path.name}
    return {**ref, "sha256": b"", "n_bytes": 0, **changes}


def decoded_or_code(data: bytes) -> bytes | str:
    """The pixels of `data`, or the code of what is wrong with it."""
    try:
        return to_rgb(decode(data, max_pixels=MAX)).tobytes()
    except BadImage as error:
        return error.code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A root with a picture, links in and out of it, and a secret beside it."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.png").write_bytes(encoded(pixels(), "PNG"))
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "b.png").write_bytes(b"b")
    (root / "out.png").symlink_to(tmp_path / "secret.png")
    (root / "outdir").symlink_to(tmp_path)
    (root / "in.png").symlink_to(root / "sub" / "a.png")
    return root


# --- paths -----------------------------------------------------------------------------------------------


def test_a_relative_path_is_tried_under_each_root_in_order(folder: Path):
    roots = ImageRoots((str(folder), str(folder.parent / "root2")))
    assert roots.resolve(ImageAt("b.png")) == str(folder.parent / "root2" / "b.png")
    assert roots.resolve(ImageAt("sub/../sub/a.png")) == str(folder / "sub" / "a.png")


@pytest.mark.parametrize("path", ["../secret.png", "sub/../../secret.png", "/etc/passwd", "../root2/b.png"])
def test_a_path_that_leads_outside_is_refused(folder: Path, path: str):
    assert code_of(path, ImageRoots((str(folder),), follow_links=True)) == errors.IMAGE_OUTSIDE_ROOTS


@pytest.mark.parametrize("path", ["out.png", "outdir/secret.png", "outdir/root2/b.png"])
def test_a_link_that_leaves_the_roots_needs_follow_links(folder: Path, path: str):
    with pytest.raises(BadImage, match="--follow-links") as raised:
        ImageRoots((str(folder),)).resolve(ImageAt(path))
    assert raised.value.code == errors.IMAGE_OUTSIDE_ROOTS
    assert Path(ImageRoots((str(folder),), follow_links=True).resolve(ImageAt(path))).is_file()


def test_links_inside_a_root_and_roots_that_are_links_are_fine(folder: Path, tmp_path: Path):
    (tmp_path / "alias").symlink_to(folder)
    roots = ImageRoots((str(tmp_path / "alias"),))
    expected = str(folder / "sub" / "a.png")
    for path in (
        "in.png",
        "sub/a.png",
        str(tmp_path / "alias" / "sub" / "a.png"),
        expected,
        f"file://{expected}",
    ):
        assert roots.resolve(ImageAt(path)) == expected


def test_a_name_that_begins_like_a_root_is_outside(folder: Path):
    assert (
        code_of(str(folder.parent / "root2" / "b.png"), ImageRoots((str(folder),)))
        == errors.IMAGE_OUTSIDE_ROOTS
    )


@pytest.mark.parametrize("url", ["http://x.org/a.jpg", "https://x.org/a.jpg", "s3://bucket/a.jpg"])
def test_a_remote_image_needs_allow_remote(url: str):
    with pytest.raises(BadImage, match="--allow-remote") as raised:
        ImageRoots(("/tmp",)).resolve(ImageAt(url))
    assert raised.value.code == errors.REMOTE_IMAGE
    assert ImageRoots((), allow_remote=True).resolve(ImageAt(url)) == url


@pytest.mark.parametrize("path", ["nothing.png", "sub/nothing.png", "no/where.png", "a\0b", "x" * 5000])
def test_a_missing_image_is_missing(folder: Path, path: str):
    assert code_of(path, ImageRoots((str(folder),))) == errors.MISSING_IMAGE


def test_a_missing_image_names_the_roots_and_the_flag(folder: Path):
    with pytest.raises(BadImage, match="--images") as raised:
        ImageRoots((str(folder),)).resolve(ImageAt("nothing.png"))
    assert str(folder) in str(raised.value)


def test_a_folder_and_a_pipe_are_no_images(folder: Path):
    os.mkfifo(folder / "pipe.png")
    for path in ("sub", "pipe.png"):
        assert code_of(path, ImageRoots((str(folder),))) == errors.NOT_AN_IMAGE
    (found,) = fetch([whole(folder / "pipe.png")])
    assert isinstance(found, BadImage)


# --- bytes -----------------------------------------------------------------------------------------------


def test_bytes_come_back_in_the_order_asked(tmp_path: Path):
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    (tmp_path / "b.bin").write_bytes(b"")
    a, b = tmp_path / "a.bin", tmp_path / "b.bin"
    asked = [
        whole(a, offset=5, length=2),
        whole(b),
        whole(a),
        whole(a, offset=0, length=1),
        whole(a, offset=8),
    ]
    assert fetch(asked) == [b"56", b"", b"0123456789", b"0", b"89"]


def test_what_cannot_be_read_is_an_error_in_its_place(tmp_path: Path):
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    a = tmp_path / "a.bin"
    asked = [whole(tmp_path / "no"), whole(a, offset=8, length=9), whole(a, sha256=b"x", n_bytes=3), whole(a)]
    asked += [whole(a, column="image.bytes", row=0)]
    found = fetch(asked)
    codes = [item.code if isinstance(item, BadImage) else item for item in found]
    assert codes[:4] == [errors.MISSING_IMAGE, errors.TRUNCATED_IMAGE, errors.IMAGE_CHANGED, b"0123456789"]
    assert isinstance(found[4], BadImage)


def test_a_row_group_is_read_from_many_threads(tmp_path: Path):
    images = [[{"bytes": bytes([i]) * 50, "path": ""}] * (i % 3) for i in range(200)]
    pq.write_table(pa.table({"images": images}), tmp_path / "a.parquet", row_group_size=70)
    file = tmp_path / "a.parquet"
    asked = [whole(file, column=f"images.{i % 3 - 1}.bytes", row=i) for i in reversed(range(200)) if i % 3]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(fetch, [asked] * 8):
            assert found == [bytes([ref["row"]]) * 50 for ref in asked]
    (beyond,) = fetch([whole(file, column="images.0.bytes", row=5000)])
    assert isinstance(beyond, BadImage)


# --- pixels ----------------------------------------------------------------------------------------------

KINDS = {"JPEG": {}, "PNG": {}, "WEBP": {"lossless": True}, "GIF": {}, "BMP": {}, "TIFF": {}}


@pytest.mark.parametrize("kind", KINDS)
def test_each_format_decodes(kind: str):
    image = decode(encoded(pixels(), kind, **KINDS[kind]), max_pixels=MAX)
    assert (image.format, image.size) == (kind, (40, 40))


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_file_fails_unless_every_pixel_is_there(kind: str):
    data = encoded(pixels(), kind, **KINDS[kind])
    expected = to_rgb(decode(data, max_pixels=MAX)).tobytes()
    for cut in range(30, len(data) - 1, 37):
        found = decoded_or_code(data[:cut])
        # What is missing at the very end may hold no pixel.
        assert found == errors.TRUNCATED_IMAGE or (found == expected and cut > 0.95 * len(data)), cut


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", errors.ZERO_BYTE_IMAGE),
        (b"<!DOCTYPE html><html></html>", errors.NOT_AN_IMAGE),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", errors.NOT_AN_IMAGE),
        (b"\x89PNG\r\n\x1a\n", errors.TRUNCATED_IMAGE),
    ],
)
def test_what_is_no_image_has_a_code(data: bytes, code: str):
    with pytest.raises(BadImage) as raised:
        decode(data, max_pixels=MAX)
    assert raised.value.code == code


@pytest.mark.slow
def test_a_large_image_is_refused_by_its_header():
    header = encoded(Image.new("1", (30_000, 30_000)), "PNG")[:2000]  # cut: decoding it would fail otherwise
    for data in (encoded(pixels(), "PNG"), header):
        with pytest.raises(BadImage) as raised:
            decode(data, max_pixels=1000)
        assert raised.value.code == errors.IMAGE_TOO_LARGE


def test_decoding_leaves_the_settings_of_pillow_alone():
    before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    decode(encoded(pixels(), "PNG"), max_pixels=10**12)
    assert before == (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)


def test_random_damage_is_an_error_and_never_a_crash():
    rng = np.random.default_rng(0)
    for kind in KINDS:
        data = np.frombuffer(encoded(pixels(), kind, **KINDS[kind]), np.uint8)
        for _ in range(150):
            damaged = data.copy()
            damaged[rng.integers(0, min(len(data), 600), 6)] = rng.integers(0, 256, 6)
            try:
                to_rgb(decode(damaged.tobytes(), max_pixels=MAX))
            except BadImage:
                continue


def test_transparency_becomes_white():
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    palette = clear.convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    grey = Image.new("LA", (2, 2), (0, 0))
    for image in (clear, palette, grey):
        assert to_rgb(image).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bit_greys_keep_their_high_byte():
    image = Image.fromarray(np.full((2, 2), 0x8001, np.uint16))
    assert to_rgb(image).getpixel((0, 0)) == (128, 128, 128)
    assert to_rgb(decode(encoded(image, "PNG"), max_pixels=MAX)).getpixel((0, 0)) == (128, 128, 128)


def test_the_planted_formats_of_the_shared_mixture_decode(shared: Path):
    for folder in sorted((shared / "mixture" / "images").iterdir()):
        for file in sorted(folder.rglob("*.*"))[:20]:
            assert to_rgb(decode(file.read_bytes(), max_pixels=MAX)).mode == "RGB"


def test_a_remote_image_is_fetched_only_where_that_is_allowed(tmp_path: Path) -> None:
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        with pytest.raises(BadImage, match="--allow-remote"):
            ImageRoots(()).resolve(ImageAt(f"{address}/a.png"))
        paths = [ImageRoots((), allow_remote=True).resolve(ImageAt(f"{address}/{n}.png")) for n in "ab"]
        blank = {"offset": 0, "length": -1, "column": None, "row": None, "sha256": None, "n_bytes": None}
        there, gone = fetch([{"path": path, "name": path, **blank} for path in paths])
    finally:
        server.shutdown()
        server.server_close()
    assert there == (tmp_path / "a.png").read_bytes()
    assert isinstance(gone, BadImage)
    assert gone.code == "missing_image"


def test_an_address_that_is_none_is_a_missing_image(folder: Path) -> None:
    assert code_of("file://[cdn/a.jpg", ImageRoots((str(folder),))) == errors.MISSING_IMAGE


def test_a_png_may_have_bytes_behind_its_end() -> None:
    data = encoded(pixels(), "PNG")
    assert decode(data + bytes(100_000), max_pixels=10**6).size == pixels().size


def test_floats_are_shares_of_white_or_levels() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    shares, levels = (np.asarray(to_rgb(Image.fromarray(ramp * top))) for top in (1, 255))
    assert (shares.min(), shares.max()) == (0, 255)
    assert np.abs(shares.astype(int) - levels).max() <= 1
