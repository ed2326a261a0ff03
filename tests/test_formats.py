"""What people have, as `curate init` and `curate ingest` find it: every layout, and what is refused."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import json
import tarfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from curation.progress import Silent
from curation.readers import detect, reader
from curation.readers.compressed import damage, opened
from curation.readers.records import CAPTION_QUESTION
from curation.readers.rows import canonical_json
from curation.readers.sources import find_spans
from curation.steps.ingest.records import Ingest
from curation.steps.ingest.stages import ingest_stages
from curation.workspace import Workspace
from curation.writers import WRITERS
from jobs.cli import cli
from schemas.errors import ReadError

ASKED = f"<image>\n{CAPTION_QUESTION}"
Row = dict[str, Any]


def png(value: int, size: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (size, size), (value, 40, 200 - value)).save(out, "PNG")
    return out.getvalue()


def pictures(folder: Path, n: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        (folder / f"{i}.png").write_bytes(png(i))


def llava(i: int, image: str | list[str] | None = None, token: bool = True, **changes: Any) -> Row:
    asked = {"from": "human", "value": f"{'<image>' if token else ''}\nWhat?".strip()}
    turns = [asked, {"from": "gpt", "value": f"Boxes, {i}."}]
    return {"id": i, "image": image or f"img/{i}.png", "conversations": turns, **changes}


def jsonl(records: list[Any]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def tar(path: Path, members: list[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return path


def init(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["-C", str(folder), "init", *words, "--json"])


def ingested(folder: Path, data: Path | str, *words: str, **settings: str) -> list[Row]:
    """The rows of `samples` of `data`, made as `curate ingest` makes them after `curate init`."""
    result = init(folder, f"d={data}", *words)
    assert result.exit_code == 0, result.stderr
    workspace = Workspace(folder, settings)
    stage = ingest_stages(workspace.context)[0]
    assert isinstance(stage, Ingest)
    rows: list[Row] = []
    for found in find_spans(workspace.config, workspace.store.root, workspace.base, Silent()):
        where = found.value
        records = list(reader(where.reader, where.keys).read(where.path, where.span))
        assert len(records) == where.span.n_records
        rows += stage.prepare((where, records)).to_pylist()
    return rows


def said(rows: list[Row]) -> list[tuple[str, ...]]:
    return [tuple(turn["text"] for turn in row["turns"]) for row in rows]


def digests(rows: list[Row]) -> list[list[bytes]]:
    return [[ref["sha256"] for ref in row["images"]] for row in rows]


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def errors(rows: list[Row]) -> list[str | None]:
    return [row["error"] for row in rows]


# --- packed files ----------------------------------------------------------------------------------------


def zst(data: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(data, asbytes=True)
    return packed


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zst,
    "bz2": lambda data: bz2.compress(data, 1),
}


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("inner", ["data.jsonl", "data.json", "data.csv"])
def test_a_packed_file_reads_as_the_plain_one(tmp_path: Path, suffix: str, inner: str) -> None:
    pictures(tmp_path / "img", 30)
    if inner == "data.csv":
        text = "image,caption\n" + "".join(f'img/{i}.png,"Boxes, {i}."\n' for i in range(30))
    else:
        records = [llava(i) for i in range(30)]
        text = jsonl(records) if inner == "data.jsonl" else json.dumps(records)
    (tmp_path / inner).write_text(text)
    packed = tmp_path / f"{inner}.{suffix}"
    packed.write_bytes(PACKERS[suffix](text.encode()))
    plain = ingested(tmp_path / "a", tmp_path / inner, **{"run.shard_rows": "16"})
    rows = ingested(tmp_path / "b", packed, **{"run.shard_rows": "16"})
    assert errors(rows) == [None] * 30
    for column in ("record", "turns", "line", "n_images", "content_hash"):
        assert [row[column] for row in rows] == [row[column] for row in plain]


def test_reading_goes_on_where_it_stopped_and_back_where_it_must(tmp_path: Path) -> None:
    text = b"".join(b"%06d\n" % i for i in range(100_000))
    (tmp_path / "a.gz").write_bytes(gzip.compress(text[:300_007]) + gzip.compress(text[300_007:]))
    with opened(tmp_path / "a.gz") as handle:
        for position in (600_000, 7, 0, 650_000, 649_999):
            assert handle.seek(position) == position
            assert handle.read(100) == text[position : position + 100]
        assert handle.seek(0, 2) == len(text)
        assert (handle.read(1), damage(handle)) == (b"", None)


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_cut_file_keeps_what_is_before_and_says_where_it_ends(tmp_path: Path, suffix: str) -> None:
    records = [llava(i, note=hashlib.sha256(b"%d" % i).hexdigest() * 40) for i in range(400)]
    whole = PACKERS[suffix](jsonl(records).encode())
    (tmp_path / f"a.jsonl.{suffix}").write_bytes(whole[: len(whole) * 3 // 4])
    rows = ingested(tmp_path / "w", tmp_path / f"a.jsonl.{suffix}")
    read = [json.loads(row["record"]) for row in rows if row["error"] == "missing_image"]
    assert read == records[: len(read)]
    assert 30 < len(read) < 400
    assert rows[-1]["error"] == "bad_archive"
    assert "cannot be unpacked beyond byte" in rows[-1]["error_message"]
    assert set(errors(rows)) == {"missing_image", "bad_json", "bad_archive"}
    assert errors(rows).count("bad_json") == 1


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar.bz2"])
def test_a_packed_tar_gives_the_images_of_the_plain_one(tmp_path: Path, name: str) -> None:
    members = [(f"{i}.{end}", data) for i in range(40) for end, data in (("png", png(i)), ("txt", b"%d" % i))]
    tar(tmp_path / name, members, "w:bz2" if name.endswith("bz2") else "w:gz")
    rows = ingested(tmp_path / "w", tmp_path / name, **{"run.shard_rows": "16"})
    assert said(rows) == [(ASKED, str(i)) for i in range(40)]
    assert digests(rows) == [[digest(png(i))] for i in range(40)]


# --- several inputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["p-*.jsonl", "p-{00..02}.jsonl", "p-{00,01,02}.jsonl", "**/p-*.jsonl"])
def test_a_pattern_is_one_dataset_of_all_its_files(tmp_path: Path, pattern: str) -> None:
    pictures(tmp_path / "img", 3)
    for i in range(3):
        (tmp_path / f"p-0{i}.jsonl").write_text(jsonl([llava(i)]))
    rows = ingested(tmp_path / "w", tmp_path / pattern)
    assert [(row["file"], row["record_id"], row["error"]) for row in rows] == [
        (f"p-0{i}.jsonl", str(i), None) for i in range(3)
    ]
    one_by_one = ingested(tmp_path / "v", tmp_path / "p-00.jsonl")
    assert one_by_one[0]["uid"] == rows[0]["uid"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("q-*.jsonl", "no such file"), ("{p,q}.jsonl", "q.jsonl"), ("{p.jsonl,img}", "make them two")],
)
def test_a_pattern_without_files_or_of_two_formats_is_refused(
    tmp_path: Path, pattern: str, found: str
) -> None:
    pictures(tmp_path / "img", 1)
    (tmp_path / "p.jsonl").write_text(jsonl([llava(0)]))
    result = init(tmp_path, str(tmp_path / pattern))
    assert result.exit_code == 1
    assert found in result.stderr


# --- video, audio, preferences, tools ---------------------------------------------------------------------

VIDEO = {"conversations": [{"from": "human", "value": "<video>\nWhat?"}, {"from": "gpt", "value": "A dog."}]}
MESSAGE = {"role": "assistant", "content": "A dog."}


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({**VIDEO, "video": "v.mp4"}, "unsupported_media"),
        ({**VIDEO, "videos": ["v.mp4"]}, "unsupported_media"),
        ({**VIDEO, "audio": {"path": "a.wav"}}, "unsupported_media"),
        ({**VIDEO, "image": "v.mp4"}, "unsupported_media"),
        (
            {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": "v"}]}, MESSAGE]},
            "unsupported_media",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "data": "v"}]}, MESSAGE]},
            "unsupported_media",
        ),
        ({"text": "<__dj__video> A dog <|__dj__eoc|>"}, "unsupported_media"),
        ({"query": "What?", "response": "A dog.", "audios": ["a.wav"]}, "unsupported_media"),
        ({"prompt": "What?", "chosen": "A dog.", "rejected": "A cat."}, "unsupported_record"),
        ({**VIDEO, "chosen": MESSAGE, "rejected": MESSAGE}, "unsupported_record"),
        ({"query": "What?", "response": "A dog.", "rejected_response": "A cat."}, "unsupported_record"),
        (
            {"messages": [{"role": "user", "content": "a"}, {**MESSAGE, "tool_calls": [1]}]},
            "unsupported_record",
        ),
        (
            {"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "b"}]},
            "unsupported_record",
        ),
    ],
)
def test_what_is_no_conversation_about_images_has_a_code_and_leaves_its_neighbours(
    tmp_path: Path, record: Row, code: str
) -> None:
    pictures(tmp_path / "img", 2)
    kinds = {"messages": {"messages": [{"role": "user", "content": "a"}, MESSAGE]}}
    good = next((kinds[key] for key in kinds if key in record), llava(0))
    (tmp_path / "a.jsonl").write_text(jsonl([good, record, good]))
    rows = ingested(tmp_path / "w", tmp_path / "a.jsonl")
    assert errors(rows) == [None, code, None]
    assert json.loads(rows[1]["record"]) == record


def test_a_text_about_the_tag_video_is_a_text(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "How is <video> used?"}, {"from": "gpt", "value": "<video src=…>"}]
    (tmp_path / "a.json").write_text(json.dumps([{"id": 1, "conversations": turns}]))
    assert errors(ingested(tmp_path / "w", tmp_path / "a.json")) == [None]


def test_video_in_tars_tables_and_folders_is_unsupported_media(tmp_path: Path) -> None:
    members = [("a.mp4", b"x"), ("a.txt", b"A dog"), ("b.png", png(1)), ("b.txt", b"A box")]
    assert errors(ingested(tmp_path / "t", tar(tmp_path / "a.tar", members))) == ["unsupported_media", None]
    clips = pa.array(
        [{"bytes": b"x", "path": None}, None], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    )
    turns = [VIDEO["conversations"]] * 2
    pq.write_table(pa.table({"conversations": turns, "video": clips}), tmp_path / "a.parquet")
    rows = ingested(tmp_path / "p", tmp_path / "a.parquet")
    assert errors(rows) == ["unsupported_media", None]
    assert b"bytes" not in rows[0]["record"]
    pictures(tmp_path / "img", 1)
    (tmp_path / "img" / "v.mp4").write_bytes(b"x")
    assert errors(ingested(tmp_path / "f", tmp_path / "img")) == [None, "unsupported_media"]


# --- images as text --------------------------------------------------------------------------------------


def url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def asked_by_parts(*urls: str) -> Row:
    parts = [{"type": "image_url", "image_url": {"url": each}} for each in urls]
    return {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": "What?"}]}, MESSAGE]}


@pytest.mark.parametrize("packer", [None, "gz"])
def test_an_image_in_a_data_url_is_an_image_like_any_other(tmp_path: Path, packer: str | None) -> None:
    pictures(tmp_path / "img", 1)
    wild = jsonl([asked_by_parts(url(png(5, 90)))]).replace("/", "\\/").replace("+", "\\u002b")
    wrapped = url(png(6))[:60] + "\n" + url(png(6))[60:]
    records = [asked_by_parts(url(png(1)), url(png(2))), asked_by_parts("img/0.png", url(png(3, 200)))]
    text = jsonl(records) + wild + jsonl([asked_by_parts(wrapped), {**llava(7), "image": url(png(7))}])
    file = tmp_path / ("a.jsonl" if packer is None else f"a.jsonl.{packer}")
    file.write_bytes(text.encode() if packer is None else PACKERS[packer](text.encode()))
    rows = ingested(tmp_path / "w", file, "--format", "messages")
    expected = [[png(1), png(2)], [png(0), png(3, 200)], [png(5, 90)], [png(6)]]
    assert errors(rows) == [None] * 5
    assert digests(rows[:4]) == [[digest(data) for data in of_row] for of_row in expected]
    assert all(ref["name"] == "data:image/png;base64" for ref in rows[0]["images"])
    Workspace(tmp_path / "w").ingest()
    images = Workspace(tmp_path / "w").store.read("images", ["width", "error"]).to_pylist()
    assert sorted(image["width"] for image in images) == [8, 8, 8, 8, 8, 90, 200]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_data_urls_in_rows_of_tables_are_read(tmp_path: Path, name: str) -> None:
    rows = [
        asked_by_parts(url(png(1)), url(png(2))),
        asked_by_parts(url(png(3))),
        asked_by_parts(url(png(4))),
    ]
    for row in rows:  # a table's cells are of one type
        row["messages"] = [
            row["messages"][0],
            {"role": "assistant", "content": [{"type": "text", "text": "A."}]},
        ]
    table = pa.Table.from_pylist(rows)
    if name == "a.parquet":
        pq.write_table(table, tmp_path / name, row_group_size=2)
    else:
        with pa.OSFile(str(tmp_path / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
            out.write_table(table)
    found = ingested(tmp_path / "w", tmp_path / name)
    assert digests(found) == [[digest(png(1)), digest(png(2))], [digest(png(3))], [digest(png(4))]]
    assert [len(ref["name"]) for row in found for ref in row["images"]] == [21] * 4


def test_a_damaged_data_url_is_the_record_s_error(tmp_path: Path) -> None:
    broken = ["data:image/png;base64,@@@@", "data:image/png", url(b"no image")]
    (tmp_path / "a.jsonl").write_text(jsonl([asked_by_parts(each) for each in [*broken, url(png(1))]]))
    rows = ingested(tmp_path / "w", tmp_path / "a.jsonl")
    assert errors(rows) == ["bad_image_field", "bad_image_field", None, None]
    Workspace(tmp_path / "w", {"run.max_errors": "100%"}).ingest()
    checked = Workspace(tmp_path / "w").store.read("checked", ["error"])["error"].to_pylist()
    assert checked == ["bad_image_field", "bad_image_field", "not_an_image", None]


def test_data_urls_in_tars_and_csv_are_read(tmp_path: Path) -> None:
    record = json.dumps(asked_by_parts(url(png(4)))).encode()
    rows = ingested(tmp_path / "t", tar(tmp_path / "a.tar", [("a.json", record)]))
    assert digests(rows) == [[digest(png(4))]]
    (tmp_path / "a.csv").write_text(f'image,caption\n"{url(png(4))}",A box\n')
    (tmp_path / "a.tsv").write_text(f"image\tcaption\n{url(png(4))}\tA box\n")
    for name in ("a.csv", "a.tsv"):
        rows = ingested(tmp_path / f"w{name}", tmp_path / name)
        assert (digests(rows), said(rows)) == ([[digest(png(4))]], [(ASKED, "A box")])


# --- repairs ---------------------------------------------------------------------------------------------


def test_an_image_that_no_text_names_is_refused_or_put_first_on_request(tmp_path: Path) -> None:
    pictures(tmp_path / "img", 3)
    two = llava(1, token=False, image=["img/1.png", "img/2.png"])
    (tmp_path / "a.json").write_text(json.dumps([llava(0, token=False), two, llava(2)]))
    rows = ingested(tmp_path / "s", tmp_path / "a.json")
    assert errors(rows) == ["image_token_count", "image_token_count", None]
    assert "--image-token insert" in rows[0]["error_message"]
    rows = ingested(tmp_path / "i", tmp_path / "a.json", **{"read.image_token": "insert"})
    assert [texts[0] for texts in said(rows)] == [
        "<image>\nWhat?",
        "<image>\n<image>\nWhat?",
        "<image>\nWhat?",
    ]
    assert [row["repaired"] for row in rows] == [["image_token"], ["image_token"], []]
    workspace = Workspace(tmp_path / "i", {"read.image_token": "insert", "embed.model": "builtin:tiny"})
    counts = workspace.ingest()
    assert (counts["n_repaired"], counts["repaired"]) == (2, {"image_token": 2})


def test_a_count_that_differs_is_no_image_token_to_insert(tmp_path: Path) -> None:
    pictures(tmp_path / "img", 2)
    (tmp_path / "a.json").write_text(json.dumps([llava(0, image=["img/0.png", "img/1.png"])]))
    rows = ingested(tmp_path / "w", tmp_path / "a.json", **{"read.image_token": "insert"})
    assert errors(rows) == ["image_token_count"]


def turns(*roles: str) -> list[dict[str, str]]:
    return [{"from": role, "value": f"{role} {i}"} for i, role in enumerate(roles)]


@pytest.mark.parametrize(
    ("roles", "how", "expected", "codes"),
    [
        (("human", "human", "gpt"), "merge", ("human 0\nhuman 1", "gpt 2"), ["roles_merged"]),
        (("human", "gpt", "gpt"), "merge", ("human 0", "gpt 1\ngpt 2"), ["roles_merged"]),
        (("human", "human", "gpt"), "drop", ("human 1", "gpt 2"), ["roles_dropped"]),
        (("human", "gpt", "gpt", "human"), "drop", ("human 0", "gpt 1"), ["roles_dropped"]),
        (("gpt", "human", "gpt"), "drop", ("human 1", "gpt 2"), ["roles_dropped"]),
        (("system", "human", "gpt"), "drop", ("system 0", "human 1", "gpt 2"), []),
        (("human", "gpt"), "merge", ("human 0", "gpt 1"), []),
    ],
)
def test_roles_are_repaired_on_request_and_marked(
    tmp_path: Path, roles: tuple[str, ...], how: str, expected: tuple[str, ...], codes: list[str]
) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"id": 1, "conversations": turns(*roles)}]))
    (row,) = ingested(tmp_path / "w", tmp_path / "a.json", **{"read.roles": how})
    assert (row["error"], said([row])[0], row["repaired"]) == (None, expected, codes)
    if codes:
        (row,) = ingested(tmp_path / "s", tmp_path / "a.json")
        assert (row["error"], row["repaired"]) == ("bad_roles", [])
        assert "--roles" in row["error_message"]


def test_a_question_at_the_end_stays_an_error_when_roles_are_merged(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"id": 1, "conversations": turns("human", "gpt", "human")}]))
    (row,) = ingested(tmp_path / "w", tmp_path / "a.json", **{"read.roles": "merge"})
    assert row["error"] == "bad_roles"
    assert "--roles drop" in row["error_message"]


def test_images_are_found_by_other_spellings_of_their_paths(tmp_path: Path) -> None:
    names = [
        *("cafe\u0301 one.png", "u\u0308/\u00e9.png", "a b.png", "100%25.png", "c.PNG", "d/e.png"),
        *("Photos/IMG 1.Png", "twice.png", "Twice.png"),
    ]
    for i, name in enumerate(names):
        (tmp_path / "img" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "img" / name).write_bytes(png(i))
    wished = [
        "caf\u00e9 one.png",
        "\u00fc/\u00e9.png",
        "a%20b.png",
        "100%25.png",
        "c.png",
        "d\\e.png",
        "photos/img%201.PNG",
        "TWICE.png",
        "none.png",
    ]
    records = [
        llava(i, f"img/{name}" if "\\" not in name else f"img\\{name}") for i, name in enumerate(wished)
    ]
    (tmp_path / "a.json").write_text(json.dumps(records))
    rows = ingested(tmp_path / "w", tmp_path / "a.json")
    # Of two files whose names differ in case neither is meant.
    assert errors(rows) == [None] * 7 + ["missing_image"] * 2
    assert [i for i, row in enumerate(rows) if row["repaired"] == ["spelling"]] == [0, 1, 2, 4, 5, 6]
    for i in range(7):
        assert digests(rows)[i] == [digest(png(i))]
        assert rows[i]["images"][0]["name"] == f"img/{names[i]}"
    strict = ingested(tmp_path / "s", tmp_path / "a.json", **{"read.spelling": "exact"})
    assert [i for i, error in enumerate(errors(strict)) if error is None] == [3]


def test_the_path_as_it_stands_comes_first_and_none_leaves_the_roots(tmp_path: Path) -> None:
    (tmp_path / "in" / "img").mkdir(parents=True)
    (tmp_path / "in" / "img" / "a%20b.png").write_bytes(png(1))
    (tmp_path / "in" / "img" / "a b.png").write_bytes(png(2))
    (tmp_path / "secret.png").write_bytes(png(3))
    records = [llava(0, "img/a%20b.png"), llava(1, "%2e%2e/secret.png"), llava(2, "..\\secret.png")]
    (tmp_path / "in" / "a.json").write_text(json.dumps(records))
    rows = ingested(tmp_path / "w", tmp_path / "in" / "a.json")
    assert errors(rows) == [None, "missing_image", "missing_image"]
    assert digests(rows)[0] == [digest(png(1))]
    assert rows[0]["repaired"] == []


# --- exports ---------------------------------------------------------------------------------------------

NFD = unicodedata.normalize("NFD", "\u00e9")
RECORDS = [llava(0, token=False), llava(1), llava(2, "img/\u00e9.png"), llava(3, url(png(8)))]


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Four samples, of which two are repaired and one has its image in the record, all selected."""
    folder = tmp_path_factory.mktemp("selected")
    pictures(folder / "img", 2)
    (folder / "img" / f"{NFD}.png").write_bytes(png(9))
    (folder / "a.json").write_text(json.dumps(RECORDS))
    assert init(folder, str(folder / "a.json"), "--model", "builtin:tiny").exit_code == 0
    settings = {"read.image_token": "insert", "select.budget": "100%", "select.strategy": "random"}
    off = {"select.default_filters": False, "prune.semantic": False, "capability.backend": "none"}
    workspace = Workspace(folder, {**settings, **off})
    assert workspace.select()["n_selected"] == 4
    return workspace


def test_what_was_repaired_leaves_in_the_export(selected: Workspace, tmp_path: Path) -> None:
    selected.export(tmp_path / "out", format="llava")
    exported = {
        record["id"]: record for record in json.loads((tmp_path / "out" / "data" / "train.json").read_bytes())
    }
    assert exported[0]["conversations"][0] == {"from": "human", "value": "<image>\nWhat?"}
    assert exported[1] == RECORDS[1]
    assert exported[2]["image"] == f"img/{NFD}.png"
    assert (tmp_path / "out" / "images" / exported[3]["image"]).read_bytes() == png(8)


@pytest.mark.parametrize(
    "format", [name for name in WRITERS if name not in ("open_clip", "datacomp", "fiftyone", "ids")]
)
def test_our_own_exports_are_read_back(selected: Workspace, tmp_path: Path, format: str) -> None:
    selected.export(tmp_path / "out", format=format)
    rows = ingested(tmp_path / "w", tmp_path / "out")
    assert sorted(said(rows)) == [("<image>\nWhat?", f"Boxes, {i}.") for i in range(4)]
    assert sorted(digests(rows)) == sorted([digest(png(i))] for i in (0, 1, 8, 9))
    assert [row["repaired"] for row in rows] == [[]] * 4


# --- captions --------------------------------------------------------------------------------------------


def test_captions_beside_images_are_the_answers_to_a_fixed_question(tmp_path: Path) -> None:
    pictures(tmp_path / "img", 3)
    (tmp_path / "img" / "0.txt").write_text("Boxes, 0.\n")
    (tmp_path / "img" / "1.txt").write_bytes(b"\xff\xfe\xfa")
    rows = ingested(tmp_path / "w", tmp_path)
    assert said([rows[0], rows[2]]) == [(ASKED, "Boxes, 0."), ("<image>", "")]
    assert errors(rows) == [None, "bad_turn", None]
    assert digests(rows)[0] == [digest(png(0))]


def test_a_workspace_in_the_folder_of_the_data_is_no_data(tmp_path: Path) -> None:
    pictures(tmp_path, 1)
    for name in (".curate/a.json", ".curate/models/b.json", ".git/c.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert [row["record_id"] for row in ingested(tmp_path, tmp_path)] == ["0.png"]


def test_a_caption_that_changes_is_read_again(tmp_path: Path) -> None:
    pictures(tmp_path / "img", 1)
    (tmp_path / "img" / "0.txt").write_text("Boxes.")
    assert said(ingested(tmp_path / "w", tmp_path / "img")) == [(ASKED, "Boxes.")]
    workspace = Workspace(tmp_path / "w")
    workspace.ingest()
    (tmp_path / "img" / "0.txt").write_text("And others.")
    workspace.ingest()
    assert said(workspace.store.read("samples").to_pylist()) == [(ASKED, "And others.")]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("above", [False, True])
def test_an_imagefolder_takes_captions_from_its_metadata(tmp_path: Path, kind: str, above: bool) -> None:
    rows = [{"file_name": f"{i}.png", "text": f"Boxes, {i}."} for i in range(3)]
    for split in ("train", "test"):
        pictures(tmp_path / "f" / split, 4)
        file = tmp_path / "f" / split / f"metadata.{kind}"
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), file)
        elif kind == "csv":
            file.write_text("file_name,text\n" + "".join(f'{r["file_name"]},"{r["text"]}"\n' for r in rows))
        else:
            file.write_text(jsonl(rows))
    found = ingested(tmp_path / "w", tmp_path / "f" if above else tmp_path / "f" / "train")
    assert said(found) == [(ASKED, f"Boxes, {i}.") for i in range(3)] * (2 if above else 1)
    assert errors(found) == [None] * len(found)
    assert [row["repaired"] for row in found] == [[]] * len(found)
    named = [ref["name"] for row in found for ref in row["images"]]
    assert named[:3] == [f"{'test/' if above else ''}{i}.png" for i in range(3)]


def test_an_img2dataset_folder_reads_its_tars_and_names_what_it_leaves(tmp_path: Path) -> None:
    members = []
    for i in range(3):
        about = {"caption": f"boxes {i}", "status": "success", "url": "http://x.org/a.jpg"}
        pair = (("png", png(i)), ("txt", b"boxes %d" % i), ("json", json.dumps(about).encode()))
        members += [(f"{i:09}.{end}", data) for end, data in pair]
    (tmp_path / "d").mkdir()
    tar(tmp_path / "d" / "00000.tar", members)
    (tmp_path / "d" / "00000_stats.json").write_text('{"count": 3}')
    pq.write_table(pa.table({"url": ["a"], "caption": ["b"]}), tmp_path / "d" / "00000.parquet")
    rows = ingested(tmp_path / "w", tmp_path / "d")
    assert said(rows) == [(ASKED, f"boxes {i}") for i in range(3)]
    found = json.loads(init(tmp_path / "v", f"d={tmp_path / 'd'}").stdout)["datasets"]["d"]
    assert (found["reader"], found["passed_over"]) == ("webdataset", ["00000.parquet", "00000_stats.json"])


def test_img2dataset_s_files_beside_images_are_captions(tmp_path: Path) -> None:
    pictures(tmp_path / "d" / "00000", 2)
    for i in range(2):
        (tmp_path / "d" / "00000" / f"{i}.txt").write_text(f"boxes {i}")
        (tmp_path / "d" / "00000" / f"{i}.json").write_text(json.dumps({"caption": f"boxes {i}"}))
    pq.write_table(pa.table({"url": ["a"], "caption": ["b"]}), tmp_path / "d" / "00000.parquet")
    assert said(ingested(tmp_path / "w", tmp_path / "d")) == [(ASKED, f"boxes {i}") for i in range(2)]


def test_a_table_beside_images_is_their_captions_or_left_aside_by_name(tmp_path: Path) -> None:
    for name, text in (("captions", "image,caption\nimg/0.png,Boxes.\n"), ("notes", "who,when\na,b\n")):
        pictures(tmp_path / name / "img", 1)
        (tmp_path / name / "table.csv").write_text(text)
    assert said(ingested(tmp_path / "w", tmp_path / "captions")) == [(ASKED, "Boxes.")]
    assert said(ingested(tmp_path / "v", tmp_path / "notes")) == [("<image>", "")]
    found = json.loads(init(tmp_path / "u", f"d={tmp_path / 'notes'}").stdout)["datasets"]["d"]
    assert (found["reader"], found["passed_over"]) == ("images", ["table.csv"])


def test_a_list_of_paths_is_a_folder_of_those_images(tmp_path: Path) -> None:
    pictures(tmp_path / "img", 3)
    (tmp_path / "list.txt").write_text("# wanted\nimg/2.png\n\nimg/0.png\nimg/9.png\n")
    rows = ingested(tmp_path / "w", tmp_path / "list.txt")
    assert [(row["record_id"], row["line"], row["error"]) for row in rows] == [
        ("img/2.png", 2, None), ("img/0.png", 4, None), ("img/9.png", 5, "missing_image"),
    ]  # fmt: skip
    assert digests(rows)[:2] == [[digest(png(2))], [digest(png(0))]]


# --- tars ------------------------------------------------------------------------------------------------


def test_captions_in_the_json_of_a_tar_are_read(tmp_path: Path) -> None:
    members = [(f"{i}.{end}", data) for i in range(2) for end, data in (
        ("png", png(i)), ("json", json.dumps({"caption": f"boxes {i}", "w": 8}).encode()))]  # fmt: skip
    rows = ingested(tmp_path / "w", tar(tmp_path / "a.tar", members))
    assert said(rows) == [(ASKED, f"boxes {i}") for i in range(2)]
    assert json.loads(rows[0]["record"]) == {"caption": "boxes 0", "w": 8}


@pytest.mark.parametrize(
    ("members", "keys"),
    [
        (["22.0/1.1.png", "22.0/1.1.txt", "22.0/1.2.png", "22.0/1.2.txt"], ["22.0/1.1", "22.0/1.2"]),
        (
            ["v1.0 (clean) 3.png", "v1.0 (clean) 3.txt", "v1.0 b.txt", "v1.0 b.png"],
            ["v1.0 (clean) 3", "v1.0 b"],
        ),
        (["a.0.png", "a.1.png", "a.txt", "b.png", "b.txt"], ["a", "b"]),
        (["a.txt", "a.0.png", "a.seg.png", "b.png", "b.json", "b.txt"], ["a", "b"]),
        (["a.left.png", "a.right.png", "a.json"], ["a"]),
        (["1.png", "1.txt", "1.1.png", "1.1.txt", "2.png", "2.txt"], ["1", "1.1", "2"]),
        (["a.0.png", "a.1.png", "b.png"], ["a.0", "a.1", "b"]),
        (["x/a.b.c.png", "x/a.b.c.txt", "x/a.b.d.png", "x/a.b.d.txt"], ["x/a.b.c", "x/a.b.d"]),
    ],
)
@pytest.mark.parametrize("rows", [1, 100])
def test_a_key_ends_before_the_last_dot_unless_its_members_are_parts(
    tmp_path: Path, members: list[str], keys: list[str], rows: int
) -> None:
    contents = [
        (name, png(i) if name.endswith("png") else b'{"caption": "x"}') for i, name in enumerate(members)
    ]
    reader = detect(tar(tmp_path / "a.tar", contents))
    spans = list(reader.spans(tmp_path / "a.tar", rows))
    found = [record for span in spans for record in reader.read(tmp_path / "a.tar", span)]
    assert [record.key for record in found] == keys
    assert [span.n_records for span in spans] == ([1] * len(keys) if rows == 1 else [len(keys)])


def test_two_members_of_one_name_are_said_and_not_merged(tmp_path: Path) -> None:
    members = [("a.png", png(1)), ("a.PNG", png(2)), ("a.txt", b"x"), ("b.png", png(3)), ("b.txt", b"y")]
    rows = ingested(tmp_path / "w", tar(tmp_path / "a.tar", members))
    assert errors(rows) == ["bad_archive", None]
    assert "'a.PNG'" in rows[0]["error_message"]


def test_members_and_keys_of_other_names_are_asked_for(tmp_path: Path) -> None:
    about = json.dumps({"caption": "no", "short": "yes"}).encode()
    members = [("a.left.png", png(1)), ("a.seg.png", png(2)), ("a.cap_en", b"boxes"), ("a.json", about)]
    archive = tar(tmp_path / "a.tar", members)
    rows = ingested(tmp_path / "w", archive, "--image-key", "left.png", "--text-key", "cap_en")
    assert (said(rows), digests(rows)) == ([(ASKED, "boxes")], [[digest(png(1))]])
    rows = ingested(tmp_path / "v", archive, "--image-key", "seg.png;left.png", "--text-key", "short")
    assert said(rows) == [(f"<image>\n{ASKED}", "yes")]
    assert digests(rows) == [[digest(png(2)), digest(png(1))]]


# --- tables ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", 'filepath,title\nimg/0.png,"Boxes, ""0"".\nTwo lines"\nimg/1.png,One\n', ()),
        ("a.tsv", 'title\tfilepath\n"Boxes, ""0"".\nTwo lines"\timg/0.png\nOne\timg/1.png\n', ()),
        ("a.csv", 'n;src;alt\n1;img/0.png;"Boxes, ""0"".\nTwo lines"\n2;img/1.png;One\n',
         ("--image-column", "src", "--text-column", "alt")),
        ("a.tsv", '"Boxes, ""0"".\nTwo lines"\timg/0.png\nOne\timg/1.png\n', ()),
    ],
)  # fmt: skip
def test_a_table_of_images_and_texts_is_read(
    tmp_path: Path, name: str, text: str, words: tuple[str, ...]
) -> None:
    pictures(tmp_path / "img", 2)
    (tmp_path / name).write_text("\ufeff" + text)
    rows = ingested(tmp_path / "w", tmp_path / name, *words)
    assert said(rows) == [(ASKED, 'Boxes, "0".\nTwo lines'), (ASKED, "One")]
    assert digests(rows) == [[digest(png(0))], [digest(png(1))]]
    first = rows[0]["line"]
    assert [row["line"] for row in rows] == [first, first + 2]
    assert b"".join(row["record"] for row in rows).decode() in text.replace("\nimg/1", "img/1").replace(
        "\nOne", "One"
    ).replace("\n2;", "2;")


def test_bad_rows_are_quarantined_alone(tmp_path: Path) -> None:
    pictures(tmp_path / "img", 4)
    lines = [b"image,caption", b"img/0.png,a", b"img/1.png", b"img/1.png,\xff", b',"x"', b"img/1.png,",
             b'img/2.png,"open', b"img/3.png,b"]  # fmt: skip
    (tmp_path / "a.csv").write_bytes(b"\n".join(lines) + b"\n")
    rows = ingested(tmp_path / "w", tmp_path / "a.csv")
    assert errors(rows) == [None, "bad_json", "bad_json", "no_turns", "no_turns", "bad_json", None]
    assert [row["line"] for row in rows] == [2, 3, 4, 5, 6, 7, 8]
    assert [row["record"] for row in rows] == lines[1:]


def test_coco_captions_are_pairs(tmp_path: Path) -> None:
    pictures(tmp_path / "val", 2)
    tree = {
        "info": {"year": 2014},
        "images": [{"id": 10 + i, "file_name": f"{i}.png"} for i in range(2)],
        "annotations": [
            {"image_id": 10, "id": 1, "caption": "One."}, {"image_id": 11, "id": 2, "caption": "Two."},
            {"image_id": 99, "id": 3, "caption": "None."}, {"image_id": 10, "id": 4, "bbox": [1]},
        ],
    }  # fmt: skip
    for name, indent, order in (("a.json", None, 1), ("b.json", 1, -1)):
        text = json.dumps(dict(list(tree.items())[::order]), indent=indent)
        (tmp_path / name).write_text(text)
        rows = ingested(tmp_path / f"w{name}", tmp_path / name, "--images", str(tmp_path / "val"))
        assert errors(rows) == [None, None, "missing_image", "bad_turn"]
        assert said(rows)[:2] == [(ASKED, "One."), (ASKED, "Two.")]
        assert digests(rows)[:2] == [[digest(png(0))], [digest(png(1))]]
        assert [json.loads(row["record"]) for row in rows] == tree["annotations"]


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"image": pa.array([png(0)]), "caption": ["Boxes."]}, (ASKED, "Boxes.")),
        ({"image": pa.array([{"bytes": png(0)}], IMAGE), "question": ["What?"], "answer": ["Boxes."]},
         ("<image>\nWhat?", "Boxes.")),
        ({"image": ["img/0.png"], "text": ["Boxes."]}, (ASKED, "Boxes.")),
        ({"jpg": pa.array([{"bytes": png(0)}], IMAGE), "txt": ["no"], "text": ["Boxes."]}, (ASKED, "Boxes.")),
        ({"images": pa.array([[{"bytes": png(0)}]], pa.list_(IMAGE)),
          "texts": [[{"user": "What?", "assistant": "Boxes."}]]}, ("<image>\nWhat?", "Boxes.")),
        ({"images": pa.array([[png(0)]]), "messages": [[{"role": "user", "content": "What?"}, MESSAGE]]},
         ("<image>\nWhat?", "A dog.")),
    ],
)  # fmt: skip
def test_columns_of_a_parquet_file_are_known_by_their_names(
    tmp_path: Path, columns: Row, expected: tuple[str, ...]
) -> None:
    pictures(tmp_path / "img", 1)
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    rows = ingested(tmp_path / "w", tmp_path / "a.parquet")
    assert (errors(rows), said(rows), digests(rows)) == ([None], [expected], [[digest(png(0))]])


def test_columns_of_a_parquet_file_are_asked_for(tmp_path: Path) -> None:
    pictures(tmp_path / "img", 1)
    columns = {"pic": pa.array([{"bytes": png(3)}], IMAGE), "image": ["img/0.png"], "alt": ["Boxes."]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    result = init(tmp_path / "v", str(tmp_path / "a.parquet"))
    assert (result.exit_code, "--text-column" in result.stderr) == (1, True)
    rows = ingested(tmp_path / "w", tmp_path / "a.parquet", "--image-column", "pic", "--text-column", "alt")
    assert (said(rows), digests(rows)) == ([(ASKED, "Boxes.")], [[digest(png(3))]])


# --- conversations ---------------------------------------------------------------------------------------

ONE = ("<image>\nWhat?", "Boxes.")
PARTS = [{"type": "image", "value": "img/0.png"}, {"type": "text", "value": "What?"}]
LAYOUTS: dict[str, tuple[str, Row, tuple[str, ...]]] = {
    "OpenAI": ("messages", asked_by_parts("img/0.png"), ("<image>\nWhat?", "A dog.")),
    "LLaMA-Factory parts": (
        "messages",
        {"messages": [{"role": "user", "content": PARTS}, {"role": "assistant", "content": "Boxes."}]},
        ONE,
    ),
    "TRL strings": (
        "sharegpt",
        {"messages": [{"role": "user", "content": "What?"}, MESSAGE], "images": ["img/0.png"]},
        ("<image>\nWhat?", "A dog."),
    ),
    "TRL pair": ("prompt", {"prompt": "What?", "completion": "Boxes.", "image": "img/0.png"}, ONE),
    "TRL messages": (
        "prompt",
        {
            "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What?"}],
            "completion": [{"role": "assistant", "content": "Boxes."}],
            "images": ["img/0.png"],
        },
        ("Be brief.", *ONE),
    ),
    "ms-swift": (
        "query",
        {"query": "And?", "response": "None.", "history": [["What?", "Boxes."]], "images": ["img/0.png"]},
        (*ONE, "And?", "None."),
    ),
    "ms-swift's mark": ("query", {"query": "Is <image> it?", "response": "Yes.", "images": ["img/0.png"]},
                             ("Is\n<image>\nit?", "Yes.")),
    "Alpaca": (
        "alpaca",
        {"instruction": "Look.", "input": "What?", "output": "Boxes.", "images": ["img/0.png"]},
        ("<image>\nLook.\nWhat?", "Boxes."),
    ),
    "FineVision": (
        "texts", {"images": ["img/0.png"], "texts": [{"user": "What?", "assistant": "Boxes."}]}, ONE
    ),
    "Data-Juicer": (
        "data_juicer",
        {"text": "[[human]]: <__dj__image>\nWhat?\n[[gpt]]: Boxes.<|__dj__eoc|>", "images": ["img/0.png"]},
        ONE,
    ),
    "Data-Juicer's caption": (
        "data_juicer", {"text": "<__dj__image> Boxes. <|__dj__eoc|>", "images": ["img/0.png"]},
        (ASKED, "Boxes."),
    ),
    "interleaved": (
        "data_juicer",
        {"text": "One <__dj__image> two <|__dj__eoc|> three", "images": ["img/0.png"]},
        (CAPTION_QUESTION, "One\n<image>\ntwo\nthree"),
    ),
    "VQA": ("pairs", {"image": "img/0.png", "question": "What?", "answers": ["Boxes.", "no"]}, ONE),
    "caption": ("pairs", {"image_path": "img/0.png", "captions": ["Boxes."]}, (ASKED, "Boxes.")),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_recognised_and_read(tmp_path: Path, layout: str) -> None:
    name, record, expected = LAYOUTS[layout]
    pictures(tmp_path / "img", 1)
    (tmp_path / "a.jsonl").write_text(jsonl([record]))
    rows = ingested(tmp_path / "w", tmp_path / "a.jsonl")
    assert detect(tmp_path / "a.jsonl").name == name
    assert (errors(rows), said(rows), digests(rows)) == ([None], [expected], [[digest(png(0))]])
    assert rows[0]["repaired"] == []


def test_keys_of_other_names_are_asked_for(tmp_path: Path) -> None:
    pictures(tmp_path / "img", 1)
    (tmp_path / "a.jsonl").write_text(jsonl([{"photo": "img/0.png", "sentence": "Boxes.", "text": "no"}]))
    assert init(tmp_path / "v", str(tmp_path / "a.jsonl")).exit_code == 1
    rows = ingested(tmp_path / "w", tmp_path / "a.jsonl", "--image-key", "photo", "--text-key", "sentence")
    assert (said(rows), digests(rows)) == ([(ASKED, "Boxes.")], [[digest(png(0))]])


def test_a_folder_of_llama_factory_is_read_as_its_info_says(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    pictures(folder / "img", 1)
    tags = {"role_tag": "who", "content_tag": "what", "user_tag": "me", "assistant_tag": "it"}
    info = {
        "chat": {"file_name": "a.json", "formatting": "sharegpt", "tags": tags,
                 "columns": {"messages": "talk", "images": "pics", "system": "sys"}},
        "tasks": {"file_name": "b.jsonl", "columns": {"prompt": "ask", "response": "say", "images": "pics"}},
        "ranked": {"file_name": "c.json", "ranking": True},
        "hub": {"hf_hub_url": "x/y"}, "gone": {"file_name": "gone.json"}, "out": {"file_name": "../a.json"},
    }  # fmt: skip
    (folder / "dataset_info.json").write_text(json.dumps(info))
    talk = [{"who": "me", "what": "<image>What?"}, {"who": "it", "what": "Boxes."}]
    chat = [{"talk": talk, "pics": ["img/0.png"], "sys": "Be brief."}]
    (folder / "a.json").write_text(json.dumps(chat))
    (folder / "b.jsonl").write_text(jsonl([{"ask": "<image>What?", "say": "Boxes.", "pics": ["img/0.png"]}]))
    (folder / "c.json").write_text('[{"x": 1}]')
    rows = ingested(tmp_path / "w", folder)
    assert said(rows) == [("Be brief.", *ONE), ONE, ()]
    assert errors(rows) == [None, None, "unsupported_record"]
    assert [row["file"] for row in rows] == ["a.json", "b.jsonl", "c.json"]


# --- what init refuses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.json", '[{"url": 1, "alt": 2}]', "keys url, alt"),
        ("a.json", '{"a": {"b": 1}}', "is one object"),
        ("a.csv", "id,label\n1,2\n", "--image-column"),
        ("a.txt", "some words\n", "begins with"),
        ("a.tar", "no tar", "cannot be read as a tar"),
        ("a.parquet", "no parquet", "cannot be read as Parquet"),
        ("a.jsonl.gz", "plain", "begins with"),
    ],
)
def test_init_refuses_what_ingest_would(tmp_path: Path, name: str, text: str, found: str) -> None:
    (tmp_path / name).write_text(text)
    result = init(tmp_path, str(tmp_path / name))
    assert result.exit_code == 1
    assert found in result.stderr
    assert not (tmp_path / "curate.toml").exists()
    with pytest.raises(ReadError):
        Workspace.init(tmp_path, {"d": tmp_path / name}).ingest()


def test_the_raw_record_of_a_row_is_its_canonical_json(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": pa.array([png(1)]), "caption": ["é"]}), tmp_path / "a.parquet")
    (row,) = ingested(tmp_path / "w", tmp_path / "a.parquet")
    assert row["record"] == canonical_json({"caption": "é"})
