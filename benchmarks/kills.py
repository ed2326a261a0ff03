"""Kill the chain with SIGKILL at random moments, start it again, and compare with a run that nobody killed.

Not a timing: it asserts. Whatever the moments, the tables must end with the same bytes, and no shard that
stands in the ledger may be computed again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

RUN = """
import sys
from curation.workspace import Workspace
Workspace(sys.argv[1], {"run.shard_rows": 64}).select(budget="30%")
"""


def digests(workspace: Path) -> dict[str, str]:
    """The checksum of every table's manifest and shards."""
    found = {}
    for manifest in sorted((workspace / ".curate" / "tables").glob("*.json")):
        tree = json.loads(manifest.read_text())
        files = [
            workspace / ".curate" / "shards" / manifest.stem / f"{s['checksum']}.parquet"
            for s in tree["shards"]
        ]
        data = b"".join([manifest.read_bytes(), *[file.read_bytes() for file in files]])
        found[manifest.stem] = hashlib.sha256(data).hexdigest()
    return found


def doubled(workspace: Path) -> list[str]:
    """Shards that were computed although they were committed already."""
    lines = (workspace / ".curate" / "log.jsonl").read_text().splitlines()
    commits = Counter((e["table"], e["key"]) for e in map(json.loads, lines) if e["event"] == "commit")
    return [f"{table} {key}" for (table, key), n in commits.items() if n > 1]


def run(workspace: Path, seconds: float | None = None) -> bool:
    """Run the chain to its end, or kill it after `seconds`; True where it came to its end."""
    with subprocess.Popen([sys.executable, "-c", RUN, str(workspace)], stderr=subprocess.PIPE) as process:
        try:
            _, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return False
    assert process.returncode == 0, errors.decode()[-2000:]
    return True


def kill_often(pool: Path, scratch: Path, kills: int, seed: int = 0) -> dict[str, float]:
    """Kill `kills` times, at moments spread over the whole run; assert that nothing is lost or done twice."""
    from curation.workspace import Workspace

    def fresh(name: str) -> Path:
        Workspace.init(scratch / name, {"pool": pool / "pool.json"}, images=[pool], model="builtin:tiny")
        return scratch / name

    reference = fresh("reference")
    begin = time.monotonic()
    run(reference)
    whole = time.monotonic() - begin
    expected = digests(reference)
    rng = random.Random(seed)
    landed = rounds = 0
    while landed < kills:
        workspace = fresh(f"round{rounds}")
        rounds += 1
        while landed < kills and not run(workspace, rng.uniform(0.05, 0.6) * whole):
            landed += 1
        run(workspace)
        assert digests(workspace) == expected, f"round {rounds - 1} ended with other bytes"
        assert not doubled(workspace), f"computed twice: {doubled(workspace)[:3]}"
    return {"kills": landed, "workspaces": rounds, "seconds_uninterrupted": whole, "tables": len(expected)}


def main() -> None:
    """On a demo pool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--n", type=int, default=1200, help="samples of the demo pool")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    from curation.generate.pool import write_pool

    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder) / "pool"
        write_pool(pool, flags.n)
        figures = kill_often(pool, Path(folder), flags.kills, flags.seed)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
