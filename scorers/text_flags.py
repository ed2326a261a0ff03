"""What is wrong with a sample's answers, as far as the sample alone shows it. Arrow in, columns out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa

from schemas.columns import figure
from scorers.quality import echoes, emptiness, garbage, openings, repetition, truncation
from scorers.quality.diversity import mtld
from scorers.quality.found import Finding, Found
from scorers.quality.language import language, mismatch
from scorers.quality.refusals import refusal
from scorers.quality.words import spans

PLACEHOLDER = "<image>"
FLAGS = (
    "empty_answer",
    "trivial_answer",
    "refusal",
    "prompt_echo",
    "copied_answer",
    "repetition",
    "mojibake",
    "garbage_text",
    "language_mismatch",
)
# Where an answer ends says nothing more of these.
SPOILT = frozenset({"empty_answer", "trivial_answer", "refusal", "prompt_echo", "repetition", "garbage_text"})


_WHERE = [("turn", pa.int32()), ("start", pa.int32()), ("end", pa.int32())]


def flag(name: str) -> pa.Field:
    """A column that says whether a sample has a defect, null where that cannot be judged."""
    return figure(name, "flag", better="lower", kind=pa.bool_())


def _list(name: str, unit: str, *, first: str) -> pa.Field:
    """A list of spans: what was found (`first`), and where: turn, [start, end)."""
    fields = [(first, pa.string()), *_WHERE]
    return figure(name, unit, kind=pa.list_(pa.struct(fields)))


_FOUND = [("flag", pa.string()), ("pattern", pa.string()), *_WHERE]
EVIDENCE = figure("evidence", "findings", kind=pa.list_(pa.struct(_FOUND)))
MEASURES = (
    figure("copied_share", "share of the answers' 4-grams", "[0, 1]", "lower"),
    figure("repeated_share", "share of the answer's 4-grams", "[0, 1]", "lower"),
    figure("compression", "deflated bytes / bytes", "(0, inf)", "higher"),
    figure("mtld", "words", "[0, inf)", "higher"),
)


@dataclass
class Judged:
    """What was found in one sample."""

    findings: list[Finding] = field(default_factory=list)
    openings: list[dict[str, Any]] = field(default_factory=list)
    cuts: list[dict[str, Any]] = field(default_factory=list)
    endings: list[dict[str, Any]] = field(default_factory=list)
    measures: dict[str, float | None] = field(default_factory=dict)
    n_answers: int = 0


def judge(turns: Sequence[tuple[str, str]]) -> Judged:
    """Everything that the (role, text) turns of one sample show by themselves.

    A question is the turn by `user` right before an answer. Evidence is sorted by turn; spans are characters
    of the turn's text.
    """
    found = Judged()
    copied: list[float] = []
    repeated: list[float] = []
    packed: list[float] = []
    said: list[str] = []
    for number, (role, answer) in enumerate(turns):
        if role != "assistant":
            continue
        found.n_answers += 1
        question = turns[number - 1][1] if number and turns[number - 1][0] == "user" else ""
        words = spans(answer)
        share = _answer(found, number, question, answer, words)
        said += [word for word, _, _ in words]
        copied += [] if share is None else [share]
        repeated.append(repetition.repeated_share([word for word, _, _ in words]))
        packed += [size for size in [repetition.compression(answer)] if size is not None]
    found.measures = {
        "copied_share": max(copied, default=None),
        "repeated_share": max(repeated, default=None),
        "compression": min(packed, default=None),
        "mtld": mtld(said),
    }
    _languages(found, turns)
    return found


def _answer(
    found: Judged, number: int, question: str, answer: str, words: list[tuple[str, int, int]]
) -> float | None:
    """Judge one answer; the share of it that is copied from the question."""
    hits = _blank(answer)
    share = None
    if not hits:
        asked_text = question.replace(PLACEHOLDER, " ")
        asked = spans(asked_text)
        share = echoes.copied_share([word for word, _, _ in asked], [word for word, _, _ in words])
        hits = _hits(asked_text, asked, answer, words, share)
    found.findings += [Finding(name, *hit[:1], number, *hit[1:]) for name, hit in hits.items()]
    if not SPOILT & set(hits):
        _ends(found, number, answer)
    return share


def _blank(answer: str) -> dict[str, Found]:
    hit = emptiness.empty(answer)
    if hit:
        return {"empty_answer": hit}
    hit = emptiness.trivial(answer)
    return {"trivial_answer": hit} if hit else {}


def _hits(
    question: str,
    asked: list[tuple[str, int, int]],
    answer: str,
    words: list[tuple[str, int, int]],
    share: float | None,
) -> dict[str, Found]:
    """The flags of an answer that says something. What repeats the question is neither refusal nor copy."""
    echo = echoes.echo(asked, question, words, answer) or echoes.leak(answer)
    found = {
        "prompt_echo": echo,
        "repetition": repetition.loop(answer),
        "garbage_text": garbage.garbage(answer),
        "mojibake": garbage.mojibake(answer),
        "refusal": None if echo else refusal(answer),
        "copied_answer": None if echo else echoes.copied(question, share, words),
    }
    return {name: hit for name, hit in found.items() if hit}


def _ends(found: Judged, number: int, answer: str) -> None:
    """Note how an answer begins and ends, for those who know the pool."""
    opening = openings.opening(answer)
    if opening:
        found.openings.append(_spot("text", number, opening))
    cut = truncation.cut(answer)
    if cut:
        found.cuts.append(_spot("pattern", number, cut))
        return
    ending = truncation.ending(answer)
    if ending:
        found.endings.append(_spot("word", number, ending))


def _spot(name: str, turn: int, what: tuple[str, int, int]) -> dict[str, Any]:
    return {name: what[0], "turn": turn, "start": what[1], "end": what[2]}


def _languages(found: Judged, turns: Sequence[tuple[str, str]]) -> None:
    question, answer = (
        "\n".join(text for role, text in turns if role == who).strip() for who in ("user", "assistant")
    )
    asked, said = language(question), language(answer)
    if mismatch(question, answer, asked, said):
        found.findings.append(Finding("language_mismatch", f"{asked} to {said}"))


@dataclass(frozen=True)
class TextFlags:
    """Flags of a sample's answers with their evidence, and what the pool is needed to judge.

    `openings`, `cuts` and `endings` are how answers begin and end; `scorers.synthetic` makes flags of them.
    Everything is null, and the lists empty, where a sample has no answer. `copied_share` and `repeated_share`
    are those of the worst answer, and so is `compression`.
    """

    name: ClassVar[str] = "text_flags"
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            *map(flag, FLAGS),
            *MEASURES,
            EVIDENCE,
            _list("openings", "first words", first="text"),
            _list("cuts", "ends", first="pattern"),
            _list("endings", "last words", first="word"),
        ]
    )

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One row a row of `batch`, which has the column `turns`."""
        rows = [_row(judge(_pairs(turns))) for turns in batch.column("turns").to_pylist()]
        return pa.RecordBatch.from_pylist(rows, schema=self.writes)


def _pairs(turns: list[dict[str, str | None]] | None) -> list[tuple[str, str]]:
    return [(turn["role"] or "", turn["text"] or "") for turn in turns or []]


def _row(found: Judged) -> dict[str, Any]:
    flagged = {finding.flag for finding in found.findings}
    flags = {name: name in flagged if found.n_answers else None for name in FLAGS}
    return {
        **flags,
        **found.measures,
        "evidence": [finding._asdict() for finding in found.findings],
        "openings": found.openings,
        "cuts": found.cuts,
        "endings": found.endings,
    }
