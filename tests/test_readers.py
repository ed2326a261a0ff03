"""Every input format: the same records, the same images, and a sentence for what is bad."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.readers import READERS, detect, reader
from curation.readers.building import json_record
from curation.readers.images import BadImage, ImageRoots, fetch
from curation.readers.records import canonical
from curation.readers.shapes import SCHEMAS
from schemas import errors
from schemas.errors import ReadError
from schemas.protocols import ImageAt, Record

TURNS = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A dot."}]


def png(value: int = 0) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(out, "PNG")
    return out.getvalue()


def read_all(path: Path, *, rows: int = 64) -> list[Record]:
    found = detect(path)
    records = []
    for file in found.files(path):
        first = 0
        for span in found.spans(file, rows):
            part = list(found.read(file, span))
            assert (len(part), span.first_record) == (span.n_records, first)
            assert span.n_records <= rows
            first += span.n_records
            records += part
    return records


def ref(image: ImageAt, roots: ImageRoots) -> dict[str, object]:
    return {
        "path": roots.resolve(image),
        "offset": image.offset,
        "length": image.length,
        "column": image.column,
        "row": image.row,
        "name": image.path,
        "sha256": b"",
        "n_bytes": 0,
    }


def sha256(data: bytes | BadImage) -> str:
    assert isinstance(data, bytes)
    return hashlib.sha256(data).hexdigest()


def contents(records: list[Record], roots: ImageRoots) -> list[tuple[object, ...]]:
    """Turns and image hashes of each record."""
    found = iter(fetch([ref(image, roots) for record in records for image in record.images]))
    hashes = [[sha256(next(found)) for _ in record.images] for record in records]
    return [(record.turns, tuple(of)) for record, of in zip(records, hashes, strict=True)]


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return path


def llava(**changes: object) -> dict[str, object]:
    return {"id": 7, "image": "a.jpg", "conversations": TURNS, **changes}


def parsed(schema: str, record: object) -> Record:
    return json_record(json.dumps(record).encode(), SCHEMAS[schema], key="0")


# --- the shared data -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixture(shared: Path) -> list[Record]:
    return read_all(shared / "mixture" / "mixture.json", rows=1000)


@pytest.mark.parametrize("name", ["messages.jsonl", "sharegpt.jsonl", "wds", "parquet"])
def test_the_same_samples_come_out_of_every_format(shared: Path, mixture: list[Record], name: str):
    roots = ImageRoots((str(shared / "mixture"),))
    records = read_all(shared / "formats" / name)
    expected = read_all(shared / "formats" / "messages.jsonl")
    assert [record.error for record in records] == [None] * 600
    assert sorted(contents(records, roots)) == sorted(contents(expected, roots))
    turns = {record.turns for record in mixture}
    assert all(record.turns in turns for record in records)
    ids = {record.record_id for record in mixture}
    assert name == "sharegpt.jsonl" or {record.record_id for record in records} <= ids


def test_samples_of_a_format_are_those_of_the_mixture_with_their_images(shared: Path, mixture: list[Record]):
    roots = ImageRoots((str(shared / "mixture"),))
    assert set(contents(read_all(shared / "formats" / "wds"), roots)) <= set(contents(mixture, roots))


def test_every_record_of_the_mixture_reads_and_keeps_its_bytes(shared: Path, mixture: list[Record]):
    data = (shared / "mixture" / "mixture.json").read_bytes()
    assert [record.error for record in mixture] == [None] * 8205
    assert b"[\n" + b",\n".join(record.raw for record in mixture) + b"\n]" == data.rstrip()
    assert [record.line for record in mixture] == list(range(2, 8207))
    assert [json.loads(record.raw) for record in mixture] == json.loads(data)


# --- text ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<image>\nWhat?", "<image>\nWhat?"),
        ("<image> What?", "<image>\nWhat?"),
        ("What?\n<image>", "What?\n<image>"),
        ("What?  \n\n<image>\n", "What?\n<image>"),
        ("Image 1: <image>\nImage 2: <image>\nWhich", "Image 1:\n<image>\nImage 2:\n<image>\nWhich"),
        ("<image><image>", "<image>\n<image>"),
        (" no image \n", " no image \n"),
        ("  a <image> b ", "  a\n<image>\nb "),
    ],
)
def test_a_placeholder_stands_on_a_line_of_its_own(text: str, expected: str):
    assert canonical(text) == canonical(expected) == expected


def test_openai_parts_and_llava_text_are_the_same_turn():
    parts = [
        {"type": "text", "text": "Image 1:"},
        {"type": "image_url", "image_url": {"url": "a.jpg"}},
        {"type": "text", "text": "Image 2: "},
        {"type": "image", "image": "b.jpg"},
        {"type": "text", "text": "Which?"},
    ]
    openai = parsed("messages", {"messages": [{"role": "user", "content": parts}]})
    text = "Image 1: <image>\nImage 2: <image>\nWhich?"
    plain = parsed(
        "llava", {"image": ["a.jpg", "b.jpg"], "conversations": [{"from": "human", "value": text}]}
    )
    assert (openai.turns, openai.images) == (plain.turns, plain.images)


def test_image_parts_without_a_location_take_the_images_of_the_record():
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}
    record = parsed("messages", {"messages": [turn], "images": ["a.jpg"]})
    assert (record.turns, record.images) == ((("user", "<image>\nWhat?"),), (ImageAt("a.jpg"),))


# --- records ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "code", "found"),
    [
        ([1], errors.NOT_AN_OBJECT, "a list"),
        ({"id": 1, "text": "x"}, errors.NO_TURNS, "'id', 'text'"),
        (llava(conversations=[]), errors.NO_TURNS, "empty"),
        (llava(conversations="hi"), errors.NO_TURNS, "a string"),
        (llava(conversations=["hi"]), errors.BAD_TURN, "turn 1"),
        (llava(conversations=[{"from": "human"}]), errors.BAD_TURN, "'value'"),
        (llava(conversations=[{"from": None, "value": "x"}]), errors.BAD_TURN, "null"),
        (llava(conversations=[{"from": "human", "value": 3}]), errors.BAD_TURN, "a number"),
        (llava(image=3), errors.BAD_IMAGE_FIELD, "a number"),
        (llava(image=["a.jpg", None]), errors.BAD_IMAGE_FIELD, "element 2"),
        (llava(images=["b.jpg"]), errors.BAD_IMAGE_FIELD, "differ"),
    ],
)
def test_a_bad_record_says_what_was_found(record: object, code: str, found: str):
    read = parsed("llava", record)
    assert read.error is not None
    assert read.error[0] == code
    assert found in read.error[1]


@pytest.mark.parametrize("image", [None, "", [], "absent"])
def test_a_record_without_an_image_has_none(image: object):
    record = llava(image=image)
    if image == "absent":
        del record["image"]
    assert (parsed("llava", record).images, parsed("llava", record).error) == ((), None)


def test_ids_of_any_type_are_strings_and_other_roles_stay():
    record = parsed("llava", llava(conversations=[{"from": "bing", "value": "x"}], source="web"))
    assert (record.record_id, record.source, record.turns) == ("7", "web", (("bing", "x"),))
    assert parsed("llava", llava(id="x7")).record_id == "x7"


def test_a_lone_surrogate_does_not_reach_the_tables():
    raw = rb'{"conversations": [{"from": "gpt", "value": "a\ud83d b\ud83d\ude00"}]}'
    (_, text), *_ = json_record(raw, SCHEMAS["llava"], key="0").turns
    assert text.encode() == "a\ufffd b😀".encode()


def test_deep_nesting_and_bad_utf8_are_bad_records():
    for raw in (b"[" * 100_000 + b"]" * 100_000, b'{"a": "\xff"}', b"1" * 5000):
        read = json_record(raw, SCHEMAS["llava"], key="0")
        assert read.error is not None
        assert read.error[0] == errors.BAD_JSON


@pytest.mark.parametrize("depth", [500, 900])
def test_a_lone_surrogate_in_deep_nesting_is_a_bad_record(depth: int):
    raw = (
        rb'{"conversations": [{"from": "gpt", "value": "\ud83d"}], "x": ' + b"[" * depth + b"]" * depth + b"}"
    )
    error = json_record(raw, SCHEMAS["llava"], key="0").error
    assert error == (errors.BAD_JSON, "the record is nested too deeply to be read")


def test_sharegpt_reads_its_system_text():
    record = parsed("sharegpt", {"system": "Be brief.", "conversations": TURNS, "images": ["a.jpg"]})
    assert [role for role, _ in record.turns] == ["system", "user", "assistant"]


# --- tables ----------------------------------------------------------------------------------------------


def table(n: int) -> pa.Table:
    images = [{"bytes": png(i), "path": None if i % 2 else f"{i}.png"} for i in range(n)]
    images[0] = None  # type: ignore[call-overload]
    columns = {
        "id": list(range(n)),
        "image": images,
        "conversations": [TURNS] * n,
        "score": [float("nan")] * n,
    }
    return pa.table(columns)


@pytest.mark.parametrize(("group", "rows"), [(3, 7), (7, 3), (10, 10), (4, 4)])
def test_parquet_rows_come_back_whatever_the_row_groups(tmp_path: Path, group: int, rows: int):
    pq.write_table(table(20), tmp_path / "a.parquet", row_group_size=group)
    records = read_all(tmp_path / "a.parquet", rows=rows)
    assert [record.record_id for record in records] == [str(i) for i in range(20)]
    assert fetch([ref(r.images[0], ImageRoots(())) for r in records[1:]]) == [png(i) for i in range(1, 20)]
    assert records[0].images == ()
    assert json.loads(records[3].raw) == {"id": 3, "conversations": TURNS, "score": None}


def test_parquet_images_given_by_path_lie_in_the_roots(tmp_path: Path):
    images = [[{"bytes": None, "path": "a.png"}, {"bytes": png(1), "path": None}], []]
    pq.write_table(pa.table({"images": images, "conversations": [TURNS] * 2}), tmp_path / "a.parquet")
    first, second = read_all(tmp_path / "a.parquet")
    assert (first.images[0], first.images[1].column) == (ImageAt("a.png"), "images.1.bytes")
    assert second.images == ()
    assert fetch([ref(first.images[1], ImageRoots(()))]) == [png(1)]


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(rows: pa.Table, path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(rows, path)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as out:
            out.write_table(rows)
    return path


@pytest.mark.parametrize("file", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize("column", ["image", "images"])
@pytest.mark.parametrize("nested", [False, True])
def test_an_image_column_is_read_by_its_type(tmp_path: Path, file: str, column: str, nested: bool):
    cells = [{"bytes": png(i), "path": None} for i in range(3)]
    values = pa.array([cells[:2], cells[2:]], pa.list_(IMAGE)) if nested else pa.array(cells[:2], IMAGE)
    records = read_all(write(pa.table({"conversations": [TURNS] * 2, column: values}), tmp_path / file))
    found = fetch([ref(image, ImageRoots(())) for record in records for image in record.images])
    assert found == [png(i) for i in range(3 if nested else 2)]


@pytest.mark.parametrize("file", ["a.parquet", "a.arrow"])
def test_a_row_that_is_not_utf8_is_quarantined_alone(tmp_path: Path, file: str):
    def strings(*values: bytes) -> pa.Array:
        return pa.Array.from_buffers(pa.string(), len(values), pa.array(values).buffers())

    images = pa.StructArray.from_arrays(
        [pa.array([png(i) for i in range(3)]), strings(b"a", b"b", b"\xff.png")], ["bytes", "path"]
    )
    columns = {"id": [0, 1, 2], "note": strings(b"a", b"\xff\xfe", b"c"), "conversations": [TURNS] * 3}
    records = read_all(write(pa.table({**columns, "image": images}), tmp_path / file))
    assert [record.error for record in records] == [
        None,
        (errors.BAD_JSON, "column 'note' holds a string that is not UTF-8"),
        None,
    ]
    assert [record.record_id for record in records] == ["0", "1", "2"]
    assert json.loads(records[1].raw) == {"id": 1, "note": None, "conversations": TURNS}
    assert records[2].images[0].path == "\ufffd.png"
    assert fetch([ref(records[2].images[0], ImageRoots(()))]) == [png(2)]


@pytest.mark.parametrize("file", ["a.parquet", "a.arrow"])
def test_nan_in_a_map_is_null(tmp_path: Path, file: str):
    scores = pa.array([[("a", float("nan")), ("b", 1.0)]], pa.map_(pa.string(), pa.float64()))
    (record,) = read_all(write(pa.table({"scores": scores, "conversations": [TURNS]}), tmp_path / file))
    assert record.raw.startswith(b'{"scores":[["a",null],["b",1.0]],')


def test_a_large_row_group_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    decoded: Counter[str] = Counter()
    decode = pq.ParquetFile.iter_batches

    def counted(self: pq.ParquetFile, *args: object, columns: list[str], **options: object):
        for part in decode(self, *args, columns=columns, **options):
            decoded[columns[-1]] += len(part)
            yield part

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    n = 2000
    images = [{"bytes": b"%d" % i, "path": None} for i in range(n)]
    rows = pa.table({"id": range(n), "image": pa.array(images, IMAGE), "conversations": [TURNS] * n})
    pq.write_table(rows, tmp_path / "a.parquet")
    records = read_all(tmp_path / "a.parquet", rows=70)
    assert [record.record_id for record in records] == [str(i) for i in range(n)]
    refs = [ref(record.images[0], ImageRoots(())) for record in records]
    assert [data for i in range(0, n, 30) for data in fetch(refs[i : i + 30])] == [
        b"%d" % i for i in range(n)
    ]
    assert decoded == {"image.path": 2 * n, "image.bytes": n}  # paths are counted first
    assert fetch(refs[50:10:-3]) == [b"%d" % i for i in range(50, 10, -3)]
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(fetch, [refs[i : i + 30] for i in range(0, n, 30)])
        assert [data for part in parts for data in part] == [b"%d" % i for i in range(n)]
    changed = pa.array([{"bytes": b"new", "path": None}] * n, IMAGE)
    pq.write_table(rows.set_column(1, "image", changed), tmp_path / "a.parquet")
    assert fetch(refs[60:70]) == [b"new"] * 10


def test_a_table_without_turns_names_its_columns(tmp_path: Path):
    pq.write_table(pa.table({"label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(ReadError, match="label"):
        read_all(tmp_path / "a.parquet")


def test_a_cut_parquet_file_is_no_crash(tmp_path: Path):
    pq.write_table(table(5), tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(ReadError, match="Parquet"):
        read_all(tmp_path / "a.parquet")


@pytest.mark.parametrize("split", [None, "train"])
def test_a_saved_dataset_reads_like_parquet(tmp_path: Path, split: str | None):
    features = datasets.Features(
        {
            "id": datasets.Value("int64"),
            "image": datasets.Image(),
            "conversations": [{"from": datasets.Value("string"), "value": datasets.Value("string")}],
        }
    )
    rows = table(20).drop_columns("score").to_pylist()
    saved = datasets.Dataset.from_list(rows, features=features)
    target = datasets.DatasetDict({split: saved}) if split else saved
    target.save_to_disk(tmp_path / "saved", num_proc=None)
    records = read_all(tmp_path / "saved", rows=6)
    assert detect(tmp_path / "saved").name == "hf"
    assert fetch([ref(r.images[0], ImageRoots(())) for r in records[1:]]) == [png(i) for i in range(1, 20)]


# --- tar -------------------------------------------------------------------------------------------------


def shard(n: int) -> dict[str, bytes]:
    members = {}
    for i in range(n):
        members[f"./d/{i:03}.png"] = png(i)
        members[f"./d/{i:03}.json"] = json.dumps(llava(id=i)).encode()
    return members


def test_a_tar_gives_its_records_and_reads_images_at_their_offset(tmp_path: Path):
    records = read_all(tar(tmp_path / "a.tar", shard(9)), rows=4)
    assert [record.key for record in records] == [f"d/{i:03}" for i in range(9)]
    assert fetch([ref(r.images[0], ImageRoots(())) for r in records]) == [png(i) for i in range(9)]
    assert records[2].raw == json.dumps(llava(id=2)).encode()


def test_several_images_come_in_the_order_of_their_numbers(tmp_path: Path):
    members = {f"a.{i}.png": png(i) for i in (10, 2, 0)} | {"a.seg.png": png(9), "a.txt": b"Three.\n"}
    (record,) = read_all(tar(tmp_path / "a.tar", members))
    assert [image.path for image in record.images] == ["a.0.png", "a.2.png", "a.10.png"]
    asked = "<image>\n<image>\n<image>\nDescribe what is shown."
    assert record.turns == (("user", asked), ("assistant", "Three."))


def test_two_tars_in_one_file_are_both_read(tmp_path: Path):
    first, second = (
        tar(tmp_path / "x", {"a.txt": b"1", "a.png": png()}),
        tar(tmp_path / "y", {"b.txt": b"2", "b.png": png()}),
    )
    (tmp_path / "both.tar").write_bytes(first.read_bytes() + second.read_bytes())
    assert [record.key for record in read_all(tmp_path / "both.tar")] == ["a", "b"]


@pytest.mark.parametrize("keep", [0.3, 0.55, 0.8])
def test_a_truncated_tar_keeps_what_is_before_and_ends_with_one_bad_record(tmp_path: Path, keep: float):
    whole = tar(tmp_path / "a.tar", shard(60)).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: int(len(whole) * keep) // 2048 * 2048 + 520])
    records = read_all(tmp_path / "a.tar", rows=4)
    assert [record.error for record in records[:-1]] == [None] * (len(records) - 1)
    assert len(records) < 60
    assert records[-1].error is not None
    assert records[-1].error[0] == errors.BAD_ARCHIVE


def test_a_damaged_header_ends_the_tar_with_one_bad_record(tmp_path: Path):
    whole = bytearray(tar(tmp_path / "a.tar", shard(9)).read_bytes())
    whole[4096:4608] = b"\x55" * 512
    (tmp_path / "a.tar").write_bytes(whole)
    records = read_all(tmp_path / "a.tar", rows=4)
    assert records[-1].error is not None
    assert records[-1].error[0] == errors.BAD_ARCHIVE


def test_a_tar_in_xz_says_to_unpack_it(tmp_path: Path):
    with tarfile.open(tmp_path / "a.tar", "w:xz") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    with pytest.raises(ReadError, match="unpack"):
        read_all(tmp_path / "a.tar")


def test_members_of_one_key_that_lie_apart_are_refused(tmp_path: Path):
    with pytest.raises(ReadError, match="sorted by name"):
        read_all(tar(tmp_path / "a.tar", {"a.png": png(), "b.png": png(), "a.txt": b"x"}))


# --- detection -------------------------------------------------------------------------------------------


def test_each_shared_format_is_recognised(shared: Path):
    found = {
        name: detect(shared / "formats" / name).name
        for name in ("messages.jsonl", "sharegpt.jsonl", "wds", "parquet")
    }
    assert found == {
        "messages.jsonl": "messages",
        "sharegpt.jsonl": "sharegpt",
        "wds": "webdataset",
        "parquet": "parquet",
    }
    assert detect(shared / "mixture" / "mixture.json").name == "llava"


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("a.csv", "id,image\n", "columns id, image"),
        ("a.bin", "id,image\n", "begins with"),
        ("a.json", '[{"url": 1, "alt": 2}]', "keys url, alt"),
    ],
)
def test_unknown_data_is_refused_with_what_was_found(tmp_path: Path, name: str, data: str, found: str):
    (tmp_path / name).write_text(data)
    with pytest.raises(ReadError, match=found) as raised:
        detect(tmp_path / name)
    assert name in str(raised.value)


def test_a_folder_without_data_and_a_missing_path_are_named(tmp_path: Path):
    with pytest.raises(ReadError, match="holds nothing"):
        detect(tmp_path)
    with pytest.raises(ReadError, match="does not exist"):
        detect(tmp_path / "nowhere")


def test_an_unknown_reader_is_refused_with_the_known_names():
    with pytest.raises(ReadError, match="llava"):
        reader("excel")
    assert all(reader(name).name == name for name in READERS)


def test_importing_the_readers_imports_no_heavy_library():
    heavy = {"torch", "polars", "datasets", "PIL"}
    script = f"import sys, curation.readers; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[1]).returncode == 0
