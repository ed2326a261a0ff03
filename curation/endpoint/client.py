"""The one place that talks to an endpoint: bounded, patient, and honest about who is at fault."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable
from typing import Any

from curation.endpoint.address import Endpoint
from curation.endpoint.requests import kept
from curation.endpoint.retry import MOST_PATIENCE, Failure, backoff, of_status
from schemas.errors import EndpointUnavailable

LOG = logging.getLogger(__name__)
SLOW_DOWN = 429
WORTH_A_WORD = 10.0  # seconds of waiting
ADVICE = {
    401: "the key is wrong or missing: set OPENAI_API_KEY, or --api-key-file",
    402: "the account has no credit",
    403: "the key may not use this model",
    404: "is the model's name right (--endpoint-model), and does the URL end in /v1?",
    405: "is this the URL of a chat endpoint, ending in /v1?",
    429: "wait, or lower --concurrency or --max-rate",
}


class Unanswered(Exception):
    """One request brought no answer: it was refused, or failed as often as it may. Another may succeed."""

    def __init__(self, failure: Failure, attempts: int) -> None:
        many = f" ({attempts} attempts)" if attempts > 1 else ""
        code = "refused" if failure.kind == "refused" else "no_answer"
        super().__init__(f"{code}: {failure.reason}{many}")
        self.failure = failure


class Client:
    """Sends bodies to `endpoint` and returns what is kept of the completions. Lives on one event loop.

    aiohttp carries them: of 32 requests under way each takes 0.7 ms of a processor, and 1.4 ms with httpx.

    Args:
        endpoint: whom to ask.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        import openai

        self.endpoint = endpoint
        self.openai = openai.AsyncOpenAI(
            base_url=endpoint.url,
            api_key=endpoint.secret() or "none",
            max_retries=0,
            timeout=endpoint.timeout,
            http_client=openai.DefaultAioHttpClient(timeout=endpoint.timeout),
        )
        self.rng = random.Random()
        self.asked = self.retried = 0  # requests sent, and how many of them again
        self._not_before = 0.0  # of the monotonic clock: nobody sends before
        self._next = 0.0  # the next slot that --max-rate leaves
        self._last_answer = 0.0

    async def close(self) -> None:
        """Give back the connections."""
        await self.openai.close()

    async def complete(
        self, body: Callable[[], Any], attempts: int | None = None, patient: bool = True
    ) -> dict[str, Any]:
        """Send a body until it is answered. `body` is awaited when there is a slot for it.

        Args:
            body: makes the body; a coroutine function.
            attempts: how many; by default as many as the settings say, and 429 (slow down) is not counted
                for as long as others are answered.
            patient: whether nobody answering at all is worth more than three attempts.

        Raises:
            Unanswered: the endpoint refuses this body, or fails at it again and again.
            EndpointUnavailable: no request will be answered.
        """
        made, attempt, counted, start = await body(), 0, 0, time.monotonic()
        most = attempts or self.endpoint.attempts
        while True:
            await self._slot()
            attempt += 1
            outcome = await self._attempt(made)
            if not isinstance(outcome, Failure):
                self._last_answer = time.monotonic()
                return outcome
            if outcome.kind == "stop":
                raise self.stop(outcome)
            # To be told to slow down is no fault of this request, while others are answered.
            slow_down = outcome.status == SLOW_DOWN and attempts is None
            if slow_down and time.monotonic() - max(start, self._last_answer) > MOST_PATIENCE:
                raise self.stop(outcome)
            counted += not slow_down
            hopeless = outcome.unreached and not patient and counted == 3
            if outcome.kind == "refused" or counted == most or hopeless:
                raise Unanswered(outcome, attempt)
            self.retried += 1
            await self._wait(outcome, attempt)

    def stop(self, failure: Failure) -> EndpointUnavailable:
        """The sentence that ends a run."""
        advice = ADVICE.get(failure.status or 0, "see its log")
        if failure.unreached:
            advice = "is it running, and is the URL right (--endpoint-url, OPENAI_BASE_URL)?"
        return EndpointUnavailable(
            f"the endpoint {self.endpoint.url} did not answer for the model {self.endpoint.model!r}: "
            f"{failure.reason} ({advice}). What was answered is kept, and the same command continues"
        )

    async def _attempt(self, body: dict[str, Any]) -> dict[str, Any] | Failure:
        import openai

        self.asked += 1
        try:
            async with asyncio.timeout(self.endpoint.timeout):
                # As it is: the client's own types are rebuilt field by field, for a millisecond.
                completion = await self.openai.post("/chat/completions", cast_to=dict[str, object], body=body)
            return kept(completion)
        except TimeoutError:
            return self._silence()
        except openai.APIConnectionError as error:
            # A refused connection comes as a time-out of connecting, too.
            slow = isinstance(error, openai.APITimeoutError) and "Connect" not in repr(error.__cause__)
            said = self._said(f"no connection: {error.__cause__ or error}")
            return self._silence() if slow else Failure("again", said)
        except openai.APIStatusError as error:
            headers = {name.lower(): value for name, value in error.response.headers.items()}
            return of_status(error.status_code, headers, self._said(_message(error)))
        except ValueError as error:  # JSON that ends early, or a page of a proxy
            return Failure("again", self._said(f"200, but {error}"), status=200)

    def _silence(self) -> Failure:
        return Failure("again", f"no answer within {self.endpoint.timeout:g} s")

    def _said(self, text: str) -> str:
        line = self.endpoint.hidden(text)
        return line if len(line) <= 300 else line[:300] + "…"

    async def _slot(self) -> None:
        """Wait until the server wants to hear again, and for the rate."""
        while (wait := max(self._not_before, self._next) - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        if self.endpoint.rate:
            self._next = time.monotonic() + 1 / self.endpoint.rate

    async def _wait(self, failure: Failure, attempt: int) -> None:
        if failure.after is not None:
            # It asks for quiet: nobody else should be sent either. A little later each, not all at once.
            until = time.monotonic() + failure.after
            if failure.after >= WORTH_A_WORD and until > self._not_before + 1:
                LOG.warning("the endpoint asks to wait %.0f s: %s", failure.after, failure.reason)
            self._not_before = max(self._not_before, until)
            await asyncio.sleep(failure.after + self.rng.uniform(0, 0.1))
        else:
            await asyncio.sleep(backoff(attempt, self.rng))


def _message(error: Any) -> str:
    """What a server says is wrong, without the JSON around it."""
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict):
            said = inner.get("message") or inner.get("detail") or json.dumps(inner)
            return f"{said} ({inner['code']})" if inner.get("code") else str(said)
        return str(inner)
    return str(body or error.message)
