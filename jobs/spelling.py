"""Which flag sets which setting of curate.toml, and how settings are spelled as flags."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any


@cache
def declared() -> dict[str, Any]:
    """Every setting that has a flag, as pydantic's field, by dotted key in the order of curate.toml."""
    from schemas.config import Config

    return {
        f"{section}.{name}": field
        for section, part in Config.model_fields.items()
        for name, field in getattr(part.annotation, "model_fields", {}).items()
        if field.json_schema_extra
    }


def flag_of(key: str) -> tuple[str, str | None]:
    """The flag of a setting, and what it takes: `--eps E` as ("--eps", "E")."""
    flag, _, metavar = declared()[key].json_schema_extra["flag"].partition(" ")
    return flag, metavar or None


def spelled(overrides: Mapping[str, Any]) -> str:
    """The flags that decide what is computed, as they were given: `--key image --eps 0.05`."""
    words = []
    for key, value in overrides.items():
        if key.startswith("run.") or isinstance(value, dict):
            continue
        flag, _ = flag_of(key)
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
            continue
        words += [
            f"{flag} {shlex.quote(str(one))}" for one in (value if isinstance(value, tuple) else [value])
        ]
    return " ".join(words)
