"""Weak labels: what a record's source and the template that made it say about its skills. Nobody checked.

Styles follow from the templates and agree with the counts in sources.json. Capabilities are points: those of
the source in the order that sources.json lists them, moved by rules on the record's own wording.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from scorers.taxonomy import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Record = Mapping[str, Any]
    Turns = Sequence[tuple[str, str]]  # question, answer

(
    SPATIAL,
    ATTRIBUTE,
    LOGIC,
    SCENE,
    FINE,
    LANGUAGE,
    CONTEXT,
    COMPARE,
    ACTIVITY,
    CAUSE,
    HUMAN,
    STEM,
    DATA,
    READING,
) = CAPABILITIES
MULTI, BOX, YES_NO, PHRASE, SHORT, LONG, COMPARISON, STEPS, FORM = (
    "multi-choice", "coordinate", "yes/no", "word/short-phrase", "short description", "detailed description",
    "comparison", "chain-of-thought", "specified style",
)  # fmt: skip

OPTIONS = re.compile(r"^A\. .*\n+B\. ", re.MULTILINE)
SENTENCE = re.compile(r"[.!?](\s|$)")
VERDICT = re.compile(r"\W*(yes|no|true|false)\W*", re.IGNORECASE)


def turns_of(record: Record) -> list[tuple[str, str]]:
    """Questions without the images' marks, and their answers."""
    said = [turn["value"].replace("<image>", "").strip() for turn in record["conversations"]]
    return list(zip(said[::2], said[1::2], strict=False))


# --- styles ---------------------------------------------------------------------------------------------


def styles(record: Record) -> frozenset[str]:
    """The styles of a record of the mixture.

    Raises:
        KeyError: its source is none of the mixture's.
    """
    return frozenset(_STYLES[record["source"]](record, turns_of(record)))


def taught(record: Record) -> frozenset[str]:
    """The styles that the probe is trained on: `styles`, but where a template says less than the answer does.

    Of easy_vqa what the answers are; and a caption of openstax in three sentences or more is a paragraph.
    """
    turns = turns_of(record)
    if record["source"] == "easy_vqa":
        return frozenset(_verdicts(record, turns))
    found = styles(record)
    if record["source"] == "openstax" and found == {SHORT} and len(SENTENCE.findall(turns[0][1])) >= 3:
        return frozenset({LONG})
    return found


def _openstax(record: Record, turns: Turns) -> set[str]:
    asked, answer = turns[0]
    if str(record["id"]).endswith("_title"):
        return {PHRASE}
    caption = re.search(
        r"textbook caption|concept behind|we can learn|textbook section called|a lesson on|textbook figure\.|"
        r"this figure illustrate|relate to|In the context of|What idea from", asked,
    )  # fmt: skip
    return {SHORT if caption or len(answer) < 120 else LONG}


def _tabmwp(record: Record, turns: Turns) -> set[str]:
    asked = turns[0][0]
    stepwise = re.search(
        r"Think carefully, then|Walk me through|Explain how you get|step by step|Reason through|"
        r"Show your working",
        asked,
    )
    options = OPTIONS.search(asked) and (not stepwise or "image" in record)
    if stepwise:
        return {STEPS, MULTI} if options else {STEPS}
    return {MULTI if options else PHRASE}


def _sroie(record: Record, turns: Turns) -> set[str]:
    asked = turns[0][0]
    if "[x1" in asked:
        return {BOX}
    return {FORM if "_ocr_" in str(record["id"]) or "JSON" in asked else PHRASE}


def _emoji(record: Record, turns: Turns) -> set[str]:
    asked = turns[0][0]
    if OPTIONS.search(asked):
        return {MULTI}
    if re.search(r"[Tt]ags|[Tt]ag this|keywords", asked):
        return {FORM}
    described = re.match(
        r"Summarize|Give a one-line|Caption|What is drawn|What does this icon depict|Write alt|Describe|"
        r"Provide a brief", asked,
    )  # fmt: skip
    return {SHORT if described else PHRASE}


def _verdicts(record: Record, turns: Turns) -> set[str]:
    return {YES_NO if VERDICT.fullmatch(answer) else PHRASE for _, answer in turns}


def _several(record: Record, turns: Turns) -> set[str]:
    name, asked = str(record["id"]), turns[0][0]
    if name.startswith("9100"):
        return {PHRASE, FORM}
    if name.startswith(("9000", "multi_match")):
        return {COMPARISON, PHRASE}
    if name.startswith("multi_nlvr"):
        return {COMPARISON, YES_NO} if "true for each" in asked else {COMPARISON}
    return {COMPARISON, LONG} if name.startswith("multi_figure") else {COMPARISON}


def _by_length(least: int) -> Callable[[Record, Turns], set[str]]:
    return lambda record, turns: {LONG if len(turns[0][1]) > least else SHORT}


_STYLES: dict[str, Callable[[Record, Turns], set[str]]] = {
    "openstax": _openstax,
    "opencqa": lambda record, turns: (
        {FORM} if "_ocr_" in str(record["id"]) else _by_length(250)(record, turns)
    ),
    "tabmwp": _tabmwp,
    "generated": _by_length(150),
    "flickr8k": lambda record, turns: {SHORT},
    "coco": lambda record, turns: {BOX if str(record["id"]).startswith("coco_box") else SHORT},
    "sroie": _sroie,
    "emoji_noto": _emoji,
    "vqa_rad": _verdicts,
    "ui_docs": lambda record, turns: {SHORT},
    "nlvr": lambda record, turns: {YES_NO, PHRASE} if len(turns) > 1 else {YES_NO},
    # sources.json has both for all of them, though 14 have no yes or no and 282 nothing else.
    "easy_vqa": lambda record, turns: {YES_NO, PHRASE},
    "multi_image": _several,
}


# --- capabilities ---------------------------------------------------------------------------------------

# Points of every record of a tier A source, before the rules: what sources.json lists, in its order.
SOURCES: dict[str, dict[str, float]] = {
    "openstax": {SCENE: 1},
    "generated": {LANGUAGE: 5, SCENE: 4, ATTRIBUTE: 3},
    "sroie": {READING: 5, DATA: 4},
    "vqa_rad": {FINE: 5, STEM: 4, SPATIAL: 1},
    "ui_docs": {READING: 5, SCENE: 3, DATA: 2},
    "nlvr": {SPATIAL: 5, LOGIC: 4, ATTRIBUTE: 3},
    "easy_vqa": {ATTRIBUTE: 5, FINE: 3},
    "emoji_noto": {FINE: 5, ATTRIBUTE: 2},
}
BOOKS: dict[str, dict[str, float]] = {  # by a word in the path of an image of openstax
    "chemistry": {STEM: 5},
    "physics": {STEM: 5},
    "microbiology": {STEM: 5},
    "anatomy": {STEM: 5},
    "statistics": {STEM: 5, DATA: 3},
    "economics": {STEM: 3, HUMAN: 4, DATA: 3},
    "sociology": {HUMAN: 5},
    "history": {HUMAN: 5},
}
# Of the drawn kinds (curation/generate, training/skills.py).
KINDS: dict[str, dict[str, float]] = {
    "charts": {DATA: 5, READING: 3},
    "tables": {DATA: 5, READING: 3},
    "rendered": {READING: 5},
    "shapes": {SPATIAL: 4, ATTRIBUTE: 4},
    "counting": {ATTRIBUTE: 5},
    "scenes": {SCENE: 5, ATTRIBUTE: 3, SPATIAL: 2},
    "arithmetic": {STEM: 4, LOGIC: 5},
    "comparisons": {COMPARE: 5},
    "examples": {CONTEXT: 5, COMPARE: 3},
    "boxes": {SPATIAL: 5},
}
PEOPLE = (
    r"\b(m[ae]n|wom[ae]n|boys?|girls?|child(ren)?|people|person|players?|workers?|soldiers?|crowd|family)\b"
)
ASKED, ANSWERED = 0, 1
# Where a question (or an answer) has the pattern, the capability has at least these points.
RULES: tuple[tuple[int, str, str, float], ...] = (
    (ASKED, r"colou?r|small or large|how many|\bcount\b|number of", ATTRIBUTE, 4),
    (
        ASKED,
        r"\bwhere\b|which (side|part)|to the (left|right)|above|below|far (left|right)|located",
        SPATIAL,
        4,
    ),
    (ASKED, r"\[x1|bounding box|coordinate", SPATIAL, 5),
    (
        ASKED,
        r"transcri|\bocr\b|written|printed|read (all|this|the)|what does (it|the \w+) say|copy the",
        READING,
        5,
    ),
    (ASKED, r"\b(chart|graph|table|row|column|entry|entries|bar)\b|highest|lowest|json", DATA, 4),
    (ANSWERED, r"\b(charts?|graphs?|tables?|plots?|histogram|percent(age)?|ax[ei]s)\b|\d ?%", DATA, 4),
    (ASKED, r"true or false|statement|describes the picture correctly|sentence match", LOGIC, 4),
    (ASKED, r"step by step|work(ing)? out|explain how", LOGIC, 5),
    (ANSWERED, r"= .*\d|\b(therefore|thus|hence|so the)\b", LOGIC, 3),
    (ASKED, r"compar|differen|in common|larger, .* or |more .* or ", COMPARE, 4),
    (ANSWERED, r"\b(whereas|in contrast|compared (to|with)|different from|both of|unlike)\b", COMPARE, 3),
    (ASKED, r"\bwhy\b|\bcauses?\b|reason", CAUSE, 5),
    (ANSWERED, r"\b(because|causes?|caused|leads? to|results? in|as a result|therefore|due to)\b", CAUSE, 3),
    (ANSWERED, rf"{PEOPLE}[^.]* \w\w+ing\b|\w\w+ing\b[^.]* {PEOPLE}", ACTIVITY, 4),
    (ASKED, r"which (shape|organ|kind|type)|what (kind|type|shape)", FINE, 4),
    (ANSWERED, r"photo|street|beach|\brooms?\b|landscape|outdoors|scene|background", SCENE, 4),
    (
        ANSWERED,
        r"\b(war|century|president|society|culture|painting|government|slaves?|religio\w+)\b",
        HUMAN,
        3,
    ),
)
LENGTHS = ((800, 5.0), (400, 4.0), (150, 3.0), (60, 1.0))  # characters of the longest answer: LANGUAGE


def points(record: Record) -> dict[str, float]:
    """Points of capabilities, 0 to 5, of a record of a tier A source; what is not named has none.

    Raises:
        KeyError: its source is not of tier A.
    """
    start = dict(SOURCES[record["source"]])
    if record["source"] == "openstax":
        book = record["image"].split("/")[2]
        start |= next(given for word, given in BOOKS.items() if word in book)
    return ruled(start, turns_of(record))


def ruled(start: Mapping[str, float], turns: Turns) -> dict[str, float]:
    """`start` with what the rules say of the wording; `start` is kept where it says more."""
    found = dict(start)
    for side, pattern, capability, given in RULES:
        if any(re.search(pattern, turn[side], re.IGNORECASE) for turn in turns):
            found[capability] = max(found.get(capability, 0.0), given)
    longest = max(len(answer) for _, answer in turns)
    fluent = next((given for least, given in LENGTHS if longest > least), 0.0)
    found[LANGUAGE] = max(found.get(LANGUAGE, 0.0), fluent)
    return found
