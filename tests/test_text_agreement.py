"""Text agreement: numbers, dates, facts and their weights by hand; what a page shows; both scores by hand."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.steps.score.text_agreement import ReadSamples
from scorers.numerals import amounts, dates, numbers
from scorers.picture_agreement import picture_agreement
from scorers.said import said
from scorers.text_agreement import Page, TextAgreement, agreement, one_edit, weighed

TEXTS = st.text("abcEFG019.,%-/$ \n é漢字", max_size=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,234.50 and 1234.5 and 1.234,50", ["1234.5"] * 3),
        ("12 % 12% 12.0", ["12"] * 3),
        ("12,5 kg of 1,234,567 in 1.234", ["12.5", "1234567", "1.234"]),
        ("007, 0.50, 1997,2003 and 1,2,3", ["7", "0.5", "1997", "2003", "1", "2", "3"]),
        ("RM30.30", ["30.3"]),
        ("nothing", []),
    ],
)
def test_a_number_is_written_in_one_way(text, expected):
    assert numbers(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "30/05/2017", "30-05-17", "30.05.2017", "2017-05-30", "05/30/2017", "30 MAY 2017", "30-May-17",
        "30th May, 2017", "May 30, 2017", "30/05/201719:18",
    ],
)  # fmt: skip
def test_a_day_is_the_same_however_it_is_written(text):
    assert dates(f"on {text}")[0] == [date(2017, 5, 30)]


@pytest.mark.parametrize("text", ["31/02/2018", "version 1.10.12", "10-12", "99/99/99", "may 5"])
def test_what_is_no_day_stays_in_the_text(text):
    assert dates(text) == ([], text)


def test_the_first_number_of_a_date_is_the_day():
    assert dates("03/04/2018")[0] == [date(2018, 4, 3)]


def test_amounts_stand_beside_a_currency_or_have_two_decimals():
    assert amounts("TOTAL RM18.80, $ 5, 7 €, 1,299.00 and 18,90; 3 pcs at 12:30, v1.20.33, 0.5") == [
        "18.8", "5", "7", "1299", "18.9",
    ]  # fmt: skip


def test_what_a_text_says_and_how_much_it_tells():
    assert said("<image>\nIn 1997 the Paris metro sold 7 or 12 tickets, 42 % of it. The 漢字字") == {
        "1997": 3.0,
        "7": 0.25,
        "12": 1.0,
        "42": 1.0,
        "paris": 1.5,
        "metro": 0.5,
        "sold": 0.5,
        "tickets": 1.0,
        "漢字": 0.5,
        "字字": 0.5,
    }


def test_boxes_say_where_and_not_what():
    assert said("[0.372, 0.555, 0.598, 0.577]") == {}
    assert said("[3, 4, 5]") == {"3": 0.25, "4": 0.25, "5": 0.25}


def test_questions_count_half_of_answers():
    turns = [("system", "Ghost"), ("user", "Which Total is due?"), ("assistant", "Total 18.80")]
    assert weighed(turns) == {"total": 1.5, "due": 0.25, "18.8": 2.0}


@pytest.mark.parametrize(
    ("fact", "shown"),
    [
        ("forest", True),
        ("forests", True),
        ("cafe", True),
        ("returnable", True),  # between others, as the reader lost the spaces
        ("sold", False),  # too short for that
        ("klang", True),
        ("selangor", True),  # one letter read wrongly
        ("salanger", False),  # two
        ("kland", False),  # too short for a slip
        ("1234.5", True),
        ("123", False),
        ("2017-05-30", True),
        ("2017", True),
    ],
)
def test_what_a_page_shows(fact, shown):
    page = Page.of(
        ["SWEET FOREST CAFES", "GOODSSOLDARENOTRETURNABLE", "KLANG, Selang0r 1,234.50", "30/05/2017"]
    )
    assert page.shows(fact) is shown


def test_one_edit_is_one_letter():
    assert one_edit("", "")
    assert one_edit("abc", "abxc")
    assert one_edit("abc", "ab")
    assert one_edit("aab", "ab")
    assert not one_edit("abc", "acb")
    assert not one_edit("a", "abc")


@given(TEXTS, st.lists(TEXTS, max_size=4))
def test_an_agreement_is_a_share_and_a_text_agrees_with_itself(text, lines):
    facts = weighed([("assistant", text)])
    if facts:
        assert 0 <= agreement(facts, Page.of(lines)) <= 1
        assert agreement(facts, Page.of([text])) == 1


@given(TEXTS, st.lists(TEXTS, max_size=4), TEXTS)
def test_more_lines_show_no_less(text, lines, further):
    facts = weighed([("user", text)])
    if facts:
        assert agreement(facts, Page.of(lines)) <= agreement(facts, Page.of([*lines, further]))


@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_one_edit_is_what_trying_every_edit_says(left, right):
    near = {left, *(left[:at] + left[at + 1 :] for at in range(len(left)))}
    near |= {
        left[:at] + letter + left[at + more :]
        for at in range(len(left) + 1)
        for letter in "ab"
        for more in (0, 1)
    }
    assert one_edit(left, right) is one_edit(right, left) is (right in near)


def test_rows_say_what_stands_in_the_pictures_or_why_not():
    def turns(*texts: str) -> list[dict[str, str]]:
        return [
            {"role": role, "text": text} for role, text in zip(("user", "assistant"), texts, strict=False)
        ]

    asked = turns("What is the total?", "18.80")
    receipt = [{"text": "Total RM 18.80"}, {"text": "30/05/17, 12.00"}]
    rows = pa.RecordBatch.from_pylist(
        [
            {"turns": asked, "error": None},
            {"turns": asked, "error": None},
            {"turns": turns("Is it?", "No."), "error": None},
            {"turns": asked, "error": None},
            {"turns": asked, "error": None},
            {"turns": asked, "error": "bad_roles"},
        ],
        pa.schema(
            [
                ("turns", pa.list_(pa.struct([("role", pa.string()), ("text", pa.string())]))),
                ("error", pa.string()),
            ]
        ),
    )
    images = pa.Table.from_pylist(
        [
            {"lines": receipt, "n_words": 5, "text_share": 0.25},
            {"lines": None, "n_words": None, "text_share": None},
            {"lines": [], "n_words": 0, "text_share": 0.0},
            {"lines": receipt, "n_words": 5, "text_share": 0.25},
            {"lines": None, "n_words": None, "text_share": None},
        ]
    )
    scores = TextAgreement().score(ReadSamples(rows, np.array([0, 2, 3, 4, 5, 5, 5]), images))
    whole = {
        "text_agreement": 1.0,
        "n_image_words": 5,
        "max_text_share": 0.25,
        "image_dates": ["2017-05-30"],
        "image_amounts": ["12", "18.8"],
        "text_reason": None,
    }
    nothing = dict.fromkeys(whole)
    assert scores.to_pylist() == [
        whole,
        {**nothing, "n_image_words": 0, "max_text_share": 0, "image_dates": [], "image_amounts": [],
         "text_reason": "no_text"},
        {**whole, "text_agreement": None, "text_reason": "nothing_said"},
        {**nothing, "text_reason": "unreadable"},
        {**nothing, "text_reason": "no_image"},
        {**nothing, "text_reason": "bad_roles"},
    ]  # fmt: skip


def test_what_is_written_moves_alignment():
    alignment = np.array([1.0, 1.0, 1.0, np.nan])
    found = picture_agreement(alignment, np.array([0.5, 0.1, np.nan, 1.0]), np.array([160.0, 40.0, 0.0, 1.0]))
    assert found[:3].tolist() == pytest.approx([1 + 10 * (0.5 - 0.2), 1 + 10 * (0.1 - 0.1), 1.0])
    assert np.isnan(found[3])
