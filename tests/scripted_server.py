"""A chat endpoint that answers as a script says: 429, 500, silence, nonsense. Counts requests by their hash.

    python tests/scripted_server.py --latency 0.2        prints its port, and serves until it is killed

GET /log says what it saw: a line a request, with its hash and whether its answer was sent to the end.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]


@dataclass
class Out:
    """What the server does with one request."""

    status: int = 200
    text: str | None = None  # of the model; None: a good answer
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None  # the whole body of the response instead
    wait: float = 0.0  # seconds before it
    cut: bool = False  # close the connection in the middle of the response
    finish: str = "stop"


# (body, how often this body came before, number of the request) -> what to do
Script = Callable[[Body, int, int], Out]


def good(body: Body, seen: int, number: int) -> Out:
    """Always a good answer."""
    return Out()


@dataclass
class Seen:
    """One request."""

    digest: str
    body: Body
    headers: dict[str, str]
    answered: bool = False
    status: int = 0
    time: float = field(default_factory=time.monotonic)


def digest_of(body: Body) -> str:
    """The same for the same request."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def text_of(body: Body) -> str:
    """The text of the user's message."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


def images_of(body: Body) -> list[str]:
    """Its images' URLs."""
    content = body["messages"][-1]["content"]
    return [] if isinstance(content, str) else [p["image_url"]["url"] for p in content[:-1]]


def is_greeting(body: Body) -> bool:
    """The request that tries the line."""
    return text_of(body).startswith("This only tries the line")


def answer(body: Body) -> str:
    """A good answer, which follows from the request alone."""
    seed = int(digest_of(body)[:8], 16)
    text = text_of(body)
    if is_greeting(body):
        return '{"ok": 1}'
    if '"relevance"' in text:
        names = ("relevance", "plausibility", "clarity", "diversity")
        return json.dumps({name: (seed >> place) % 6 for place, name in enumerate(names)})
    if '"scores"' in text:
        keys = re.findall(r"^- ([a-z_]+): ", text, re.MULTILINE)[:14]
        scores = {key: (seed >> place) % 6 for place, key in enumerate(keys)}
        return json.dumps({"scores": scores, "styles": ["yes/no", "comparison"]})
    return "word/short-phrase" if "separated by commas" in text else str(seed % 6)


def completion(body: Body, text: str, finish: str) -> Body:
    """A chat completion, with log-probabilities where they were asked for."""
    choice: Body = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    if body.get("logprobs"):
        choice["logprobs"] = {"content": [_token(text)]}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return {
        "id": "x",
        "object": "chat.completion",
        "model": body["model"],
        "choices": [choice],
        "usage": usage,
    }


def _token(text: str) -> Body:
    """The digit with probability 0.75, and the one above with and without a space with 0.25."""
    other = str(min(int(text) + 1, 5)) if text.isdigit() else "x"
    top = [(text, 0.75), (other, 0.125), (f" {other}", 0.125)]
    return {"token": text, "logprob": math.log(0.75), "top_logprobs": [_alternative(*pair) for pair in top]}


def _alternative(token: str, p: float) -> Body:
    return {"token": token, "logprob": math.log(p)}


class Server:
    """Listens in a thread of its own until the `with` block ends."""

    def __init__(self, script: Script = good, latency: float = 0.0, slots: int | None = None) -> None:
        self.script, self.latency = script, latency
        self.slots = slots  # requests that it works on at once; None: all
        self.seen: list[Seen] = []
        self.counts: Counter[str] = Counter()
        self.most = self._under_way = 0
        self.port = 0

    @property
    def url(self) -> str:
        """What clients call it."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def asked(self) -> list[Seen]:
        """The requests but those that try the line."""
        return [seen for seen in self.seen if not is_greeting(seen.body)]

    def __enter__(self) -> Server:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.ready = threading.Event()
        self.thread.start()
        self.ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.thread.join(10)
        self.loop.close()

    def _run(self) -> None:
        self.loop.run_until_complete(self.serve())

    async def serve(self, port: int = 0) -> None:
        """Until `stopping` is set."""
        self.stopping = asyncio.Event()
        self.gate = asyncio.Semaphore(self.slots or 1_000_000)
        server = await asyncio.start_server(self._connection, "127.0.0.1", port, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        if hasattr(self, "ready"):
            self.ready.set()
        else:
            sys.stdout.write(f"{self.port}\n")
            sys.stdout.flush()
        await self.stopping.wait()
        server.close()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.sleep(0)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")) and await self._request(head, reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _request(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        data = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = first.split(" ")
        if method == "GET" and path == "/log":
            log = [
                {"digest": s.digest, "answered": s.answered, "greeting": is_greeting(s.body)}
                for s in self.seen
            ]
            return await self._send(writer, 200, {}, json.dumps({"most": self.most, "log": log}).encode())
        if path != "/v1/chat/completions":
            return await self._send(writer, 404, {}, b'{"error": {"message": "no such page"}}')
        return await self._chat(json.loads(data), headers, writer)

    async def _chat(self, body: Body, headers: dict[str, str], writer: asyncio.StreamWriter) -> bool:
        seen = Seen(digest_of(body), body, headers)
        out = self.script(body, self.counts[seen.digest], len(self.seen))
        self.seen.append(seen)
        self.counts[seen.digest] += 1
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        try:
            async with self.gate:
                await asyncio.sleep(self.latency + out.wait)
        finally:
            self._under_way -= 1
        said = out.raw
        if said is None and out.status == 200:
            text = answer(body) if out.text is None else out.text
            said = json.dumps(completion(body, text, out.finish)).encode()
        elif said is None:
            said = json.dumps({"error": {"message": out.text or "as the script says"}}).encode()
        seen.status = out.status
        if out.cut:
            said = said[: len(said) // 2]
            await self._send(writer, out.status, {**out.headers, "content-length": str(2 * len(said))}, said)
            return False
        seen.answered = await self._send(writer, out.status, out.headers, said) and out.status == 200
        return True

    async def _send(
        self, writer: asyncio.StreamWriter, status: int, headers: dict[str, str], data: bytes
    ) -> bool:
        lines = {"content-type": "application/json", "content-length": str(len(data)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {status} Scripted\r\n{head}\r\n".encode() + data)
        await writer.drain()
        return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--slots", type=int, default=None)
    flags = parser.parse_args()
    asyncio.run(Server(latency=flags.latency, slots=flags.slots).serve())
