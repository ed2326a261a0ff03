"""The endpoint as stages hold it: where it is, which model, how it is asked. The key is never part of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from curation.storage.files import Location
from schemas.config import Config
from schemas.errors import ConfigError, EndpointUnavailable
from scorers.questions import Question

OPENAI = "https://api.openai.com/v1"
ANSWERS = "answers"
HOW = (
    "name it: --endpoint-url http://HOST:8000/v1 --endpoint-model NAME, or url and model under [endpoint] in "
    "curate.toml, or OPENAI_BASE_URL and OPENAI_MODEL; its key, if it wants one, in OPENAI_API_KEY"
)


@dataclass(frozen=True)
class Dialect:
    """Which of the parts of a request that servers differ in this one takes. Decided once, by asking it."""

    structured: str = "schema"  # schema | object | none: how an answer is held to JSON
    limit: str = "max_tokens"  # or max_completion_tokens
    temperature: bool = True  # whether it may be set, to 0
    logprobs: int = 20  # alternatives a token that it gives; 0: none


@dataclass(frozen=True)
class Endpoint:
    """Small and picklable. `answers` is the folder of the workspace that keeps what was answered."""

    url: str
    model: str
    side: int  # px
    answers: Location
    dialect: Dialect = Dialect()
    key_file: str | None = None
    concurrency: int = 16
    rate: float | None = None
    timeout: float = 120.0
    attempts: int = 10

    def key(self, questions: Sequence[Question]) -> dict[str, Any]:
        """What stands in the key of a stage that asks `questions`: what decides the answers, no address."""
        dialect = self.dialect
        found = {"model": self.model, "side": self.side, "temperature": dialect.temperature}
        if any(question.schema is not None for question in questions):
            found["structured"] = dialect.structured
        if any(question.logprobs for question in questions):
            found["logprobs"] = dialect.logprobs
        return found

    def secret(self) -> str | None:
        """The key, read anew wherever it is needed; None where there is none.

        Raises:
            EndpointUnavailable: its file cannot be read, or it is no key.
        """
        secret = os.environ.get("OPENAI_API_KEY", "")
        if self.key_file is not None:
            try:
                secret = Path(self.key_file).expanduser().read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is no text"
                raise EndpointUnavailable(
                    f"the key of the endpoint cannot be read from {self.key_file}: {why}"
                ) from None
        secret = secret.strip()
        if not secret.isascii() or any(letter.isspace() or not letter.isprintable() for letter in secret):
            where = self.key_file or "OPENAI_API_KEY"
            raise EndpointUnavailable(f"what {where} holds is no key: a key is one word of ASCII letters")
        return secret or None

    def hidden(self, text: str) -> str:
        """`text` on one line and without the key, should somebody have repeated it."""
        secret = self.secret()
        return " ".join((text.replace(secret, "***") if secret else text).split())


def endpoint_of(config: Config, root: Location) -> Endpoint:
    """The endpoint that the settings and the environment name, in the plainest dialect. Asks nobody.

    Args:
        config: the settings.
        root: the workspace's folder `.curate`.

    Raises:
        ConfigError: none is named, or its URL is none.
    """
    held = config.endpoint
    model = held.model or os.environ.get("OPENAI_MODEL")
    url = held.url or os.environ.get("OPENAI_BASE_URL")
    if url is None and (held.key_file or os.environ.get("OPENAI_API_KEY")):
        url = OPENAI
    if not url:
        raise ConfigError(f"no endpoint is configured; {HOW}")
    if not model:
        raise ConfigError(f"the endpoint {url} is asked for no model; {HOW}")
    _check_url(url)
    workers = config.run.workers if config.run.engine == "local" else 1
    return Endpoint(
        url.rstrip("/"),
        model,
        held.side,
        root / ANSWERS,
        key_file=held.key_file,
        concurrency=max(1, held.concurrency // workers),
        rate=held.rate / workers if held.rate else None,
        timeout=held.timeout,
        attempts=held.attempts,
    )


def is_asked(config: Config) -> bool:
    """Does scoring ask the endpoint?"""
    return config.capability.backend == "endpoint" or config.endpoint.judge


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"the endpoint's URL is {url!r}; write http://HOST:PORT/v1 or https://HOST/v1")
    if parts.username or parts.password or parts.query:
        raise ConfigError(
            f"the endpoint's URL must hold no user, password or query (it is {parts.scheme}://"
            f"{parts.hostname}…), as it is shown and stored; put the key into OPENAI_API_KEY"
        )
