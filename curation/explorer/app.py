"""The routes of the page: each parses what is asked, and answers with JSON, a picture or a file of ours."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.commands.search import Query
from curation.explorer import answers
from curation.explorer.view import Explorer
from curation.report.records import records
from schemas.errors import ConfigError, CurateError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    Answer = Callable[[Explorer, Request], Any]

STATIC = Path(__file__).parent / "static"
MOST_BYTES = 32 << 20  # of a picture that is searched for
MOST_JSON = 1 << 20
SIDES = ("image", "text", "both")
KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}


def application(explorer: Explorer) -> Starlette:
    """The page without its guard."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    async def picture(request: Request) -> Response:
        return await _threaded(_picture, explorer, request)

    return Starlette(
        routes=[
            *(Route(f"/api/{name}", _json(explorer, answer)) for name, answer in ASKED.items()),
            Route("/api/search", _posted(explorer, _search), methods=["POST"]),
            Route("/api/search/picture", _uploaded(explorer), methods=["POST"]),
            Route("/api/mark", _posted(explorer, _mark), methods=["POST"]),
            Route(
                "/api/save", _posted(explorer, lambda explorer, _: answers.save(explorer)), methods=["POST"]
            ),
            Route("/picture/{uid}/{number:int}", picture),
            Route("/", _page),
            Route("/static/{name}", _page),
        ]
    )


def _samples(explorer: Explorer, request: Request) -> Any:
    asked = request.query_params
    return answers.samples(
        explorer,
        asked.get("where", ""),
        asked.get("sort", ""),
        falling=asked.get("order") == "falling",
        offset=_number(asked.get("offset"), 0),
        n=_number(asked.get("n"), 60),
    )


def _pairs(explorer: Explorer, request: Request) -> Any:
    asked = request.query_params
    at, n = _number(asked.get("offset"), 0), _number(asked.get("n"), 30)
    return answers.pairs(explorer, asked.get("reason") or None, at, n)


ASKED: dict[str, Answer] = {
    "pool": lambda explorer, _: answers.overview(explorer),
    "samples": _samples,
    "sample/{uid}": lambda explorer, request: answers.sample(explorer, request.path_params["uid"]),
    "clusters": lambda explorer, _: answers.clusters(explorer),
    "pairs": _pairs,
    "marks": lambda explorer, _: answers.marked(explorer),
}


def _search(explorer: Explorer, asked: dict[str, Any]) -> Any:
    query = Query(_text(asked, "text"), None, _text(asked, "like"), _by(asked.get("by")), _n(asked.get("n")))
    return answers.search(explorer, query, _text(asked, "where") or "")


def _mark(explorer: Explorer, asked: dict[str, Any]) -> Any:
    return answers.mark(explorer, _text(asked, "uid") or "", _text(asked, "mark"))


def _uploaded(explorer: Explorer) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        data = await _body(request, MOST_BYTES)
        if data is None:
            return _told({"error": f"the picture has more than {MOST_BYTES >> 20} MB"}, 413)
        asked = request.query_params

        def run() -> Any:
            query = Query(None, data, None, _by(asked.get("by")), _n(asked.get("n")))
            return answers.search(explorer, query, asked.get("where", ""))

        return await _threaded(lambda: _answered(run))

    return answer


def _json(explorer: Explorer, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await _threaded(lambda: _answered(lambda: answer(explorer, request)))

    return endpoint


def _posted(
    explorer: Explorer, answer: Callable[[Explorer, dict[str, Any]], Any]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        data = await _body(request, MOST_JSON)
        # Forms of other pages cannot have this type.
        if data is None or request.headers.get("content-type") != "application/json":
            return _told({"error": "this takes JSON of at most a megabyte"}, 415)

        def run() -> Any:
            try:
                asked = json.loads(data)
            except ValueError:
                asked = None
            if not isinstance(asked, dict):
                raise ConfigError("this takes a JSON object")
            return answer(explorer, asked)

        return await _threaded(lambda: _answered(run))

    return endpoint


async def _body(request: Request, most: int) -> bytes | None:
    """What was sent; None where it is more than allowed."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > most:
            return None
    return bytes(data)


async def _threaded(call: Callable[..., Response], *given: Any) -> Response:
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(call, *given)


def _answered(run: Callable[[], Any]) -> Response:
    """The answer, or the sentence of what is wrong."""
    try:
        return _told(run(), 200)
    except CurateError as error:
        return _told({"error": str(error)}, 400)


def _told(tree: Any, status: int) -> Response:
    from starlette.responses import Response

    body = json.dumps(tree, default=str, allow_nan=False).encode()
    return Response(body, status, {"cache-control": "no-store"}, "application/json")


def _picture(explorer: Explorer, request: Request) -> Response:
    """Picture `number` of a sample: small, or with `?whole` as it is."""
    from starlette.responses import Response

    number: int = request.path_params["number"]
    try:
        (record,) = records(explorer.view.store, [explorer.view.position(request.path_params["uid"])], 0)
    except CurateError as error:
        return Response(f"{error}\n", 404, media_type="text/plain")
    refs = record["images"]
    if number >= len(refs):
        return Response("there is no such picture\n", 404, media_type="text/plain")
    pictures = explorer.pictures
    read = pictures.whole if "whole" in request.query_params else pictures.small
    data, kind = read(refs[number]) or ((STATIC / "broken.svg").read_bytes(), KINDS["svg"])
    return Response(data, 200, {"cache-control": "private, max-age=3600"}, kind)


async def _page(request: Request) -> Response:
    """A file of `static/`, named by itself: no path leads anywhere else."""
    from starlette.responses import Response

    name = request.path_params.get("name", "index.html")
    files = {path.name: path for path in STATIC.iterdir()}
    if name not in files:
        return Response("there is no such page\n", 404, media_type="text/plain")
    kind = KINDS[name.rpartition(".")[2]]
    return Response(files[name].read_bytes(), 200, {"cache-control": "no-store"}, kind)


def _text(asked: dict[str, Any], name: str) -> str | None:
    value = asked.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{name} is {value!r}; it is a text")
    return value


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 12 else default


def _n(value: object) -> int:
    return min(max(_number(str(value), 60), 1), answers.MOST)


def _by(value: object) -> Any:
    if value not in (*SIDES, None, ""):
        raise ConfigError(f"a search is by {', '.join(SIDES)}, not {value!r}")
    return value or None
