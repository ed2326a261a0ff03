"""`python -m jobs.cluster`: `curate cluster`, as a scheduler calls it."""

from __future__ import annotations

from jobs.cli import main

if __name__ == "__main__":
    main("cluster")
