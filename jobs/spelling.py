"""How settings are spelled as flags."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from schemas.flags import flag_of


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
