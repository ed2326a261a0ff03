"""Who is answered: the browser that has the token, from the page itself, by the name of this machine."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

NAMES = ("127.0.0.1", "localhost", "[::1]")  # of a host behind which nobody else can stand
HEADERS = {
    # Nothing but what the page brings itself: no script in a text, no request to anywhere else.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True)
class Guard:
    """An ASGI application in front of another one, which it lets answer only whom it may.

    Refused (403) are requests by another name of the host, as pages make whose name was bound to 127.0.0.1;
    from another origin, which a page of another port is too; and without the token, which the address that is
    opened has, and a cookie afterwards.
    """

    app: App
    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def url(self) -> str:
        """The address that is opened."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not spoken here")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        reason = self.refused(scope, headers)
        if reason is not None:
            await _refuse(reason, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_encoded(HEADERS), *self._cookie(scope)]
            await send(message)

        await self.app(scope, receive, sent)

    def refused(self, scope: Scope, headers: dict[str, str]) -> str | None:
        """Why a request is refused; None where it is not."""
        host = headers.get("host", "")
        if host not in {f"{name}:{self.port}" for name in NAMES}:
            return "this page answers to 127.0.0.1 only"
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            return "this page answers to itself only"
        opens = scope["path"] == "/" and scope["method"] == "GET"
        # A browser says where a request comes from. The page itself may be opened from anywhere.
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not opens:
            return "this page answers to itself only"
        given = [*_tokens(scope), _cookies(headers).get(self._name, "")]
        if not any(hmac.compare_digest(each.encode(), self.token.encode()) for each in given):
            return "open the address that `curate explore` printed, with its token"
        return None

    @property
    def _name(self) -> str:
        # Cookies know no ports.
        return f"curate-{self.port}"

    def _cookie(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        if self.token not in _tokens(scope):
            return []
        return _encoded({"set-cookie": f"{self._name}={self.token}; Path=/; HttpOnly; SameSite=Strict"})


def _tokens(scope: Scope) -> list[str]:
    return parse_qs(scope["query_string"].decode("latin-1")).get("token", [])


def _cookies(headers: dict[str, str]) -> dict[str, str]:
    """By name. Other servers of this machine set theirs for the same host, and not all are well formed."""
    parts = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    return {name: value for name, _, value in parts}


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def _refuse(reason: str, send: Send) -> None:
    headers = _encoded({"content-type": "text/plain; charset=utf-8", **HEADERS})
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": f"{reason}\n".encode()})
