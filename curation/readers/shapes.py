"""Which record schema a parsed record follows, told by its keys."""

from __future__ import annotations

from typing import Any

from curation.readers.llava import llava
from curation.readers.messages import messages
from curation.readers.records import Schema
from curation.readers.sharegpt import sharegpt

SCHEMAS: dict[str, Schema] = {"llava": llava, "messages": messages, "sharegpt": sharegpt}


def schema_of(record: Any) -> str | None:
    """The name of the schema in SCHEMAS that fits `record`; None if none does.

    `messages` whose contents are all strings fit both `messages` and `sharegpt`, which read them alike.
    """
    if not isinstance(record, dict):
        return None
    if isinstance(record.get("messages"), list):
        turns = [turn for turn in record["messages"] if isinstance(turn, dict)]
        parts = any(isinstance(turn.get("content"), list) for turn in turns)
        return "messages" if parts else "sharegpt"
    if isinstance(record.get("conversations"), list):
        turns = [turn for turn in record["conversations"] if isinstance(turn, dict)]
        named = any("role" in turn for turn in turns)
        return "sharegpt" if named or record.get("system") is not None else "llava"
    return None
