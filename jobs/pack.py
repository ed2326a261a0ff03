"""What travels to a cluster: our code as one archive, and the environment as another.

Spark does not unpack `--py-files`, and the built-in model's weights must be opened as files; so the code goes
as an archive, which every node unpacks into a folder of its own.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import time
import zipfile
from pathlib import Path

from schemas.errors import CurateError

UNPACKED = "curate_src"  # the folder of a container that the code is unpacked to
PACKAGES = ("schemas", "scorers", "clustering", "curation", "jobs")
ROOT = Path(__file__).resolve().parents[1]
EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can state
KEPT_DAYS = 30


def cache() -> Path:
    """The folder of the archives. They are named by their content, as a running job may still fetch them."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "curate" / "submit"


def code_bytes(root: Path = ROOT) -> bytes:
    """The five packages with all their files as a zip: the same files give the same bytes, wherever they lie.

    Stored, not deflated: what zlib makes of a file depends on its build, and most of this is weights.
    """
    paths = [path for package in PACKAGES for path in (root / package).rglob("*") if path.is_file()]
    named = {path.relative_to(root).as_posix(): path for path in paths if "__pycache__" not in path.parts}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(named):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, named[name].read_bytes())
    return buffer.getvalue()


def code_path(content: bytes) -> Path:
    """Where the archive of the code lies, or will lie."""
    return cache() / f"curate-{_digest(content)}.zip"


def environment_path() -> Path:
    """Where the archive of this environment lies, or will lie, by the packages and versions that it holds.

    Raises:
        CurateError: this interpreter is in no virtual environment.
    """
    from importlib.metadata import distributions

    if (Path(sys.prefix) / "conda-meta").is_dir():
        raise CurateError(
            "this is a conda environment: pack it with `conda-pack -o env.tar.gz` and "
            "give --archive env.tar.gz"
        )
    if sys.prefix == sys.base_prefix:
        raise CurateError(
            f"--env archive packs a virtual environment, and {sys.executable} is in none; run curate from "
            "one, or give one that is packed with --archive PATH"
        )
    held = sorted(f"{found.name}=={found.version}" for found in distributions())
    return cache() / f"env-{_digest(repr((sys.prefix, sys.version, held)).encode())}.tar.gz"


def write_code(path: Path, content: bytes) -> None:
    """Put the archive of the code at `path`, and remove those that nobody has asked for in a month."""
    path.parent.mkdir(parents=True, exist_ok=True)
    limit = time.time() - KEPT_DAYS * 86400
    for old in [*path.parent.glob("curate-*.zip"), *path.parent.glob("env-*.tar.gz")]:
        if old.stat().st_mtime < limit:
            old.unlink(missing_ok=True)
    if path.exists():
        path.touch()
        return
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)


def write_environment(path: Path) -> None:
    """Pack this environment to `path`, unless it is there. Takes minutes where torch is in it.

    Raises:
        CurateError: venv-pack refuses it.
    """
    from venv_pack import VenvPackException, pack

    if path.exists():
        path.touch()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{os.getpid()}.tar.gz")
    try:
        pack(prefix=sys.prefix, output=str(partial), compress_level=1)
    except VenvPackException as error:
        reason = " ".join(str(error).split())
        raise CurateError(
            f"venv-pack cannot pack {sys.prefix}: {reason}; install them plainly (`pip install .`), or "
            "give an environment that is packed with --archive PATH"
        ) from None
    partial.replace(path)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
