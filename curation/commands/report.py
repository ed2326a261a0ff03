"""`curate report`: the pool, what was kept of it and why, as one page that asks no network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from curation.pipeline.pipeline import Pipeline
from curation.report.page import gather, missing, render
from curation.storage.files import put
from schemas.errors import WorkspaceError


def report(workspace: Pipeline, out: Path | str = "report.html") -> dict[str, Any]:
    """Write the page to the file `out`, anew where it is there. The same workspace gives the same bytes.

    Works at any state of the workspace from `ingest` on; what is not there yet has a sentence instead.

    Returns:
        `out`, `bytes`, `n_read`, `n_kept`, `left_out` (sections that this pool has nothing for), `seconds`.

    Raises:
        WorkspaceError: nothing is ingested yet, or `out` cannot be written.
    """
    start = time.monotonic()
    path = Path(out)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise WorkspaceError(
            f"{path} cannot be written; --out names a file, such as report.html, in a folder"
        )
    tree = gather(workspace)
    page = render(tree).encode()
    put(path, page)
    overview = tree["overview"]
    return {
        "out": str(path),
        "bytes": len(page),
        "n_read": overview["n_read"],
        "n_kept": overview["n_kept"] if overview["selected"] else None,
        "left_out": missing(tree),
        "seconds": round(time.monotonic() - start, 2),
    }
