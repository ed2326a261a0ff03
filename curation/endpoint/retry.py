"""What a failed attempt means: try again and when, leave this request, or stop. Nothing is sent here."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds
# Seconds that a server may ask to be left alone; beyond them it is the user who decides.
MOST_PATIENCE = 600.0
TRANSIENT = frozenset({408, 409, 425, 429})
PERMANENT = frozenset({401, 402, 403, 404, 405, 410, 501})


@dataclass(frozen=True)
class Failure:
    """Why an attempt brought no answer.

    again: it may succeed later. refused: this request will never succeed, another may. stop: none will.
    """

    kind: Literal["again", "refused", "stop"]
    reason: str
    status: int | None = None
    after: float | None = None  # seconds that the server asks to wait

    @property
    def unreached(self) -> bool:
        """Whether nobody answered at all."""
        return self.status is None


def of_status(status: int, headers: Mapping[str, str], message: str, now: float | None = None) -> Failure:
    """What the server's refusal means.

    Args:
        status: of HTTP, 300 or more.
        headers: of the response, by lower-case name.
        message: what it says.
        now: seconds since the epoch, for dates in Retry-After.
    """
    after = retry_after(headers.get("retry-after"), time.time() if now is None else now)
    reason = f"{status} {message}".strip()
    if "insufficient_quota" in message:  # OpenAI says 429, but no patience helps
        return Failure("stop", reason, status)
    if status in TRANSIENT or (status >= 500 and status not in PERMANENT):
        impatient = after is not None and after > MOST_PATIENCE
        return Failure("stop" if impatient else "again", reason, status, after)
    return Failure("stop" if status in PERMANENT or status < 400 else "refused", reason, status)


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds from `now` that a Retry-After header asks for, by number or date; None if it holds neither."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError):
        return None


def backoff(attempt: int, rng: random.Random) -> float:
    """Seconds before attempt `attempt` + 1: doubled each time up to a minute, drawn from its upper half."""
    wait: float = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(attempt - 1, 30))
    return wait * rng.uniform(0.5, 1.0)
