"""Questions about samples in, replies out: each request sent once, by a loop of its own in every process."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from curation.endpoint.address import Endpoint
from curation.endpoint.answers import Answers
from curation.endpoint.client import Client, Unanswered
from curation.endpoint.greeting import greeting
from curation.endpoint.requests import Request, Sample, answer_of
from curation.endpoint.retry import Failure
from schemas.errors import EndpointUnavailable
from scorers.questions import Malformed, Question, Reply

# Refusals in a row after which it is not the samples that are at fault.
MOST_REFUSALS = 20
DISK_THREADS = 16  # answers read and written at once: each waits for a disk or an object store
# Seconds for which nothing more is sent after a stop: the rest of a run, and Spark's retries of it.
STAYS_STOPPED = 30.0
# Seconds that requests under way may still take when others made it stop: their answers are paid for.
LAST_ANSWERS = 3.0
PICTURE_THREADS = 4  # at most; images decoded and encoded at once

_ASKERS: dict[tuple[int, Endpoint], Asker] = {}
_MAKING = threading.Lock()


def asker(endpoint: Endpoint) -> Asker:
    """The one of this process for `endpoint`, started at the first call and anew if it has stopped."""
    key = os.getpid(), endpoint
    with _MAKING:
        if key in _ASKERS and _ASKERS[key].stopped_for > STAYS_STOPPED:
            _ASKERS.pop(key).close()
        if key not in _ASKERS:
            _ASKERS[key] = Asker(endpoint)
        return _ASKERS[key]


@atexit.register
def close_askers(*, stopped: bool = False) -> None:
    """End those of this process, or only those that have stopped. What was answered is kept."""
    with _MAKING:
        mine = [key for key, held in _ASKERS.items() if key[0] == os.getpid()]
        for key in mine:
            if not stopped or _ASKERS[key].stopped_for >= 0:
                _ASKERS.pop(key).close()


class Asker:
    """Asks `endpoint`. `submit` returns at once, from any thread.

    `counts`: requests `asked` (sent), `retried` (sent again), answers that were `held` already, `malformed`
    ones, and `prompt_tokens` and `completion_tokens` that the endpoint counted.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.answers = Answers(endpoint.answers, endpoint.model)
        self.client = Client(endpoint)
        self._seen: Counter[str] = Counter()
        self._disk = ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="answers")
        self._pictures = ThreadPoolExecutor(
            min(PICTURE_THREADS, os.cpu_count() or 1), thread_name_prefix="pictures"
        )
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._flying: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._stopped: EndpointUnavailable | None = None
        self._stopped_at = 0.0
        self._refusals = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="endpoint", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> dict[str, int]:
        """What was done so far."""
        names = ("held", "malformed", "prompt_tokens", "completion_tokens")
        seen = {name: self._seen[name] for name in names}
        return {"asked": self.client.asked, "retried": self.client.retried, **seen}

    def submit(self, sample: Sample, question: Question) -> Future[Reply]:
        """The reply to a question about a sample, once it is there.

        The future raises EndpointUnavailable where no request will be answered, and ReadError where an image
        is not what was ingested.
        """
        return asyncio.run_coroutine_threadsafe(self._reply(sample, question), self._loop)

    @property
    def stopped_for(self) -> float:
        """Seconds since it gave the endpoint up; -1 where it has not."""
        return -1.0 if self._stopped is None else time.monotonic() - self._stopped_at

    def close(self) -> None:
        """End the loop and give back its threads and connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join(timeout=5)
        if not self._thread.is_alive():
            self._loop.close()
        self._disk.shutdown()
        self._pictures.shutdown(wait=False, cancel_futures=True)

    async def _end(self) -> None:
        if self._stopped is not None and self._flying:
            await asyncio.wait(self._flying.values(), timeout=LAST_ANSWERS)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.client.close()
        self._loop.call_soon(self._loop.stop)

    async def _reply(self, sample: Sample, question: Question) -> Reply:
        reason = ""
        for reminded in (False, True):
            try:
                held = await self._answer(Request(self.endpoint, sample, question, reminded))
            except Unanswered as error:
                return Reply(reason=str(error))
            try:
                return Reply(question.read(answer_of(held)))
            except Malformed as error:
                self._seen["malformed"] += 1
                reason = f"malformed: {error}"
        return Reply(reason=reason)

    async def _answer(self, request: Request) -> dict[str, Any]:
        """The answer that is kept. Equal requests that are under way at once are sent once."""
        digest = request.digest
        task = self._flying.get(digest)
        if task is None:
            task = self._flying[digest] = asyncio.ensure_future(self._fetch(request))
            task.add_done_callback(lambda _: self._flying.pop(digest, None))
        return await asyncio.shield(task)

    async def _fetch(self, request: Request) -> dict[str, Any]:
        run = self._loop.run_in_executor
        held = await run(self._disk, self.answers.get, request.digest)
        if held is not None:
            self._seen["held"] += 1
            return held
        # The slot is given back when the answer is safe: what a kill can lose was in flight.
        async with self._slots:
            if self._stopped is not None:
                raise self._stopped
            answer = await self._ask(request)
            # Whoever ends this task does not end the writing.
            return await asyncio.shield(run(self._disk, self.answers.keep, request.digest, answer))

    async def _ask(self, request: Request) -> dict[str, Any]:
        async def body() -> dict[str, Any]:
            return await self._loop.run_in_executor(self._pictures, request.body)

        answered = self._seen["answered"]
        try:
            answer = await self.client.complete(body)
        except EndpointUnavailable as error:
            self._stop(error)
            raise
        except Unanswered as error:
            await self._look_into(error.failure, since=answered)
            raise
        self._refusals = 0
        self._seen["answered"] += 1
        for name, n in answer["usage"].items():
            self._seen[name] += n or 0
        return answer

    async def _look_into(self, failure: Failure, since: int) -> None:
        """Stop where a request that failed says that others will: they do too, or nothing is answered at all.

        Raises:
            EndpointUnavailable: it does.
        """
        stopped = self.client.stop(failure)
        if failure.kind == "refused":
            self._refusals += 1
            if self._refusals < MOST_REFUSALS:
                return
        elif self._seen["answered"] > since:
            return
        else:
            try:
                await self.client.complete(lambda: greeting(self.endpoint), attempts=1)
            except (Unanswered, EndpointUnavailable):
                pass
            else:
                return
        self._stop(stopped)
        raise stopped

    def _stop(self, error: EndpointUnavailable) -> None:
        if self._stopped is None:
            self._stopped, self._stopped_at = error, time.monotonic()
