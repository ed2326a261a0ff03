"""From a pool to a subset: `curate select --budget 30%` in a new workspace, with the built-in model.

The pool is the mixture of the internal test data (`--quick`: 400 records of it); where that is not there, a
generated one of as many records. Memory is that of the largest process.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.pools import mixed
from benchmarks.report import SHARED, arguments, show
from curation.generate.pool import write_pool
from curation.workspace import Workspace

QUICK, WHOLE = 400, 8205


def pool(at: Path, n: int) -> tuple[Path, Path]:
    """A file of n records, and where their images are."""
    if not (SHARED / "mixture").is_dir():
        write_pool(at, n)
        return at / "pool.json", at
    at.mkdir()
    (at / "pool.json").write_text(json.dumps(mixed(0, n if n < WHOLE else None)))
    return at / "pool.json", SHARED / "mixture"


def main() -> None:
    """Once: it is a chain of many stages, and long."""
    given = arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        data, images = pool(Path(folder) / "pool", QUICK if given.quick else WHOLE)
        work = Path(folder) / "work"
        Workspace.init(work, {"pool": data}, images=[images], model="builtin")
        command = [sys.executable, "-m", "jobs", "-C", str(work), "select", "--budget", "30%", "--quiet"]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        found = Workspace(work).store
        records = found.read("samples", ["uid"]).num_rows
        figures = {
            "records": records,
            "images": found.read("image_vectors", ["vector"]).num_rows,
            "seconds": seconds,
            "records_per_second": records / seconds,
            "peak_gb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6,
        }
    show("chain", figures, ["torch", "open_clip_torch", "polars"], as_json=given.json)


if __name__ == "__main__":
    main()
