"""The fast parser of records gives what the standard library gives: the same values, or the same errors."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curation.readers.records import BadRecord, parse, standard

# What parsers are known to see differently.
ODD = st.sampled_from(
    [
        *(
            "NaN",
            "-Infinity",
            "1e400",
            "-0",
            "-0.0",
            "01",
            "1.",
            ".5",
            "1E5",
            "5e-324",
            "0.1e+7",
            "+1",
            "tru",
        ),
        *("18446744073709551616", "-9223372036854775809", "1" * 40, "1" * 5000, "0." + "3" * 400),
        *(r'"\ud800"', r'"\udc00x"', r'"\uD83D\uDE00"', r'"\ud83d\ud83d\ude00"', r'"\u0000"', r'"\x"'),
        *(
            '{"a": 1, "a": 2}',
            '{"": 1}',
            '{"a" 1}',
            "[1,]",
            "{,}",
            '"\n"',
            '"\x7f"',
            '"\x1f"',
            "\ufeff1",
            "1 2",
        ),
        *('"a', "'a'", "// no", "\ufeff1", "1 2", "tru", "\xa01", "\x0b1", "", " ", "[", "]", '"\\'),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
WRITTEN = st.builds(
    lambda value, ascii_: json.dumps(value, ensure_ascii=ascii_).encode("utf-8", "surrogatepass"),
    VALUES,
    st.booleans(),
)
TEXTS = st.lists(ODD | st.sampled_from(["{", "}", "[", "]", ",", ":", '"a"', "1", " "]), max_size=6).map(
    lambda parts: "".join(parts).encode("utf-8", "surrogatepass")
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """JSON in which one byte is another, or which is cut."""
    data = bytearray(draw(WRITTEN))
    at = draw(st.integers(0, len(data) - 1))
    if draw(st.booleans()):
        return bytes(data[:at])
    data[at] = draw(st.integers(0, 255))
    return bytes(data)


def outcome(read: Any, raw: bytes) -> tuple[str, Any]:
    try:
        return "value", exactly(read(raw))
    except BadRecord as bad:
        return bad.code, bad.sentence


def kind_of(read: Any, raw: bytes) -> str:
    try:
        return type(read(raw)).__name__
    except BadRecord as bad:
        return bad.sentence


def exactly(value: Any) -> Any:
    """`value` so that only equal ones of one type are equal, and keys in one order."""
    if isinstance(value, float):
        return "float", "nan" if math.isnan(value) else struct.pack("d", value)
    if isinstance(value, list):
        return [exactly(item) for item in value]
    if isinstance(value, dict):
        return [(key, exactly(item)) for key, item in value.items()], "object"
    return type(value).__name__, value


@given(raw=WRITTEN | TEXTS | damaged() | st.binary(max_size=12))
@example(raw=b'{"a": [18446744073709551616, 1e400, NaN], "a": "\\ud800"}')
@example(raw=b'"\xed\xa0\x80"')
@settings(max_examples=600, deadline=None)
def test_both_parsers_give_the_same_value_or_the_same_error(raw: bytes) -> None:
    assert outcome(parse, raw) == outcome(standard, raw)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'], ids=["lists", "objects"])
@pytest.mark.parametrize("depth", [1, 499, 501, 980, 985, 990, 995, 1000, 5000, 200_000])
def test_both_parsers_give_up_at_the_same_depth(opening: bytes, depth: int) -> None:
    raw = opening * depth + b"1" + (b"]" if opening == b"[" else b"}") * depth
    assert kind_of(parse, raw) == kind_of(standard, raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'["\\ud83d"]', ["\N{REPLACEMENT CHARACTER}"]),
        (b"-0.0", -0.0),
    ],
)
def test_values_are_those_of_the_text(raw: bytes, value: Any) -> None:
    assert exactly(parse(raw)) == exactly(value)


def test_an_error_says_where() -> None:
    with pytest.raises(BadRecord, match=r"not JSON: Expecting property name .* at its character 9"):
        parse(b'{"a": 1, }')
    with pytest.raises(BadRecord, match="not UTF-8 at its byte 1"):
        parse(b'"\xff"')
