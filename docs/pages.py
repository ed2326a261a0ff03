"""Hooks of mkdocs: files that lie beside docs/ are pages of the site too, and links to them stay right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
# What the site calls them, by what they are called here.
BESIDE = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "LICENSE.txt",
    "constraints.txt": "constraints.txt",
    "pyproject.toml": "pyproject.toml.txt",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """All files of docs/, and those beside it."""
    for name, page in BESIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with links as the site has them."""
    if page.file.src_uri in BESIDE.values():
        return re.sub(r"\]\(docs/", "](", markdown)
    for name, target in BESIDE.items():
        markdown = re.sub(rf"\]\(((?:\.\./)*)\.\./{re.escape(name)}", rf"](\1{target}", markdown)
    return markdown
