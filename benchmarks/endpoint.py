"""Requests a second to an endpoint that takes 200 ms and works on 32 at once, by how many are under way.

The server is a process of its own (tests/scripted_server.py); 32 at once are 160 a second at most. Against it
stands a plain loop of the same client, a request after the other and nothing kept. Answers are kept on disk,
as ever; with images each request scales and encodes one of 640 x 480 pixels anew.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import alternate, arguments, show
from curation.endpoint.address import Endpoint
from curation.endpoint.asker import asker, close_askers
from curation.endpoint.requests import Request
from curation.steps.score.endpoint import sample_of, submit
from scorers.judgement import Judgement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVER = Path(__file__).parents[1] / "tests" / "scripted_server.py"
LATENCY, SLOTS = 0.2, 32
LIMIT = SLOTS / LATENCY  # requests a second
UNDER_WAY = (1, 4, 16, 64)
SECONDS = 6.0  # that a run should take, at most


@contextmanager
def server() -> Iterator[str]:
    """Its URL."""
    words = [sys.executable, str(SERVER), "--latency", str(LATENCY), "--slots", str(SLOTS)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


def image(folder: Path) -> dict[str, Any]:
    """A reference to a photo-like JPEG."""
    from PIL import Image

    path = folder / "image.jpg"
    Image.effect_noise((640, 480), 60).convert("RGB").save(path, quality=85)
    data = path.read_bytes()
    digest = hashlib.sha256(data).digest()
    place = {"path": str(path), "offset": 0, "length": -1, "column": None, "row": None, "name": path.name}
    return {**place, "sha256": digest, "n_bytes": len(data)}


def rows(n: int, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`n` samples, no two of them alike."""
    now = time.monotonic_ns()
    return [
        {
            "turns": [
                {"role": "user", "text": f"<image>\nWhat is number {now + place}?"},
                {"role": "assistant", "text": "An example of a short answer."},
            ],
            "images": images,
        }
        for place in range(n)
    ]


def asked(
    url: str,
    folder: Path,
    under_way: int,
    images: list[dict[str, Any]],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Requests a second with `under_way` at once, by `clock`: that of the wall, or of this process."""
    endpoint = Endpoint(url, "rater", 512, folder / "answers", concurrency=under_way)
    asker(endpoint)
    wanted = rows(max(6, int(seconds * min(under_way / LATENCY, LIMIT))), images)
    start = clock()
    futures = [submit(endpoint, Judgement(), row, 10**8)[0] for row in wanted]
    replies = [future.result() for future in futures]
    taken = clock() - start
    close_askers()
    assert all(len(reply.values) == 4 for reply in replies)
    return len(wanted) / taken


def plain_loop(url: str, folder: Path, images: list[dict[str, Any]], seconds: float) -> float:
    """Requests a second of the client in a loop."""
    import openai

    endpoint = Endpoint(url, "rater", 512, folder)
    (question,) = Judgement().questions()
    wanted = rows(max(6, int(seconds / LATENCY)), images)
    with openai.OpenAI(base_url=url, api_key="none") as client:
        start = time.perf_counter()
        for row in wanted:
            body = Request(endpoint, sample_of(endpoint, row, 10**8), question).body()
            assert client.chat.completions.create(**body).choices
        return len(wanted) / (time.perf_counter() - start)


def main() -> None:
    """Text alone, then with an image each."""
    flags = arguments(__doc__)
    repeat, seconds = (2, 2.0) if flags.quick else (flags.repeat, SECONDS)
    figures: dict[str, float] = {"server_limit_requests_per_second": LIMIT}
    with tempfile.TemporaryDirectory() as scratch, server() as url:
        folder = Path(scratch)
        for name, images in {"text": [], "image": [image(folder)]}.items():
            runs = {"plain_loop": partial(plain_loop, url, folder, images, seconds)}
            for n in UNDER_WAY:
                runs[f"{n}_under_way"] = partial(asked, url, folder, n, images, seconds)
            medians = alternate(runs, repeat)
            figures |= {f"{name}_{run}_requests_per_second": value for run, value in medians.items()}
            for n in UNDER_WAY:
                best = min(n / LATENCY, LIMIT)
                figures[f"{name}_share_of_the_best_with_{n}"] = medians[f"{n}_under_way"] / best
            of_processor = asked(url, folder, UNDER_WAY[-1], images, seconds, time.process_time)
            figures[f"{name}_processor_ms_per_request"] = 1000 / of_processor
            figures[f"{name}_ratio_vs_plain_loop"] = (
                medians[f"{UNDER_WAY[-1]}_under_way"] / medians["plain_loop"]
            )
    show("endpoint", figures, ["openai", "pillow"], as_json=flags.json)


if __name__ == "__main__":
    main()
