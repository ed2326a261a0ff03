"""The rules of trainers: each finds what it says, and nothing in a record that is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.trainers import CRASH, EFFECTS, TRAINERS, check
from curation.trainers.columns import Columns, concerns
from curation.trainers.llama_factory import as_named
from curation.trainers.rules import NEW, OLD

ASKED = {"from": "human", "value": "<image>\nWhat is shown?"}
SAID = {"from": "gpt", "value": "A red box."}
SYSTEM = {"from": "system", "value": "Be brief."}
PICTURE = [{"type": "image"}, {"type": "text", "text": "What is shown?"}]


def llava(*turns: Any, **others: Any) -> dict[str, Any]:
    return {"image": "a.jpg", "conversations": list(turns) or [ASKED, SAID], **others}


def without(record: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}


def messages(*said: Any, role: str = "user", **others: Any) -> dict[str, Any]:
    """Turns by user and assistant in turn; `role` is that of the first."""
    roles = [role, "assistant", "user", "assistant"]
    held = [{"role": who, "content": text} for who, text in zip(roles, said, strict=False)]
    return {"messages": held, "images": ["a.jpg"], **others}


def human(text: Any) -> dict[str, Any]:
    return {"from": "human", "value": text}


def alpaca(**others: Any) -> dict[str, Any]:
    return {
        "instruction": "<image>What?", "input": "", "output": "A box.", "images": ["a.jpg"], **others
    }  # fmt: skip


RIGHT = {
    "llava": [
        llava(),
        without(llava(human("2 + 2?"), SAID), "image"),
        llava(ASKED, SAID, human("Sure?"), SAID),
    ],
    "internvl": [
        llava(),
        llava(SYSTEM, ASKED, SAID, image=["a.jpg"]),
        llava(human("<image><image>Which?"), SAID, image=["a.jpg", "b.jpg"]),
        llava(human("No tag is added."), SAID),
        llava(human("2 + 2?"), SAID, image=""),
    ],
    "llamafactory": [llava(), messages("<image>What?", "A box."), alpaca(), llava(ASKED, SAID, system="Hm.")],
    "trl": [
        messages("What?", "A box."),
        messages(PICTURE, "A box."),
        {"prompt": [{"role": "user", "content": "What?"}], "images": ["a.jpg"],
         "completion": [{"role": "assistant", "content": "A box."}]},
        {"prompt": "2 + 2?", "completion": "4", "images": []},
    ],
    "swift": [
        llava(),
        messages("<image>What?", "A box."),
        messages("The tag is added.", "A box."),
        messages(PICTURE, "A box."),
        {"query": "<image>What?", "response": "A box.", "images": ["a.jpg"], "history": [["Hi", "Hello"]]},
        {"question": "What?", "answer": "A box.", "image": "a.jpg"},
        alpaca(),
    ],
}  # fmt: skip

# Of each rule the records that it is about.
CASES: dict[str, dict[str, list[Any]]] = {
    "llava": {
        "no_conversation": [{"conversations": []}, {"messages": []}, llava("hello"), llava({"value": "x"})],
        "text_is_no_string": [llava(human(None), SAID), llava(ASKED, {"from": "gpt", "value": ["x"]})],
        "image_is_no_string": [
            llava(human("2 + 2?"), SAID, image=None),
            llava(human("2 + 2?"), SAID, image=[]),
            llava(image=["a.jpg"]),
        ],
        "image_is_empty": [llava(human("2 + 2?"), SAID, image="")],
        "unknown_role": [llava(SYSTEM, ASKED, SAID), llava(ASKED, {"from": "bot"})],
        "roles_out_of_order": [llava(ASKED, ASKED, SAID), llava(SAID, SAID, ASKED, SAID)],
        "tags_in_two_turns": [llava(ASKED, SAID, ASKED, SAID)],
        "tags_in_one_turn": [llava(human("<image> or <image>?"), SAID)],
        "no_tag": [llava(human("What?"), SAID)],
        "tag_without_image": [without(llava(), "image")],
        "other_media": [without(llava(human("What?"), SAID, video="a.mp4"), "image")],
        "first_turn_skipped": [llava(SAID, ASKED, SAID)],
        "no_answer": [llava(ASKED), llava(SAID)],
        "empty_text": [llava(ASKED, {"from": "gpt", "value": ""})],
        "separator_in_text": [llava(ASKED, {"from": "gpt", "value": "a </s> b"})],
    },
    "internvl": {
        "image_is_no_path": [llava(image=None), llava(image=[None]), llava(image={"path": "a.jpg"})],
        "no_conversation": [{"conversations": None}, llava({"from": "human"}, SAID)],
        "text_without_tags": [llava(human(None), SAID)],
        "unknown_role": [llava(ASKED, {"from": "system", "value": "x"}, SAID)],
        "fewer_tags": [
            llava(human("Which?"), SAID, image=["a.jpg", "b.jpg"]),
            llava(SYSTEM, human("What?"), SAID),
        ],
        "more_tags": [llava(human("<image><image>"), SAID), without(llava(), "image")],
        "tag_before_no_question": [llava(SYSTEM, ASKED, SAID)],
        "text_is_no_string": [llava(ASKED, {"from": "gpt", "value": 5})],
        "no_answer": [llava(ASKED)],
    },
    "llamafactory": {
        "no_messages": [{"conversations": None}, {"text": "hello"}],
        "no_tags": [llava({"from": "human"}, {"from": "gpt"}), llava({"value": "x"}, {"value": "y"})],
        "asked_is_no_string": [alpaca(instruction=5), alpaca(input=["x"])],
        "history_is_no_pairs": [alpaca(history=[["a"]])],
        "roles_out_of_order": [llava(ASKED, ASKED), messages("<image>", "x", role="tool")],
        "no_answer": [llava(ASKED), messages(), alpaca(output=None)],
        "text_is_no_string": [messages(PICTURE, "A box."), messages(None, "x")],
        "tag_count": [llava(human("What?"), SAID), alpaca(images=[]), messages("<image><image>", "A box.")],
        "other_tags": [messages("<image> An HTML <video> element", "A box."), messages("<image>", "<audio>")],
        "image_is_no_path": [llava(image=[None]), llava(image=[5])],
        "image_is_empty": [llava(image="")],
    },
    "trl": {
        "no_messages": [llava(), {"text": "hello", "images": ["a.jpg"]}, {"prompt": "x", "images": []}],
        "unknown_role": [messages("What?", "A box.", role="human")],
        "images_are_no_list": [messages("What?", "A box.", images="a.jpg")],
        "image_is_null": [
            without(messages("2 + 2?", "4", image=None), "images"),
            messages("What?", "A box.", images=[None]),
            {"prompt": [{"role": "user", "content": "2 + 2?"}], "completion": [], "images": None},
        ],
        "image_is_empty": [messages("What?", "A box.", images=[""])],
        "placeholder_count": [messages([*PICTURE, *PICTURE], "x"), messages("What?", "x", role="system")],
        "images_in_completion": [
            {"prompt": [{"role": "user", "content": "Draw."}],
             "completion": [{"role": "assistant", "content": PICTURE}], "images": ["a.jpg"]}
        ],
        "prompt_ends_with_system": [
            {"prompt": [{"role": "system", "content": "Be brief."}], "completion": [], "images": []}
        ],
        "prompt_without_token": [{"prompt": "What?", "completion": "A box.", "images": ["a.jpg"]}],
        "images_in_parts": [
            without(messages([{"type": "image_url", "image_url": {"url": "a.jpg"}}], "A box."), "images")
        ],
        "tag_stays": [messages("<image>What?", "A box.")],
    },
    "swift": {
        "no_turns": [{"messages": []}, {"text": None}, alpaca(instruction=None, input=None)],
        "only_system": [messages("Be brief.", role="system")],
        "unknown_role": [messages("<image>What?", "A box.", role="narrator")],
        "text_is_null": [messages("<image>What?", None)],
        "text_is_no_string": [messages("<image>What?", 5)],
        "images_twice": [messages([{"type": "image", "image": "b.jpg"}], "A box.")],
        "image_is_no_path": [llava(image=""), messages("<image>What?", "A box.", images=[None])],
        "system_inside": [llava(ASKED, {"from": "system", "value": "x"}, SAID)],
        "more_tags": [messages("<image><image>", "A box."), messages("<image>", "A box.", images=[])],
        "roles_merged": [llava(ASKED, human("Or what?"), SAID)],
        "no_question": [llava(SAID, human("<image>What?"), SAID)],
        "no_answer": [llava(ASKED)],
    },
}  # fmt: skip
KEYS = (
    "conversations messages from value role content image images type text prompt completion query response"
)
KEYS += " history instruction input output url"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "a.jpg", "<image>", "user", "gpt"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_nothing_is_found_in_records_as_a_trainer_wants_them(trainer):
    for record in RIGHT[trainer]:
        assert check(record, trainer) == []
        assert TRAINERS[trainer].fits(record)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_every_rule_finds_what_it_is_about(trainer):
    rules = {rule.name: rule for rule in TRAINERS[trainer].rules}
    assert list(CASES[trainer]) == list(rules)
    for name, records in CASES[trainer].items():
        for record in records:
            found = {problem.rule: problem for problem in check(record, trainer)}
            assert name in found, record
            assert found[name].effect == rules[name].effect in EFFECTS
            assert found[name].source == rules[name].source


def test_five_of_eight_crash_llava():
    """As of `llava-trainers-crash`: null, "", [], a list of one, and a system turn before a good record."""
    records = [llava(image=f"{n}.jpg") for n in range(8)]
    values: list[Any] = [None, "", []]
    for n, value in enumerate(values):
        records[n] |= {"image": value, "conversations": [human("What is two and two?"), SAID]}
    records[3]["image"] = ["3.jpg"]
    records[4]["conversations"] = [{"from": "system", "value": "One sentence."}, ASKED, SAID]
    crashes = [any(problem.effect == CRASH for problem in check(record, "llava")) for record in records]
    assert crashes == [True] * 5 + [False] * 3


@pytest.mark.parametrize("trainer", TRAINERS)
def test_an_image_that_cannot_be_opened_is_named(trainer):
    record = RIGHT[trainer][0]
    assert check(record, trainer, {"b.jpg": "is not there"}) == []
    (problem,) = check(record, trainer, {"a.jpg": "is not there"})
    assert (problem.rule, problem.sentence) == ("image_not_opened", "is not there")
    assert problem.effect == TRAINERS[trainer].lost.effect


@pytest.mark.parametrize(("trainer", "opens"), [("llava", False), ("llamafactory", False), ("swift", True)])
def test_addresses_are_opened_by_some_only(trainer, opens):
    for address in ("https://example.org/a.jpg", "data:image/png;base64,iVBORw0KGgo="):
        assert (check(llava(image=address), trainer) == []) is opens


@pytest.mark.parametrize("value", [None, 5, "text", [], [{}]])
@pytest.mark.parametrize("trainer", TRAINERS)
def test_what_is_no_object_crashes_every_trainer(trainer, value):
    assert [problem.effect for problem in check(value, trainer)] == [CRASH]


@given(JSON)
def test_no_record_makes_a_rule_raise(value):
    for name, trainer in TRAINERS.items():
        assert all(problem.sentence for problem in check(value, name))
        if isinstance(value, dict):
            trainer.fits(value)


def test_a_record_that_llama_factory_drops_is_looked_at_no_further():
    record = llava(ASKED, human("<image><image>"), SAID, image="gone.jpg")
    assert [p.rule for p in check(record, "llamafactory", {"gone.jpg": "gone"})] == ["roles_out_of_order"]


FIRST = {"id": 1, "text": "x", "list": ["a"], "turns": [{"role": "user"}], "empty": [], "null": None}
LATE = {
    "a key": ({**FIRST, "new": 1}, "late_column"),
    "a key inside": ({**FIRST, "turns": [{"role": "user", "weight": 1}]}, "late_column"),
    "the first image": ({**FIRST, "empty": ["a.jpg"]}, "late_column"),
    "a value where all was null": ({**FIRST, "null": "x"}, "late_column"),
    "a text for a number": ({**FIRST, "id": "one"}, "late_column"),
    "a key less": ({"id": 2, "text": "y"}, None),
    "a null": ({**FIRST, "list": None}, None),
    "the same again": (FIRST, None),
}


def seen(records: list[dict[str, Any]], n_beginning: int) -> list[tuple[str, str]]:
    columns = Columns()
    found = [columns.see(record, beginning=at < n_beginning) for at, record in enumerate(records)]
    return [(whom, problem.rule) for each in found for whom, problem in each]


@pytest.mark.parametrize("case", LATE)
def test_what_comes_late_is_what_datasets_cannot_load(case, tmp_path):
    import datasets

    later, rule = LATE[case]
    records = [FIRST] * 50 + [later]
    assert [rule for whom, rule in seen(records, 50) if whom == ""] == ([] if rule is None else [rule])
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    try:
        # As if 10 MB stood before the last record.
        loaded = datasets.load_dataset(
            "json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"), chunksize=1000
        )
    except datasets.exceptions.DatasetGenerationError:
        assert rule is not None
    else:
        assert rule is None
        assert len(loaded) == 51


def test_values_of_two_types_concern_those_with_old_datasets():
    assert seen([{"id": 1}, {"id": "one"}, {"id": "two"}], 3) == [(OLD, "mixed_types")]
    assert seen([{"id": 1}, {"id": 1.5}, {"id": None}, {}], 4) == []
    assert concerns(TRAINERS["llamafactory"], OLD)
    assert not concerns(TRAINERS["trl"], OLD)
    assert concerns(TRAINERS["swift"], "")
    assert not concerns(TRAINERS["llava"], "")
    assert {trainer.datasets for trainer in TRAINERS.values()} == {"", OLD, NEW}


def test_the_writers_may_use_the_rules(tmp_path: Path):
    """What they import is small: no reader, no numpy."""
    import subprocess
    import sys

    code = (
        "import sys, curation.trainers; print([m for m in sys.modules if m in ('numpy', 'pyarrow', 'PIL')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("entry", "rules"),
    [
        ({"formatting": "sharegpt"}, ["tag_count"]),  # the default column of images is none
        ({"formatting": "sharegpt", "columns": {"messages": "conversations", "images": "image"}}, []),
        ({"formatting": "sharegpt", "columns": {"images": "image"}}, ["no_messages", "tag_count"]),
        ({"formatting": "sharegpt", "columns": {"messages": "conversations", "images": "image"},
          "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human"}}, ["roles_out_of_order"]),
        ({}, ["no_answer"]),  # taken for Alpaca
    ],
)  # fmt: skip
def test_llama_factory_sees_what_dataset_info_names(entry, rules):
    """Where there are `columns` or `tags`, those that are left out are none, whatever their defaults."""
    assert [problem.rule for problem in check(as_named(llava(), entry), "llamafactory")] == rules
