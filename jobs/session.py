"""One invocation of the command line: where, with which settings, and how it speaks."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curation.progress import default
from jobs.show import plan, result
from jobs.show_losses import nothing_left
from jobs.spelling import spelled
from jobs.terminal import put
from jobs.text import Line
from schemas.errors import NothingLeft, no_workspace
from schemas.protocols import Progress
from schemas.visible import in_json, visible

if TYPE_CHECKING:
    import logging

    from curation.workspace import Workspace

BARE = re.compile(r"(?<![\w/-])curate (?=[a-z])")


@dataclass
class Session:
    """What the flags said. The options fill it in (jobs/options.py), the commands read it."""

    folder: str = "."
    overrides: dict[str, Any] = field(default_factory=dict)
    as_json: bool = False
    quiet: bool = False
    debug: bool = False
    dry_run: bool = False

    @property
    def curate(self) -> str:
        """How a command for this workspace begins."""
        return "curate" if self.folder == "." else f"curate -C {shlex.quote(self.folder)}"

    def progress(self) -> Progress:
        """Where a run says what it is doing: stderr."""
        return default(quiet=self.quiet)

    def workspace(self) -> Workspace:
        """The workspace in the folder, with the flags over curate.toml.

        Raises:
            WorkspaceError: there is none.
        """
        from curation.storage.files import CONFIG_FILE, URL

        # Before the imports below, which take a second.
        if not URL.match(self.folder) and not (Path(self.folder) / CONFIG_FILE).is_file():
            raise no_workspace(Path(self.folder).resolve())

        from curation.workspace import Workspace
        from jobs.spark import spark_engine

        self.log()
        # Passed in, as an archive of the code on a cluster has no entry points.
        return Workspace(self.folder, self.overrides, self.progress(), {"spark": spark_engine})

    def log(self) -> None:
        """Warnings to stderr; with --debug everything that curate itself says."""
        import logging

        handler = logging.StreamHandler()
        handler.addFilter(_visible)
        sentence = "%(levelname)s %(name)s: %(message)s" if self.debug else "curate: %(message)s"
        logging.basicConfig(format=sentence, handlers=[handler])
        for name in ("schemas", "scorers", "clustering", "curation", "jobs"):
            logging.getLogger(name).setLevel(logging.DEBUG if self.debug else logging.WARNING)

    def run(self, step: str) -> None:
        """Run the chain up to `step` and show its counts, or the plan with --dry-run.

        Raises:
            NothingLeft: the step leaves no sample; the counts are shown all the same.
        """
        if self.dry_run:
            self.show(self.workspace().plan(step), plan)
        else:
            flags = spelled(self.overrides)
            counts = self.workspace().run(step)
            self.show(counts, lambda counts: result(counts, self.curate, flags))
            sentence = nothing_left(counts)
            if sentence:
                raise NothingLeft(sentence)

    def show(self, tree: dict[str, Any], text: Callable[[dict[str, Any]], Iterable[str]]) -> None:
        """Print `tree` as one JSON object, or the lines that `text` makes of it."""
        if self.as_json:
            click.echo(in_json(json.dumps(tree, ensure_ascii=not _speaks_unicode(), default=str)))
        else:
            put(map(self._named, text(tree)))

    def _named(self, part: str) -> str:
        """A line whose commands name the workspace, as they must where it is not this folder."""
        if self.folder == "." or not isinstance(part, Line):
            return part
        return Line(part.label, BARE.sub(f"{self.curate} ", part.said))


def _visible(record: logging.LogRecord) -> bool:
    """Make a message hold nothing that a terminal would obey."""
    record.msg, record.args = visible(record.getMessage()), None
    return True


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "utf-8").lower().startswith("utf")
