"""Answers that refuse, or say that they see no image. Strings in, spans out; the phrases are in `phrases`."""

from __future__ import annotations

import re

from scorers.quality import phrases
from scorers.quality.found import Found

# A refusal comes first: what stands further down is quoted, or a caveat.
HEAD = 400  # characters
SENTENCES = 2
# "I can't see his face, but …" and many more words is a caveat in an answer.
CAVEAT_WORDS = 30
IGNORANCE_WORDS = 10

_BREAK = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_MARKS = re.compile(r"[\s\"'“‘*_>#-]*")


def refusal(answer: str) -> Found | None:
    """Where `answer` refuses, or says that it sees no image; None where it answers.

    Its first two sentences are looked at. Somebody who cannot do something and then goes on for more than
    thirty words has answered, unless an apology, a policy or an AI comes into it.
    """
    head = answer[:HEAD].replace("’", "'")
    if not phrases.TRIGGER.search(head) and not phrases.TRIGGER_OTHER_LANGUAGES.search(head):
        return None
    for start, end in _sentences(head):
        found = _excused(head, start, end)
        if not found and len(answer[start:].split()) <= CAVEAT_WORDS:
            found = _declined(head, start, end, rest=len(answer[start:].split()))
        if found:
            return found
    return None


def _excused(head: str, start: int, end: int) -> Found | None:
    """What refuses however long the answer goes on: an apology, a policy, an AI."""
    point = _point(head, start, end)
    sorry = phrases.SORRY.match(head, point, end)
    if sorry and phrases.NEGATION.search(head, sorry.end(), end) and phrases.TOPIC.search(head, point, end):
        return Found("apology", point, end)
    ai = phrases.AI.search(head, start, end)
    if ai and phrases.NEGATION.search(head, ai.end()):
        return Found("as_an_ai", ai.start(), end)
    policy = phrases.POLICY.search(head, start, end)
    if policy:
        return Found("policy", policy.start(), end)
    if phrases.TRIGGER_OTHER_LANGUAGES.search(head, start, end):
        match = phrases.OTHER_LANGUAGES.search(head, start, end)
        return Found("other_language", match.start(), end) if match else None
    return None


def _declined(head: str, start: int, end: int, rest: int) -> Found | None:
    """What refuses where little else is said: somebody who cannot, no image, or "I don't know"."""
    point = _point(head, start, end)
    if _cannot(head, point, end):
        return Found("inability", point, end)
    image = phrases.NO_IMAGE.search(head, start, end)
    if image:
        return Found("no_image", image.start(), end)
    if rest <= IGNORANCE_WORDS and phrases.IGNORANCE.match(head, point, end):
        return Found("ignorance", point, end)
    return None


def _cannot(head: str, point: int, end: int) -> bool:
    """Does the sentence begin with somebody who cannot do what an assistant does?"""
    person = phrases.FIRST_PERSON.match(head, point, end)
    if person:
        cannot = phrases.CANNOT.match(head, person.end(), end)
        return cannot is not None and phrases.DO.match(head, cannot.end(), end) is not None
    unable = phrases.UNABLE.match(head, point, end)
    if unable:
        return phrases.SERVE.match(head, unable.end(), end) is not None
    return phrases.IMPERSONAL.match(head, point, end) is not None


def _point(head: str, start: int, end: int) -> int:
    """Where a sentence comes to the point."""
    lead = phrases.LEAD.match(head, start, end)
    return lead.end() if lead else start


def _sentences(head: str) -> list[tuple[int, int]]:
    """The first sentences as [start, end), from their first letter on."""
    ends = [match.start() for match in _BREAK.finditer(head) if match.start() > 0][: SENTENCES + 1]
    starts = [0, *ends]
    spans = zip(starts, [*ends, len(head)], strict=True)
    found = [(_MARKS.match(head, start), end) for start, end in spans]
    return [(match.end(), end) for match, end in found if match and match.end() < end][:SENTENCES]
