"""The first request to an endpoint: can it be reached, and does it see?"""

from __future__ import annotations

from typing import Any

from curation.endpoint.address import Endpoint
from curation.endpoint.requests import data_url, messages, structured
from scorers.questions import Question

GREY = 64  # px, side of the picture that is sent
GREETING = Question(
    name="greeting",
    text='This only tries the line. Answer with the JSON object {"ok": 1} alone.',
    reminder="",
    columns=(),
    read=lambda answer: {},
    max_tokens=16,
    usual_tokens=6,
    schema={
        "type": "object",
        "properties": {"ok": {"type": "integer"}},
        "required": ["ok"],
        "additionalProperties": False,
    },
    logprobs=True,
)


async def greeting(endpoint: Endpoint) -> dict[str, Any]:
    """The body of a request that costs next to nothing and has all the parts of a real one."""
    from PIL import Image

    dialect = endpoint.dialect
    text = GREETING.text
    body = {
        "model": endpoint.model,
        "messages": messages(text, [data_url(Image.new("RGB", (GREY, GREY), "grey"), GREY)]),
        dialect.limit: GREETING.max_tokens,
        **structured(dialect, GREETING),
    }
    if dialect.temperature:
        body["temperature"] = 0
    if dialect.logprobs:
        body |= {"logprobs": True, "top_logprobs": dialect.logprobs}
    return body
