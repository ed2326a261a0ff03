"""The documentation as a site: it builds without a warning, and fetches nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What a page loads by itself; links may lead anywhere.
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?([^\"'\s>]+)|<link\b([^>]+)>", re.IGNORECASE
)
IN_CSS = re.compile(r"@import\s+[\"']?([^\"';]+)|url\([\"']?([^\"')]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_a_page_loads_nothing_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        for source, link in LOADED.findall(page.read_text(encoding="utf-8")):
            if not re.search(r"rel=[\"']?(canonical|next|prev|edit)", link):
                assert "//" not in re.sub(r"data:\S+", "", source + link), page
    for style in site.rglob("*.css"):
        for imported, url in IN_CSS.findall(style.read_text(encoding="utf-8")):
            assert "//" not in imported + url.partition("data:")[0], style


@pytest.mark.slow
def test_docstrings_are_on_the_page_of_the_api(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    assert "Choose a subset of exactly the budget" in page
    assert "One knob between score and coverage" in page
