"""Pages in headless Chromium, for tests marked `browser`: `visit` opens one and watches what it does.

    @pytest.mark.browser
    def test_a_page_says_its_name(visit):
        page = visit("http://127.0.0.1:8000/", colours="dark", width=390)
        assert page.title() == "curate"

When the test is over, no page may have written an error to its console, thrown one, or asked for anything
that does not come from where it came from itself. `allow` of `visit` names what it may ask for besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest

from tests.chromium import REMEDY, find_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Chromium's own errands fail where there is no network, and a root user has no sandbox.
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # WebGL without a graphics card.
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
PATIENCE = 120_000  # ms, as other tests may have the processor
Visit = Callable[..., "Page"]


@pytest.fixture(scope="module")  # while it lives there is an event loop, which tests of others must not meet
def chromium() -> Iterator[Browser]:
    """One browser for all tests of a file; skips where there is none."""
    executable = find_chromium()
    if executable is None:
        pytest.skip(f"there is no Chromium: {REMEDY}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Open a file or a URL in a browser of its own, with `colours` and `width` x `height` pixels."""
    complaints: list[str] = []
    contexts = []

    def visit(
        url: str | Path,
        *,
        colours: Literal["light", "dark"] = "light",
        width: int = 1280,
        height: int = 800,
        allow: tuple[str, ...] = (),
    ) -> Page:
        address = url.resolve().as_uri() if isinstance(url, Path) else url
        context = chromium.new_context(
            color_scheme=colours, viewport={"width": width, "height": height}, has_touch=width < 600
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: _note(complaints, message.type, message.text))
        page.on("pageerror", lambda error: complaints.append(f"not caught: {error}"))
        page.on("request", lambda request: complaints.extend(_foreign(request.url, address, allow)))
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def _note(complaints: list[str], kind: str, text: str) -> None:
    if kind in ("error", "warning") and not text.startswith("[.WebGL"):
        complaints.append(f"{kind}: {text}")


def _foreign(url: str, address: str, allow: tuple[str, ...]) -> list[str]:
    """A complaint about a request that leaves the page's own file, or its own server."""
    asked, page = urlsplit(url), urlsplit(address)
    own = asked.path == page.path if page.scheme == "file" else asked.netloc == page.netloc
    if url.startswith(("data:", "blob:", "about:", *allow)) or (asked.scheme == page.scheme and own):
        return []
    return [f"asked for {url}"]
