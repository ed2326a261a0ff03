"""Whatever the bytes: a reader refuses them or gives records, sound or with a code. None leaves its root."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.readers import READERS, detect, reader
from curation.readers.building import json_record
from curation.readers.images import BadImage, ImageRoots, fetch
from curation.readers.keys import NO_KEYS, Keys
from curation.readers.shapes import SHAPES, schema_of
from schemas import errors
from schemas.errors import ReadError
from schemas.protocols import ImageAt, Reader, Record

CODES = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, str)}
TURNS = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A dot."}]


def sound(record: Record) -> None:
    """A record that the next stage can take."""
    if record.error is not None:
        code, sentence = record.error
        assert code in CODES
        assert sentence
        return
    assert record.turns
    for role, text in record.turns:
        assert isinstance(role, str)
        text.encode("utf-8", "surrogatepass")
    for image in record.images:
        assert isinstance(image.path, str)


def named(file: Path, error: ReadError) -> None:
    """An error says which file is meant."""
    assert file.name in str(error)


def read_whole(chosen: Reader, file: Path, rows: int) -> list[Record]:
    found: list[Record] = []
    for span in chosen.spans(file, rows):
        part = list(chosen.read(file, span))
        assert (len(part), span.first_record) == (span.n_records, len(found))
        found += part
    return found


def survives(chosen: Reader, file: Path, rows: int = 3) -> list[Record] | None:
    """The records of `file`; None where it is refused as a whole."""
    try:
        found = read_whole(chosen, file, rows)
    except ReadError as error:
        named(file, error)
        return None
    for record in found:
        sound(record)
    refs = [
        {"path": image.container, "offset": image.offset, "length": image.length, "column": image.column,
         "row": image.row, "name": image.path, "sha256": b"", "n_bytes": 0}
        for record in found for image in record.images if image.container is not None
    ]  # fmt: skip
    assert all(isinstance(data, bytes | BadImage) for data in fetch(refs))
    assert len({record.key for record in found}) == len(found)
    return found


# --- files -----------------------------------------------------------------------------------------------


def png(value: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(out, "PNG")
    return out.getvalue()


def tar(mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for i in range(6):
            for name, data in ((f"1.{i}.png", png(i)), (f"1.{i}.txt", b"dot %d" % i)):
                header = tarfile.TarInfo(name)
                header.size = len(data)
                archive.addfile(header, io.BytesIO(data))
    return out.getvalue()


def parquet() -> bytes:
    out = io.BytesIO()
    images = pa.array([{"bytes": png(i), "path": None} for i in range(6)])
    pq.write_table(pa.table({"image": images, "caption": [f"dot {i}" for i in range(6)]}), out)
    return out.getvalue()


def records() -> list[dict[str, Any]]:
    return [{"id": i, "image": f"{i}.png", "conversations": TURNS} for i in range(6)]


LINES = "".join(json.dumps(record) + "\n" for record in records()).encode()
CSV = b"image,caption\n" + b"".join(b'%d.png,"dot ""%d"".\nred"\n' % (i, i) for i in range(6))
COCO = json.dumps(
    {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(6)],
        "annotations": [{"id": i, "image_id": i, "caption": "A dot."} for i in range(6)],
    }
).encode()
FILES: dict[str, tuple[str, bytes]] = {
    "a.json": ("llava", json.dumps(records()).encode()),
    "a.jsonl": ("llava", LINES),
    "a.jsonl.gz": ("llava", gzip.compress(LINES)),
    "a.json.bz2": ("llava", bz2.compress(json.dumps(records()).encode())),
    "a.csv": ("csv", CSV),
    "a.csv.gz": ("csv", gzip.compress(CSV)),
    "b.json": ("coco", COCO),
    "a.txt": ("paths", b"a.png\nb.png\n# c\nd/e.jpg\n"),
    "a.tar": ("webdataset", tar()),
    "a.tgz": ("webdataset", tar("w:gz")),
    "a.parquet": ("parquet", parquet()),
}


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with some bytes changed, put in or taken out, perhaps cut."""
    found = bytearray(data)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(found) - 1, 0)))
        put = draw(st.binary(max_size=6) | st.sampled_from([b'"', b"\n", b"]", b"{", b"\0" * 512, b"\xff"]))
        taken = draw(st.integers(0, 600) if draw(st.booleans()) else st.integers(0, 3))
        found[at : at + taken] = put
    return bytes(found[: draw(st.integers(0, len(found)))] if draw(st.booleans()) else found)


@pytest.mark.parametrize("name", FILES)
def test_a_sound_file_gives_sound_records(name: str, tmp_path: Path) -> None:
    kind, data = FILES[name]
    (tmp_path / name).write_bytes(data)
    assert detect(tmp_path / name).name == kind
    found = survives(detect(tmp_path / name), tmp_path / name)
    assert found is not None
    assert [record.error for record in found] == [None] * len(found)
    assert len(found) == (3 if name == "a.txt" else 6)


@pytest.mark.parametrize("name", FILES)
def test_spans_of_a_file_are_read_in_any_order_and_at_once(name: str, tmp_path: Path) -> None:
    kind, data = FILES[name]
    file = tmp_path / name
    file.write_bytes(data)
    spans = list(reader(kind).spans(file, 1))
    assert len(spans) == (3 if name == "a.txt" else 6)
    backwards = [list(reader(kind).read(file, span)) for span in reversed(spans)]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(lambda span: list(reader(kind).read(file, span)), spans))
    assert at_once == backwards[::-1]
    assert [record.error for part in at_once for record in part] == [None] * len(spans)


@pytest.mark.parametrize("name", FILES)
@given(st.data())
@settings(max_examples=25, deadline=None)
def test_a_damaged_file_is_refused_or_gives_what_is_left(name: str, draw: st.DataObject) -> None:
    kind, data = FILES[name]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(draw.draw(damaged(data)))
        survives(reader(kind), file)
        try:
            detect(file)
        except ReadError as error:
            named(file, error)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.tgz", "a.csv.gz"])
def test_every_cut_of_a_packed_file_ends_with_its_damage_or_is_refused(name: str, tmp_path: Path) -> None:
    kind, data = FILES[name]
    for end in range(1, len(data), 7):
        (tmp_path / name).write_bytes(data[:end])
        found = survives(reader(kind), tmp_path / name)
        assert found is None or any(record.error is not None for record in found)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_a_gigabyte_is_the_end_of_its_archive(kind: bytes, tmp_path: Path) -> None:
    header = tarfile.TarInfo("long")
    header.type, header.size = kind, 1 << 30
    sound_part = tar().rstrip(b"\0")
    sound_part += b"\0" * (-len(sound_part) % 512)
    with gzip.open(tmp_path / "a.tgz", "wb", 1) as file:
        file.write(sound_part + header.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(64):
            file.write(b"\0" * (1 << 20))
    tracemalloc.start()
    found = survives(reader("webdataset"), tmp_path / "a.tgz")
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    assert found is not None
    assert [record.error and record.error[0] for record in found] == [None] * 6 + ["bad_archive"]


# --- records ---------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["<image>", "What?", "", "a.png", "data:image/png;base64,AAAA", "human", "user", "gpt", "assistant",
     "text", "image_url", "image", "[[human]]: a", "<__dj__image> a <|__dj__eoc|>", "../../etc/passwd",
     "\ud83d", "\0"]
)  # fmt: skip
NAMES = st.sampled_from(
    ["id", "image", "images", "conversations", "messages", "from", "value", "role", "content", "type", "text",
     "texts", "user", "assistant", "query", "response", "history", "system", "instruction", "input", "output",
     "prompt", "completion", "chosen", "rejected", "tools", "tool_calls", "caption", "question", "answer",
     "file_name", "url", "image_url", "bytes", "path", "video", "audio", "source"]
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10**20)
    | st.floats(allow_nan=False)
    | WORDS
    | st.text(max_size=4)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)
TURN = st.dictionaries(NAMES, VALUES, max_size=4)
RECORD = st.dictionaries(NAMES, VALUES | st.lists(TURN, max_size=4), max_size=7)


@given(RECORD, st.sampled_from([NO_KEYS, Keys("path", "text"), Keys("image;url", "value")]))
@settings(max_examples=100, deadline=None)
@example({"texts": [{"user": None, "assistant": None}]}, NO_KEYS)
@example({"question": {"a": [1]}, "answer": [{"answer": None}], "image": "a.png"}, NO_KEYS)
def test_a_record_of_any_values_is_sound_or_has_a_code(value: dict[str, Any], keys: Keys) -> None:
    raw = json.dumps(value).encode()
    assert schema_of(value) in {None, *SHAPES}
    for shape in SHAPES.values():
        sound(json_record(raw, shape, key="0", keys=keys))


@pytest.mark.parametrize("name", [name for name in READERS if name in SHAPES])
def test_deep_nesting_breaks_no_layout(name: str) -> None:
    for depth in (400, 900, 100_000):
        raw = b'{"text": "a", "messages": ' + b"[" * depth + b"]" * depth + b"}"
        record = json_record(raw, SHAPES[name], key="0")
        sound(record)
        assert record.error is not None or depth < 1000


# --- paths -----------------------------------------------------------------------------------------------

PARTS = st.sampled_from(
    ["..", ".", "a", "%2e%2e", "..\\", "%2F", "b.png", "B.PNG", "\u00e9", "e\u0301", "", "~", "link"]
)
PATHS = st.lists(PARTS, max_size=6).map("/".join) | st.text(max_size=20)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and a link out of it, and a secret beside it."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "root" / "a").mkdir(parents=True)
    for name in ("b.png", "a/b.png", "\u00e9", "a/%2e%2e"):
        (folder / "root" / name).write_bytes(b"inside")
    (folder / "b.png").write_bytes(b"outside")
    (folder / "root" / "link").symlink_to(folder)
    return folder / "root"


@given(PATHS, st.booleans())
@settings(max_examples=300, deadline=None)
@example("link/b.png", True)
@example("%2e%2e/b.png", True)
@example("..\\b.png", True)
def test_no_spelling_of_a_path_leads_out_of_the_roots(root: Path, path: str, absolute: bool) -> None:
    roots = ImageRoots((str(root),), beside="a", any_spelling=True)
    try:
        found = roots.find(ImageAt(f"{root}/{path}" if absolute else path))
    except BadImage:
        return
    assert Path(found.path).read_bytes() == b"inside"


BUILDERS: dict[str, Callable[[Path], None]] = {
    "a link": lambda path: path.symlink_to("/etc/passwd"),
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", BUILDERS)
def test_an_image_folder_takes_no_links_out_and_no_folders_as_captions(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    BUILDERS[kind](tmp_path / "a.txt")
    (record,) = read_whole(READERS["images"], tmp_path, 4)
    assert record.error is not None or record.turns == (("user", "<image>"), ("assistant", ""))
