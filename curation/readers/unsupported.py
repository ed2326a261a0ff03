"""Records that are understood, and are no conversation about images: video, audio, preferences, tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from schemas.errors import UNSUPPORTED_MEDIA, UNSUPPORTED_RECORD

Reason: TypeAlias = tuple[str, str]  # a code and a sentence

MEDIA_SUFFIXES = (
    *(".mp4", ".webm", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv"),
    *(".mp3", ".wav", ".flac", ".ogg", ".m4a", ".aac", ".opus"),
)
MEDIA_KEYS = tuple(
    kind + end for kind in ("video", "audio") for end in ("", "s", "_path", "_paths", "_url", "_urls")
)
_MEDIA_PARTS = frozenset({"video", "video_url", "input_video", "audio", "audio_url", "input_audio"})
_MEDIA_MARKS = ("<__dj__video>", "<__dj__audio>")
_RANKED = ("rejected", "rejected_response", "rejected_images", "kto_tag")
_TOOL_ROLES = frozenset({"tool", "tool_call", "tool_response", "function", "function_call", "observation"})
_ONLY = "video and audio are not read, only images and text"


def reason(record: dict[str, Any]) -> Reason | None:
    """Why a record cannot be a sample, though it may be well made; None where nothing says so."""
    for key in MEDIA_KEYS:
        if record.get(key):
            return media(f"the record has {key!r}")
    if any(isinstance(item, str) and mark in item for item in record.values() for mark in _MEDIA_MARKS):
        return media(f"the text has {' or '.join(_MEDIA_MARKS)}")
    for key in _RANKED:
        if record.get(key) is not None:
            return (
                UNSUPPORTED_RECORD,
                f"the record holds preferences ({key!r}) and no single answer; give conversations, such as "
                "the prompts with their chosen answers",
            )
    return next(filter(None, map(_of_turn, _turns(record))), None)


def of_paths(paths: Sequence[str]) -> Reason | None:
    """The same, of what a record calls its images."""
    found = next((path for path in paths if path.lower().endswith(MEDIA_SUFFIXES)), None)
    return None if found is None else media(f"{found[-200:]!r} is named as an image")


def media(what: str) -> Reason:
    """The reason where `what` says what is video or audio."""
    return UNSUPPORTED_MEDIA, f"{what}; {_ONLY}"


def _turns(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for value in record.values():
        if isinstance(value, list):
            yield from (turn for turn in value if isinstance(turn, dict))


def _of_turn(turn: dict[str, Any]) -> Reason | None:
    role = turn.get("role", turn.get("from"))
    if turn.get("tool_calls") or (isinstance(role, str) and role in _TOOL_ROLES):
        named = "'tool_calls'" if turn.get("tool_calls") else f"role {role!r}"
        return UNSUPPORTED_RECORD, f"a turn calls a tool or is its answer ({named}); leave such records out"
    parts = turn.get("content", turn.get("value"))
    for part in parts if isinstance(parts, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind in _MEDIA_PARTS:
            return media(f"a turn has a part of type {kind!r}")
    return None
