"""`curate doctor`: whether this machine has what curate needs, and what to do where it has not."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from itertools import islice
from pathlib import Path
from typing import Literal

import psutil

from clustering.processor import has_bf16_instructions
from curation.models.catalogue import catalogue
from curation.models.environment import has_gpu
from curation.models.spec import CLIPS, TINY
from curation.models.towers import TOWERS
from curation.models.weights import verify_builtin
from curation.storage.files import CONFIG_FILE
from schemas.config import load, parse_bytes
from schemas.errors import CurateError, ModelUnavailable
from schemas.settings import Run

PIP = f"{sys.executable} -m pip install"
State = Literal["ok", "warning", "broken"]
OLDEST = (3, 11)
SHOWN = ("torch", "faiss-cpu", "pyarrow", "polars", "transformers", "open_clip_torch", "datasets", "pyspark")
EXTRAS = {"ocr": (("rapidocr", "onnxruntime"), "--ocr"), "s3": (("s3fs",), "workspaces and data on S3")}
SCARCE_GB, EMPTY_GB = 5.0, 0.2  # free on a disk
FILES = 1024  # that a process may open
MOST_FILES = 50_000  # of a cache that are measured


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. Only what every run needs is `broken`; `fix` goes into a shell."""

    name: str
    state: State
    says: str
    fix: str | None = None


def checks(folder: Path) -> Iterator[Check]:
    """Everything but Java and Spark, which the command line knows. `folder`: of a workspace, if any."""
    yield _python()
    yield from _packages()
    yield _torch()
    yield from _machine()
    yield _gpu()
    yield from (_disk(name, at) for name, at in (("disk", folder), ("temp", Path(tempfile.gettempdir()))))
    yield from _workspace(folder)
    yield from _caches()
    yield from _models()
    yield from _extras()
    yield _encoding()


def _python() -> Check:
    if sys.version_info < OLDEST:
        return Check("python", "broken", f"{platform.python_version()}, and 3.11 is the oldest that works")
    return Check("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _packages() -> Iterator[Check]:
    """The dependencies that the installed package declares."""
    try:
        wanted = [line for line in requires("curate") or [] if "extra ==" not in line]
    except PackageNotFoundError:  # the code alone, as on the nodes of a cluster
        wanted = list(SHOWN)
    names = re.findall(r"^[\w.-]+", "\n".join(wanted), re.MULTILINE)
    found = {name: _version(name) for name in names}
    missing = [name for name, held in found.items() if held is None]
    told = ", ".join(f"{name} {_version(name)}" for name in SHOWN)
    if missing:
        fix = f"{PIP} {' '.join(missing)}"
        yield Check("packages", "broken", f"missing: {', '.join(missing)}", fix)
    else:
        yield Check("packages", "ok", f"{told}, and {len(names) - len(SHOWN)} more")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _torch() -> Check:
    fix = f"{PIP} --force-reinstall torch"
    try:
        import faiss  # noqa: F401  # whether it loads
        import torch
    except (ImportError, OSError) as error:
        return Check("torch", "broken", f"torch or faiss does not load: {error}", fix)
    kind = torch.version.cuda and f"for CUDA {torch.version.cuda}"
    return Check("torch", "ok", f"loads, {kind or 'for CPU'}, {torch.get_num_threads()} threads")


def _machine() -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0))
    flags = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in _flags()]
    fast = "open_clip's models run twice as fast" if has_bf16_instructions() else "no bf16, so in float32"
    yield Check("processor", "ok", f"{cores} cores; {', '.join(flags) or platform.machine()}: {fast}")
    memory, limit = psutil.virtual_memory(), parse_bytes(Run().memory)
    says = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free; --memory is {limit / 1e9:g} GB"
    if memory.available < limit:
        half = max(int(memory.available / 2e9), 1)
        yield Check("memory", "warning", says, f"curate select --budget 30% --memory {half}GB")
    else:
        yield Check("memory", "ok", says)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= files < FILES:
        yield Check("files", "warning", f"a process may open {files:,} files", f"ulimit -n {FILES}")
    else:
        yield Check("files", "ok", f"a process may open {files:,} files")


def _flags() -> set[str]:
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return {flag for line in text.splitlines() if line.startswith("flags") for flag in line.split()}


def _gpu() -> Check:
    if not has_gpu():
        return Check("gpu", "ok", "none; everything runs without one")
    import torch

    if not torch.cuda.is_available():
        fix = f"{PIP} --force-reinstall torch"
        return Check("gpu", "warning", "there is one that this torch cannot use; --device cpu works", fix)
    names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    free, total = torch.cuda.mem_get_info()
    return Check("gpu", "ok", f"{', '.join(names)}; {free / 1e9:.0f} of {total / 1e9:.0f} GB free")


def _disk(name: str, at: Path) -> Check:
    usage = shutil.disk_usage(at)
    free = usage.free / 1e9
    says = f"{free:,.1f} of {usage.total / 1e9:,.1f} GB free at {at}"
    fix = "export TMPDIR=/a/larger/disk" if name == "temp" else f"df -h {at}"
    if not os.access(at, os.W_OK):
        return Check(name, "broken" if name == "temp" else "warning", f"{at} cannot be written to", fix)
    if free < EMPTY_GB:
        return Check(name, "broken", says, fix)
    return Check(name, "ok", says) if free >= SCARCE_GB else Check(name, "warning", says, fix)


def _workspace(folder: Path) -> Iterator[Check]:
    path = folder / CONFIG_FILE
    if not path.is_file():
        yield Check("workspace", "ok", f"none in {folder}")
        return
    try:
        config = load(path)
    except CurateError as error:
        yield Check("workspace", "broken", str(error), f"${{EDITOR:-vi}} {path}")
        return
    named = ", ".join(config.datasets) or "no dataset"
    yield Check("workspace", "ok", f"{folder} with {named}, model {config.embed.model}")


def _caches() -> Iterator[Check]:
    from huggingface_hub import constants

    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    places = {"hub": Path(constants.HF_HUB_CACHE), "clip": own / "clip", "curate": own / "curate"}
    for name, at in places.items():
        if at.is_dir():
            n_bytes, whole = _bytes(at)
            yield Check("cache", "ok", f"{name}: {'' if whole else 'over '}{n_bytes / 1e9:,.2f} GB at {at}")


def _bytes(folder: Path) -> tuple[int, bool]:
    """The size of a folder, and whether all of it was looked at."""
    files = (Path(at) / name for at, _, names in os.walk(folder) for name in names)
    sizes = [path.lstat().st_size for path in islice(files, MOST_FILES) if path.exists()]
    return sum(sizes), len(sizes) < MOST_FILES


def _models() -> Iterator[Check]:
    try:
        verify_builtin(CLIPS[TINY])
        for tower in TOWERS:
            tower.path()
    except ModelUnavailable as error:
        fix = f"{PIP} --force-reinstall curate"
        yield Check("models", "broken", str(error), fix)
        return
    here = [model.name for model in catalogue() if model.where != "hub"]
    yield Check("models", "ok", f"at hand: {', '.join(dict.fromkeys(here))}")


def _extras() -> Iterator[Check]:
    for extra, (packages, needed_by) in EXTRAS.items():
        held = {name: _version(name) for name in packages}
        if None in held.values():
            fix = f"{PIP} 'curate[{extra}]'"
            yield Check(extra, "ok", f"not installed; only {needed_by} needs it", fix)
        else:
            yield Check(extra, "ok", ", ".join(f"{name} {number}" for name, number in held.items()))


def _encoding() -> Check:
    name = sys.stdout.encoding or "unknown"
    if not name.lower().startswith("utf"):
        return Check(
            "terminal", "warning", f"writes {name}, which lacks many characters", "export LC_ALL=C.UTF-8"
        )
    return Check("terminal", "ok", f"writes {name}")
