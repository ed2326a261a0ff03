"""`python -m jobs`: the command line, where the script `curate` is not installed."""

from __future__ import annotations

from jobs.cli import main

if __name__ == "__main__":
    main()
