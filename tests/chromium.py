"""The Chromium that the tests marked `browser` drive: where it is, and how to get it.

`python -m tests.chromium --install` installs it where there is none and this may be done (Debian, as root).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from jobs.java import apt

NAMES = ("chromium", "chromium-browser", "google-chrome")
REMEDY = "install it with `apt-get install chromium`, or set CHROMIUM to one that you have"


def find_chromium() -> Path | None:
    """The executable that CHROMIUM names, else the first on PATH; None if there is none."""
    named = os.environ.get("CHROMIUM")
    if named:
        return Path(named) if Path(named).is_file() else None
    return next((Path(found) for found in map(shutil.which, NAMES) if found), None)


def install() -> str:
    """Install Chromium where it is missing and this may be done. Returns a sentence on what was done."""
    found = find_chromium()
    if found:
        return f"Chromium is at {found}."
    if os.environ.get("CHROMIUM") or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return f"There is no Chromium: {REMEDY}. Without it the tests marked browser are skipped."
    apt("update")
    if apt("install", "chromium") != 0:
        return f"apt-get could not install Chromium: {REMEDY}."
    return f"Chromium was installed at {find_chromium()}."


if __name__ == "__main__":
    sys.stdout.write(f"{install() if '--install' in sys.argv else find_chromium() or REMEDY}\n")
