"""The JSON container: which bytes are a record, whatever the chunks and spans."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.readers import json_records, scanner
from curation.readers.llava import llava
from schemas.errors import BAD_JSON, ReadError

REPOSITORY = Path(__file__).resolve().parents[1]

SPACE = st.text(" \t\r\n", max_size=4)
TEXT = st.text(st.sampled_from('ab\\"[]{},: \né€😀'), max_size=12)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
CHUNK = st.integers(1, 40) | st.just(scanner.CHUNK_BYTES)


@st.composite
def arrays(draw) -> tuple[bytes, list[bytes]]:
    """A JSON array as text, and the text of each of its records."""
    values = draw(st.lists(VALUE, max_size=12))
    texts = [
        json.dumps(value, indent=draw(st.sampled_from([None, 1])), ensure_ascii=draw(st.booleans())).encode()
        for value in values
    ]
    body = b",".join(draw(SPACE).encode() + text + draw(SPACE).encode() for text in texts)
    start = draw(st.sampled_from([b"", b"\xef\xbb\xbf", b"\n ", b"\r\n"]))
    return start + b"[" + (body or draw(SPACE).encode()) + b"]" + draw(SPACE).encode(), texts


def index_and_read(file: Path, *, rows: int = 4, chunk_bytes: int = scanner.CHUNK_BYTES):
    spans = list(json_records.spans(file, rows, chunk_bytes=chunk_bytes))
    records = [list(json_records.read(file, span, llava)) for span in spans]
    assert [len(part) for part in records] == [span.n_records for span in spans]
    return spans, [record for part in records for record in part]


def written(folder: Path, data: bytes | str, name: str = "pool.json") -> Path:
    file = folder / name
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file


@pytest.mark.slow
@given(array=arrays(), chunk_bytes=CHUNK, rows=st.integers(1, 5))
@settings(max_examples=400, deadline=None)
def test_any_chunk_and_span_give_the_records_that_json_loads_gives(
    tmp_path_factory, array, chunk_bytes, rows
):
    data, texts = array
    file = written(tmp_path_factory.mktemp("array"), data)
    spans, records = index_and_read(file, rows=rows, chunk_bytes=chunk_bytes)
    assert [record.raw for record in records] == texts
    assert [json.loads(record.raw) for record in records] == json.loads(data.decode("utf-8-sig"))
    assert [record.key for record in records] == [str(i) for i in range(len(texts))]
    assert all(span.n_records <= rows for span in spans)
    position = 0
    for record in records:
        position = data.index(record.raw, position)
        assert record.line == 1 + data.count(b"\n", 0, position)
        position += len(record.raw)


@pytest.mark.slow
@given(
    values=st.lists(st.dictionaries(TEXT, VALUE, max_size=3), max_size=12), data=st.data(), chunk_bytes=CHUNK
)
@settings(max_examples=200, deadline=None)
def test_jsonl_gives_its_lines_and_skips_blank_ones(tmp_path_factory, values, data, chunk_bytes):
    ends = [data.draw(st.sampled_from(["\n", "\r\n", "\n\n", " \n \n"])) for _ in values]
    text = "".join(
        json.dumps(value, ensure_ascii=False) + end for value, end in zip(values, ends, strict=True)
    )
    file = written(tmp_path_factory.mktemp("lines"), text, "pool.jsonl")
    _, records = index_and_read(file, chunk_bytes=chunk_bytes)
    assert [json.loads(record.raw) for record in records] == values
    lines = text.split("\n")
    assert all(lines[record.line - 1].strip() == record.raw.decode() for record in records)


@given(values=st.lists(VALUE, min_size=1, max_size=6), data=st.data(), chunk_bytes=CHUNK)
@settings(max_examples=200, deadline=None)
def test_a_truncated_array_keeps_whole_records_and_ends_with_one_bad_one(
    tmp_path_factory, values, data, chunk_bytes
):
    whole = json.dumps(values).encode()
    cut = data.draw(st.integers(1, len(whole) - 1))
    file = written(tmp_path_factory.mktemp("cut"), whole[:cut])
    _, records = index_and_read(file, chunk_bytes=chunk_bytes)
    assert records[-1].error is not None
    ends = itertools.accumulate(len(json.dumps(value)) + len(", ") for value in values)
    n_whole = sum(end - len(", ") < cut for end in ends)  # behind the opening bracket
    assert [json.loads(record.raw) for record in records[:n_whole]] == values[:n_whole]
    assert sum(record.error is not None and record.error[0] == BAD_JSON for record in records) <= 2


def test_a_broken_record_between_good_ones_is_the_only_one_lost(tmp_path):
    file = written(tmp_path, '[{"id": 1}, {"id": 2 "x"}, {"id": 3}]')
    _, records = index_and_read(file)
    assert [json.loads(r.raw)["id"] for r in records if r.error[0] != BAD_JSON] == [1, 3]
    assert records[1].raw == b'{"id": 2 "x"}'
    assert "not JSON" in records[1].error[1]


@pytest.mark.parametrize(
    "broken",
    ['{"id": 2, "t": [1, 2}', '{"id": 2, "t": {"a": 1}', '{"id": 2}}', '{"id": 2, "t": "x}', '{"id": 2]}'],
    ids=["no ]", "no }", "one } too many", "no quote", "] for }"],
)
@pytest.mark.parametrize("chunk_bytes", [3, scanner.CHUNK_BYTES])
def test_reading_goes_on_behind_a_record_whose_brackets_do_not_add_up(tmp_path, broken, chunk_bytes):
    good = [f'{{"id": {i}, "t": "a"}}' for i in range(6)]
    file = written(tmp_path, "[\n" + ",\n".join([*good[:2], broken, *good[3:]]) + "\n]\n")
    _, records = index_and_read(file, rows=100, chunk_bytes=chunk_bytes)
    assert [r.raw.decode() for r in records if r.error[0] != BAD_JSON] == [*good[:2], *good[3:]]
    assert [(r.raw.decode(), r.line) for r in records if r.error[0] == BAD_JSON] == [(broken, 4)]
    assert [r.line for r in records] == [2, 3, 4, 5, 6, 7]


def test_a_file_cut_inside_a_record_ends_with_one_bad_record_at_its_line(tmp_path):
    file = written(tmp_path, '[\n{"id": 1},\n{"id": 2, "conversations": [{"from": "hum')
    _, records = index_and_read(file)
    assert [r.error[0] for r in records] == ["no_turns", BAD_JSON]
    assert (records[1].line, records[1].raw) == (3, b'{"id": 2, "conversations": [{"from": "hum')


def test_a_file_cut_between_records_says_that_the_array_is_not_closed(tmp_path):
    _, records = index_and_read(written(tmp_path, '[{"id": 1},\n{"id": 2}\n'))
    assert [r.error[0] for r in records] == ["no_turns", "no_turns", BAD_JSON]
    assert "not closed" in records[-1].error[1]


def test_text_after_the_array_is_one_bad_record(tmp_path):
    _, records = index_and_read(written(tmp_path, '[{"id": 1}]\n\nTHE END\n'))
    assert [(r.raw, r.line) for r in records] == [(b'{"id": 1}', 1), (b"THE END", 3)]


def test_an_over_long_record_is_bad_and_kept_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(scanner, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(json_records, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(json_records, "_KEPT_BYTES", 100)
    file = written(tmp_path, '[{"id": 1}, {"id": "' + "x" * 5000 + '"}, {"id": 3}]')
    _, records = index_and_read(file, chunk_bytes=64)
    assert [len(r.raw) for r in records] == [9, 100, 9]
    assert records[1].error[0] == BAD_JSON


@pytest.mark.parametrize("data", [b"[]", b" [ \n ] \n", b"\xef\xbb\xbf[]"])
def test_an_empty_array_has_no_spans(tmp_path, data):
    assert list(json_records.spans(written(tmp_path, data), 4)) == []


@pytest.mark.parametrize(
    ("data", "name", "advice"),
    [
        (b'{"data": [1, 2]}', "a.json", "is one object"),
        (b'{\n "data": [\n  {"id": 1}\n ]\n}', "a.json", "is one object"),
        ('[{"id": 1}]'.encode("utf-16"), "a.json", "iconv"),
        ('[{"id": 1}]'.encode("utf-16-le"), "a.json", "UTF-16"),
        (b"\x1f\x8b\x08\x00rest", "a.json", "is damaged"),
        (b"\xfd7zXZ\x00rest", "a.json", "unxz"),
        (b"id,image\n1,a.jpg\n", "a.json", "no JSON"),
        (b"id,image\n1,a.jpg\n", "a.jsonl", "no JSONL"),
        (b"", "a.json", "is empty"),
    ],
)
def test_a_file_that_is_no_array_says_what_to_do(tmp_path, data, name, advice):
    file = written(tmp_path, data, name)
    with pytest.raises(ReadError, match=advice) as raised:
        list(json_records.spans(file, 4))
    assert str(file) in str(raised.value)


def test_a_file_that_changed_since_it_was_indexed_is_not_read(tmp_path):
    file = written(tmp_path, '[{"id": 1}, {"id": 2}]')
    (span,) = json_records.spans(file, 4)
    written(tmp_path, '[{"id": 1, "x": 2222}]')
    with pytest.raises(ReadError, match="has changed"):
        list(json_records.read(file, span, llava))


def test_one_object_a_line_is_read_from_a_file_called_json(tmp_path):
    _, records = index_and_read(written(tmp_path, '{"id": 1}\n{"id": 2}\n'))
    assert [record.line for record in records] == [1, 2]


@pytest.mark.slow
def test_indexing_300_mb_needs_less_than_200_mb_of_memory(tmp_path):
    file = tmp_path / "big.json"
    turns = [{"from": "human", "value": 'a "quoted"\nlong ' * 20}]
    record = json.dumps({"id": 1, "conversations": turns})
    block = ((record + ",\n") * (3_000_000 // len(record))).encode()
    with file.open("wb") as handle:
        handle.write(b"[\n")
        for _ in range(100):
            handle.write(block)
        handle.write(record.encode() + b"\n]\n")
    script = (
        "import resource, sys, numpy; from pathlib import Path; from curation.readers import json_records\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); n = sum(s.n_records for s in json_records.spans(Path(sys.argv[1]), 4096))\n"
        "sys.stdout.write(f'{n} {(peak() - before) / 1024}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    count, megabytes = done.stdout.split()
    assert int(count) == 100 * (3_000_000 // len(record)) + 1
    assert float(megabytes) < 200
