"""What an endpoint takes: asked once, at the start, by one small request, and kept in the workspace."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, replace
from functools import partial

from curation.endpoint.address import Dialect, Endpoint, endpoint_of
from curation.endpoint.asker import close_askers
from curation.endpoint.client import Client, Unanswered
from curation.endpoint.greeting import greeting
from curation.storage.files import Location, put
from schemas.config import Config
from schemas.protocols import Progress
from schemas.tables import key_of

WEAKER = {"schema": "object", "object": "none"}
FEWER = {20: 5, 5: 0}


def known_endpoint(config: Config, root: Location) -> Endpoint:
    """The endpoint in the dialect that was found for it, or, before it was asked, in the richest one.

    Raises:
        ConfigError: none is named.
    """
    endpoint = endpoint_of(config, root)
    try:
        return replace(endpoint, dialect=Dialect(**json.loads(_path(config, endpoint, root).read_text())))
    except FileNotFoundError:
        return replace(endpoint, dialect=_richest(config))


def resolve_endpoint(config: Config, root: Location, progress: Progress) -> Endpoint:
    """The endpoint in a dialect that it takes; the first call for an endpoint sends it a request, or a few.

    Raises:
        ConfigError: none is named.
        EndpointUnavailable: it cannot be reached, or refuses.
    """
    close_askers(stopped=True)  # what an earlier run gave up may be well again
    endpoint = known_endpoint(config, root)
    path = _path(config, endpoint, root)
    if not path.exists():
        progress.note(f"asking {endpoint.model} at {endpoint.url}")
        endpoint = asyncio.run(_negotiated(endpoint, auto=config.endpoint.structured == "auto"))
        put(path, (json.dumps(asdict(endpoint.dialect), sort_keys=True) + "\n").encode())
    return endpoint


async def _negotiated(endpoint: Endpoint, *, auto: bool) -> Endpoint:
    client = Client(endpoint)
    try:
        while True:
            try:
                await client.complete(partial(greeting, endpoint), patient=False)
            except Unanswered as error:
                weaker = _weaker(endpoint.dialect, str(error).lower(), auto=auto)
                if error.failure.kind != "refused" or weaker is None:
                    raise client.stop(error.failure) from None
                endpoint = replace(endpoint, dialect=weaker)
            else:
                return endpoint
    finally:
        await client.close()


def _weaker(dialect: Dialect, refusal: str, *, auto: bool) -> Dialect | None:
    """The dialect without what a refusal names; None where it names nothing that can be left out."""
    if "logprobs" in refusal and dialect.logprobs:
        return replace(dialect, logprobs=FEWER.get(dialect.logprobs, 0))
    about_json = any(word in refusal for word in ("response_format", "json_schema", "json_object", "schema"))
    if about_json and auto and dialect.structured in WEAKER:
        return replace(dialect, structured=WEAKER[dialect.structured])
    if "max_completion_tokens" in refusal and dialect.limit == "max_tokens":
        return replace(dialect, limit="max_completion_tokens")
    if "temperature" in refusal and dialect.temperature:
        return replace(dialect, temperature=False)
    return None


def _richest(config: Config) -> Dialect:
    wanted = config.endpoint.structured
    return Dialect(
        "schema" if wanted == "auto" else wanted, logprobs=20 if config.endpoint.mode == "each" else 0
    )


def _path(config: Config, endpoint: Endpoint, root: Location) -> Location:
    key = key_of([endpoint.url, endpoint.model, config.endpoint.structured, config.endpoint.mode])
    return root / "models" / f"endpoint-{key}.json"
