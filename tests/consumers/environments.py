"""Environments of those who read exports: a folder of packages each, over the packages that run here.

What is heavy (torch, pandas, Pillow) stays as it is, so a folder takes seconds; its packages come first on
the path. Folders are kept under `curate-consumers` of the user's cache, by what is in them.
`python -m tests.consumers.environments` makes all of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
# Without dependencies: what each needs beside the packages that run here is spelled out.
_HUB = ("huggingface_hub==1.33.0", "httpx==0.28.1", "httpcore==1.0.9")
PACKAGES = {
    "datasets-2.16": (
        "datasets==2.16.1", "pyarrow==15.0.2", "pyarrow-hotfix==0.7", "numpy==1.26.4", "fsspec==2023.10.0",
        "huggingface_hub==0.25.2", "dill==0.3.7", "multiprocess==0.70.15",
    ),
    "datasets-3.6": (
        "datasets==3.6.0", "fsspec==2025.3.0", "huggingface_hub==0.36.0", "dill==0.3.8",
        "multiprocess==0.70.16",
    ),
    "trl": ("trl==1.16.0",),
    "llamafactory": (
        "llamafactory==0.9.5", "transformers==5.6.0", "tokenizers==0.22.2", "datasets==4.0.0", "trl==0.24.0",
        "peft==0.18.1", "accelerate==1.11.0", "torchaudio==2.11.1", "torchdata==0.11.0", "fsspec==2025.3.0",
        "dill==0.3.8", "multiprocess==0.70.16", *_HUB,
    ),
    "ms-swift": (
        "ms-swift==4.6.0", "transformers==5.19.0", "datasets==4.8.4", "trl==0.29.1", "peft==0.20.0",
        "modelscope==1.40.2", "modelscope_hub==0.5.1", "qwen-vl-utils==0.0.14", "json_repair==0.64.6", *_HUB,
    ),
    "webdataset": ("webdataset==1.0.2", "braceexpand==0.1.7"),
    "open_clip": ("webdataset==0.2.86", "braceexpand==0.1.7"),  # the newest that open_clip's loader takes
}  # fmt: skip
SECONDS = 300  # that pip, or a consumer, may take on a busy machine


class Unavailable(Exception):
    """An environment cannot be made here; the sentence says why."""


def environment(name: str, wanted: tuple[str, ...] | None = None) -> Path:
    """The folder with the packages `wanted` (those of `name`), made if it is not there.

    Raises:
        Unavailable: pip cannot get one of them, or it does not fit this Python.
    """
    wanted = wanted or PACKAGES[name]
    made_of = json.dumps([sys.version_info[:2], sys.platform, os.uname().machine, wanted])
    folder = _cache() / f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"
    with _alone(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            _install(wanted, folder)
    return folder


def consume(name: str | None, script: str, *arguments: Path | str, scratch: Path, **variables: str) -> Any:
    """What tests/consumers/SCRIPT.py wrote, run in the environment `name` (None: in the one that runs now).

    It runs in `scratch`, where its caches go too, without a network.

    Raises:
        Unavailable: the environment cannot be made.
        AssertionError: the consumer failed; with the end of what it said.
    """
    folders = [REPOSITORY] if name is None else [environment(name), REPOSITORY]
    scratch.mkdir(parents=True, exist_ok=True)
    out = scratch / "seen.json"
    caches = {"HF_HOME": str(scratch / "hf"), "MODELSCOPE_CACHE": str(scratch / "modelscope")}
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    path = os.pathsep.join(map(str, folders))
    # -P: a script's neighbours are no packages
    command = [sys.executable, "-P", "-W", "ignore", str(Path(__file__).with_name(f"{script}.py"))]
    done = subprocess.run(
        [*command, *map(str, arguments), str(out)],
        cwd=scratch,
        env={**os.environ, **caches, **offline, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{name} failed in {script}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return json.loads(out.read_text(encoding="utf-8"))


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "curate-consumers"


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process after the other."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(wanted: tuple[str, ...], folder: Path) -> None:
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix="partial-"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--no-input"]
    command += ["--timeout", "30", "--retries", "1"]  # without a network the tests are to be skipped soon
    try:
        done = subprocess.run(
            [*command, "--target", str(partial), *wanted],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        shutil.rmtree(partial)
        raise Unavailable(f"pip had not installed {wanted[0]} after {SECONDS} seconds") from None
    if done.returncode:
        shutil.rmtree(partial)
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise Unavailable(f"pip cannot install {wanted[0]}: {' '.join(errors) or done.stderr[-500:]}")
    partial.rename(folder)


def main() -> None:
    """Make all of them, and say how long each took."""
    for name in PACKAGES:
        start = time.monotonic()
        try:
            said = str(environment(name))
        except Unavailable as error:
            said = str(error)
        sys.stdout.write(f"{name}: {time.monotonic() - start:.1f} s, {said}\n")


if __name__ == "__main__":
    main()
