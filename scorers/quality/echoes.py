"""Answers that repeat the question, leak the prompt that made them, or copy their words from it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from scorers.quality.found import Found
from scorers.quality.words import spans

Words = Sequence[tuple[str, int, int]]

# An answer is an echo where the question makes up this share of it, or it of the question.
ECHO_SHARE = 0.75
# A shorter question at the head of a longer answer may be how the answer begins.
RESTATED_WORDS = 4
# `Which of the sentences …?` is answered with a sentence of the question.
QUESTION_WORDS = 3
COPIED_WORDS = 8
COPIED_SHARE = 0.8
GRAM = 4

# How an answer introduces the question that it repeats.
_LABEL = re.compile(
    r"\W*(?:the |your |original )?(?:question|q|prompt|query|instruction|task|user|human|you asked)"
    r"(?: is| was)?\s*[:：]\s*",
    re.IGNORECASE,
)
# What asks nothing is matched too, or it would be tried again from each of its characters.
_SENTENCES = re.compile(r"([^.!?\n]*[?？])|[^.!?\n]+")
_OPTIONS = re.compile(r"(?:^|\n)\s*(?:\(?[A-Ha-h1-9][.):]\s|[-*•]\s)|\boptions?:|\bchoices:", re.IGNORECASE)
_REPEAT = re.compile(
    r"\b(?:repeat|copy|transcrib|quot|extract|translat|rewrit|rephras|paraphras|correct|edit|proofread|format"
    r"|convert|summari[sz]|complet|fill|sort|order|list|arrang|verbatim"
    r"|which (?:sentence|statement|caption|option|of))",
    re.IGNORECASE,
)
_LEAKS = {
    # Marks of chat templates, and roles at the head of a line.
    "template": re.compile(
        r"<\|[\w ]{2,30}\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|\bBEGINNING OF CONVERSATION\b"
        r"|^#{2,}\s*(?:Instruction|Response|Human|Assistant|User|Input|Question|Answer)\b"
        r"|^(?:USER|HUMAN|ASSISTANT|SYSTEM|Human|Assistant):\s",
        re.MULTILINE,
    ),
    # What a model says to whoever asked it to rewrite a caption or an answer.
    "rewriting": re.compile(
        r"^\W*(?:(?:sure|certainly|of course|absolutely|okay|ok)\b[^\n]{0,30}?[,.!:]\s*)?"
        r"(?:here(?:'s| is| are)|below is|this is)\s+(?:the|a|an|your|my|one)\s+(?:\w+[ -]){0,3}?"
        r"(?:re-?(?:written|phrased|vised|formatted|captioned|worded)"
        r"|improved|enhanced|translated|paraphrased|polished|expanded)\s"
        r"|\b(?:original|given|provided|reference|ground[ -]truth)\s+"
        r"(?:answer|caption|label|annotation|response)\s+(?:is|was|states?|says|provided|given|mentions?)\b"
        r"|^\W*(?:rewritten|rephrased|revised|improved|translated|enhanced)\s+"
        r"(?:answer|caption|response|version|text|question)\s*:",
        re.IGNORECASE,
    ),
}


def echo(question: Words, text: str, answer: Words, answer_text: str) -> Found | None:
    """Where an answer repeats the question word for word, up to case and marks; None where it does not.

    Args:
        question: its words, as `words.spans` gives them.
        text: the question itself.
        answer: the words of the answer.
        answer_text: the answer itself.
    """
    label = _LABEL.match(answer_text)
    body = [span for span in answer if span[1] >= label.end()] if label else answer
    asked, said = [word for word, _, _ in question], [word for word, _, _ in body]
    if not asked or not said:
        return None
    if said == asked:
        return Found("question", answer[0][1], answer[-1][2])
    at = _inside(asked, said)
    if at is not None:
        found = Found("question", body[at][1], body[at + len(asked) - 1][2])
        if len(asked) >= ECHO_SHARE * len(said):
            return found
        # `Question: …?` or the question itself, and then an answer.
        if at <= 2 and len(asked) >= RESTATED_WORDS and text.rstrip().endswith(("?", "？")):
            return found._replace(pattern="question_first")
        return None
    return _part(text, asked, said, body)


def _part(text: str, asked: list[str], said: list[str], answer: Words) -> Found | None:
    """An answer that is most of the question, or the one sentence of it that asks."""
    whole = Found("question", answer[0][1], answer[-1][2])
    if len(said) >= max(QUESTION_WORDS, ECHO_SHARE * len(asked)) and _inside(said, asked) is not None:
        return whole
    if len(said) < QUESTION_WORDS or said[-1] not in asked:
        return None
    for sentence in asking(text):
        if [word for word, _, _ in spans(sentence)] == said:
            return whole._replace(pattern="sentence")
    return None


def asking(text: str) -> list[str]:
    """The sentences of `text` that end in a question mark, in order."""
    return [match[1] for match in _SENTENCES.finditer(text) if match[1]]


def leak(answer: str) -> Found | None:
    """Where `answer` shows the template or the instructions of the model that wrote it."""
    for name, pattern in _LEAKS.items():
        match = pattern.search(answer)
        if match:
            return Found(name, match.start(), match.end())
    return None


def copied_share(asked: Sequence[str], said: Sequence[str]) -> float | None:
    """Share of the answer's word 4-grams that stand in the question, in [0, 1]; None under 8 words."""
    if len(said) < COPIED_WORDS:
        return None
    there = set(zip(*(asked[shift:] for shift in range(GRAM)), strict=False))
    grams = list(zip(*(said[shift:] for shift in range(GRAM)), strict=False))
    return sum(gram in there for gram in grams) / len(grams)


def copied(text: str, share: float | None, answer: Words) -> Found | None:
    """The whole answer where most of it stands in the question, and the question does not ask for that."""
    if share is None or share < COPIED_SHARE or _OPTIONS.search(text) or _REPEAT.search(text):
        return None
    return Found("question", answer[0][1], answer[-1][2])


def _inside(part: Sequence[str], whole: Sequence[str]) -> int | None:
    """Where `part` stands in `whole`, word for word."""
    for at in range(len(whole) - len(part) + 1):
        if whole[at] == part[0] and whole[at : at + len(part)] == part:
            return at
    return None
