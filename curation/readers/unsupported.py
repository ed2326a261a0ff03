"""Records that are understood, and are no conversation about images: video, audio, preferences, tools."""

from __future__ import annotations

from collections.abc import Sequence
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
_TELLING = frozenset({*MEDIA_KEYS, "rejected", "rejected_response", "rejected_images", "kto_tag"})
_TOOL_ROLES = frozenset({"tool", "tool_call", "tool_response", "function", "function_call", "observation"})
_ONLY = "video and audio are not read, only images and text"


def reason(record: dict[str, Any]) -> Reason | None:
    """Why a record cannot be a sample, though it may be well made; None where nothing says so."""
    if not _TELLING.isdisjoint(record):
        found = _of_keys(sorted(key for key in record.keys() & _TELLING if record[key]))
        if found is not None:
            return found
    text = record.get("text")
    if isinstance(text, str) and any(mark in text for mark in _MEDIA_MARKS):
        return media(f"the text has {' or '.join(_MEDIA_MARKS)}")
    for value in record.values():
        if isinstance(value, list):
            for turn in value:
                found = _of_turn(turn) if type(turn) is dict else None
                if found is not None:
                    return found
    return None


def _of_keys(named: list[str]) -> Reason | None:
    if not named:
        return None
    if named[0] in MEDIA_KEYS:
        return media(f"the record has {named[0]!r}")
    return (
        UNSUPPORTED_RECORD,
        f"the record holds preferences ({named[0]!r}) and no single answer; give conversations, such as the "
        "prompts with their chosen answers",
    )


def of_paths(paths: Sequence[str]) -> Reason | None:
    """The same, of what a record calls its images."""
    found = next((path for path in paths if path.lower().endswith(MEDIA_SUFFIXES)), None)
    return None if found is None else media(f"{found[-200:]!r} is named as an image")


def media(what: str) -> Reason:
    """The reason where `what` says what is video or audio."""
    return UNSUPPORTED_MEDIA, f"{what}; {_ONLY}"


def _of_turn(turn: dict[str, Any]) -> Reason | None:
    role = turn.get("role") if "role" in turn else turn.get("from")
    if (isinstance(role, str) and role in _TOOL_ROLES) or turn.get("tool_calls"):
        named = "'tool_calls'" if turn.get("tool_calls") else f"role {role!r}"
        return UNSUPPORTED_RECORD, f"a turn calls a tool or is its answer ({named}); leave such records out"
    parts = turn.get("content") if "content" in turn else turn.get("value")
    for part in parts if type(parts) is list else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind in _MEDIA_PARTS:
            return media(f"a turn has a part of type {kind!r}")
    return None
