"""What a model is asked, and how its answers are read: no server, no files."""

from __future__ import annotations

import json
import math
import pickle

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.capability import SCHEMA, Capability, read_joint, read_names
from scorers.judgement import JUDGEMENTS, Judgement, read_judgement
from scorers.questions import Answer, Malformed, Reply, conversation, digit, json_object, prompt
from scorers.taxonomy import CAPABILITIES, CAPABILITY_COLUMNS, STYLE_COLUMNS, STYLES, WRITES

SCORES = {key: place % 6 for place, key in enumerate(SCHEMA["properties"]["scores"]["required"])}
WHOLE = {"scores": SCORES, "styles": ["yes/no", "comparison"]}


def joint(tree):
    return read_joint(Answer(json.dumps(tree)))


def top(*weighed):
    """The first token of an answer with its alternatives and their probabilities."""
    return ((weighed[0][0], tuple((token, math.log(p)) for token, p in weighed)),)


# --- the prompts -------------------------------------------------------------------------------------------


def test_turns_become_lines_and_a_single_images_mark_is_dropped():
    turns = [("system", "Be kind."), ("user", "<image>\nWhat is it?"), ("assistant", "A cat.")]
    assert conversation(turns, 1) == "System: Be kind.\nQuestion: What is it?\nAnswer: A cat."


def test_marks_of_several_images_are_numbered_through_all_turns():
    turns = [("user", "<image> or <image>?"), ("assistant", "The first."), ("user", "And <image>?")]
    said = conversation(turns, 3)
    assert said == "Question: [image 1] or [image 2]?\nAnswer: The first.\nQuestion: And [image 3]?"


@pytest.mark.parametrize("mode", ["joint", "each"])
def test_questions_share_all_but_their_end_and_cover_every_column(mode):
    questions = Capability(mode).questions()
    turns = [("user", "<image>Why?"), ("assistant", "So.")]
    texts = [prompt(turns, 1, question.text) for question in questions]
    start = texts[0].index("</instance>")
    assert len({text[:start] for text in texts}) == 1
    columns = [column for question in questions for column in question.columns]
    assert columns == [*CAPABILITY_COLUMNS, *STYLE_COLUMNS]
    for question, copy in zip(questions, pickle.loads(pickle.dumps(questions)), strict=True):
        said = Answer("3" if question.logprobs else "yes/no" if mode == "each" else json.dumps(WHOLE))
        assert copy.read(said) == question.read(said)
        assert tuple(copy.read(said)) == question.columns


def test_the_joint_question_names_every_capability_and_style():
    (question,) = Capability("joint").questions()
    for gloss in (*CAPABILITIES.values(), *STYLES.values()):
        assert gloss in question.text


def test_scorers_that_ask_say_unit_range_and_direction_of_every_column():
    for scorer in (Capability(), Judgement()):
        for field in scorer.writes:
            assert set(field.metadata) == {b"unit", b"range", b"better"}


# --- JSON answers ------------------------------------------------------------------------------------------


def test_a_joint_answer_is_read_by_column():
    found = joint(WHOLE)
    assert [found[name] for name in CAPABILITY_COLUMNS] == [float(value) for value in SCORES.values()]
    assert {name for name in STYLE_COLUMNS if found[name]} == {"style_yes_no", "style_comparison"}


@pytest.mark.parametrize(
    "around", ["{}", "```json\n{}\n```", "Sure! Here it is: {} Hope it helps {{}}.", "<think>{{1}}</think>{}"]
)
def test_what_stands_around_the_json_does_not_matter(around):
    text = around.format(json.dumps(WHOLE))
    assert read_joint(Answer(text)) == joint(WHOLE)


def test_keys_may_be_spelled_as_the_paper_spells_them_and_numbers_as_text():
    spelled = {name.title(): f"{value}/5" for name, value in zip(CAPABILITIES, SCORES.values(), strict=True)}
    assert joint({"scores": spelled, "styles": "yes/no, Comparison"}) == joint(WHOLE)
    assert joint({**SCORES, "styles": ["yes/no", "comparison", "haiku"]}) == joint(WHOLE)


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({"styles": ["yes/no"]}, "14 capabilities are missing"),
        ({**WHOLE, "scores": {**SCORES, "humanities": 6}}, "humanities is 6, not 0 to 5"),
        ({**WHOLE, "scores": {**SCORES, "humanities": -1}}, "humanities is -1, not 0 to 5"),
        ({**WHOLE, "scores": {**SCORES, "humanities": "high"}}, "humanities is 'high', no number"),
        ({**WHOLE, "scores": {**SCORES, "humanities": True}}, "humanities is 'True', no number"),
        ({**WHOLE, "scores": {**SCORES, "humanities": math.nan}}, "humanities is nan"),
        ({**WHOLE, "scores": {**SCORES, "humanities": None}}, "humanities is 'None', no number"),
        ({**WHOLE, "scores": 3}, "scores is no object"),
        ({**WHOLE, "styles": []}, "styles names none of the nine"),
        ({**WHOLE, "styles": ["haiku"]}, "styles names none of the nine: 'style_haiku'"),
        ({**WHOLE, "styles": None}, "styles is no list"),
    ],
)
def test_an_answer_that_lacks_something_is_malformed_and_says_what(tree, reason):
    with pytest.raises(Malformed, match=f"^{reason}"):
        joint(tree)


@given(st.integers(0, len(json.dumps(WHOLE)) - 1))
def test_a_truncated_answer_is_malformed_wherever_it_ends(length):
    with pytest.raises(Malformed, match=r"^(it is cut off|it holds no JSON object)"):
        read_joint(Answer(json.dumps(WHOLE)[:length], cut=True))


@pytest.mark.parametrize("inside", ["9" * 5000, "[" * 100_000, "1e999"])
def test_json_that_no_parser_likes_is_malformed(inside):
    with pytest.raises(Malformed):
        read_judgement(Answer(f'{{"relevance": {inside}, "plausibility": 1, "clarity": 1, "diversity": 1}}'))


@given(st.text(max_size=60))
def test_nonsense_is_malformed_and_never_a_crash(text):
    for read in (read_joint, read_judgement):
        with pytest.raises(Malformed):
            read(Answer(text))


def test_a_reason_is_one_short_line():
    with pytest.raises(Malformed) as raised:
        json_object(Answer("no\nidea " * 100))
    assert len(str(raised.value)) < 110
    assert "\n" not in str(raised.value)


def test_the_four_judgements_are_read_by_column():
    answer = Answer(json.dumps({name.upper(): place for place, name in enumerate(JUDGEMENTS)}))
    assert list(read_judgement(answer)) == Judgement.writes.names[:-1]
    assert list(read_judgement(answer).values()) == [0, 1, 2, 3]
    with pytest.raises(Malformed, match="clarity, diversity are missing"):
        read_judgement(Answer('{"relevance": 1, "plausibility": 2}'))


# --- digits and names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "points"), [("4", 4), (" 4\n", 4), ("4/5", 4), ("Rating: 3.", 3), ("3.5", 3.5), ("**2**", 2)]
)
def test_a_digit_is_what_is_said_where_there_are_no_probabilities(text, points):
    assert digit(Answer(text), "x") == points


@pytest.mark.parametrize("text", ["", "six", "7", "10", "-3", "between 2 and 4", "55"])
def test_what_is_not_one_number_from_0_to_5_is_malformed(text):
    with pytest.raises(Malformed):
        digit(Answer(text, tokens=top(("5", 0.9))), "x")


def test_a_digit_is_the_expectation_over_all_tokens_that_spell_one():
    tokens = top(("4", 0.5), (" 4", 0.1), ("5", 0.2), ("three", 0.1), ("9", 0.05), ("\n", 0.05))
    assert digit(Answer("4", tokens=tokens), "x") == pytest.approx((4 * 0.6 + 5 * 0.2) / 0.8)


def test_the_first_token_that_is_the_digit_counts_not_what_comes_before():
    tokens = (*top((" ", 0.9), ("1", 0.1)), *top(("2", 0.75), ("3", 0.25)))
    assert digit(Answer(" 2", tokens=tokens), "x") == pytest.approx(2.25)


def test_digits_that_hardly_weigh_anything_do_not_outvote_what_is_said():
    assert digit(Answer("2", tokens=top(("2", 0.01), ("5", 0.02))), "x") == 2


@pytest.mark.parametrize("text", ["yes/no, comparison", "- Yes/No\n- Comparison.", '"yes/no", "comparison"'])
def test_names_may_be_separated_by_commas_or_lines(text):
    assert {name for name, on in read_names(Answer(text)).items() if on} == {
        "style_yes_no",
        "style_comparison",
    }


# --- rows --------------------------------------------------------------------------------------------------


def test_rows_are_null_where_a_question_has_no_answer_and_say_why():
    full = dict.fromkeys((*CAPABILITY_COLUMNS, *STYLE_COLUMNS), 1.0)
    part = dict.fromkeys(CAPABILITY_COLUMNS[:3], 1.0)
    batch = [
        [Reply(full)],
        [Reply(part), Reply(reason="malformed: x"), Reply(reason="malformed: x")],
        [Reply()],
    ]
    table = Capability("each").score(batch)
    assert table.schema.equals(WRITES, check_metadata=True)
    assert table.num_rows == 3
    assert table["capability_reason"].to_pylist() == [None, "malformed: x", None]
    assert table[CAPABILITY_COLUMNS[2]].to_pylist() == [1.0, 1.0, None]
    assert table[CAPABILITY_COLUMNS[3]].to_pylist() == [1.0, None, None]
    assert isinstance(table, pa.RecordBatch)
