"""What is repaired of a record on request, each under a code: pure functions of its turns."""

from __future__ import annotations

from curation.readers.records import Turns, images_first

IMAGE_TOKEN = "image_token"
MERGED = "roles_merged"
DROPPED = "roles_dropped"
SPELLING = "spelling"


def repaired(turns: Turns, n_images: int, image_token: str, roles: str) -> tuple[Turns, list[str]]:
    """`turns` of a record with `n_images`, repaired as `[read]` says, and the codes of what was repaired."""
    codes = []
    if roles == "merge" and (new := merged(turns)) != turns:
        codes, turns = [MERGED], new
    if roles == "drop" and (new := alternating(turns)) != turns:
        codes, turns = [DROPPED], new
    if image_token == "insert" and (new := images_first(turns, n_images)) != turns:
        codes, turns = [*codes, IMAGE_TOKEN], new
    return turns, codes


def merged(turns: Turns) -> Turns:
    """Neighbouring turns of one role as one, a line each."""
    found: list[tuple[str, str]] = []
    for role, text in turns:
        if found and found[-1][0] == role:
            found[-1] = (role, f"{found[-1][1]}\n{text}")
        else:
            found.append((role, text))
    return tuple(found)


def alternating(turns: Turns) -> Turns:
    """Question and answer in turn, and what does not fit dropped.

    Of several questions the last, of several answers the first, no answer before the first question and no
    question without an answer; a system text at the beginning stays, others go, and so do other roles.
    """
    found: list[tuple[str, str]] = []
    for role, text in turns:
        last = found[-1][0] if found else None
        if role == "system" and not found:
            found.append((role, text))
        elif role == "user":
            if last == "user":
                found.pop()
            found.append((role, text))
        elif role == "assistant" and last == "user":
            found.append((role, text))
    if found and found[-1][0] == "user":
        found.pop()
    return tuple(found)
