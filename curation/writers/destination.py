"""Where an export will stand: a folder, or a place behind a URL. It is there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curation.storage.files import Location, is_url, locate, upload
from schemas.errors import ExportError
from schemas.protocols import Progress

SUMMARY = "curate.json"
KEY = 16  # hex digits of an export's key in the name of what is not finished


def target_of(out: Path | str) -> Location:
    """Where the export will stand; links in a path stay: it is the user's name for it."""
    if is_url(str(out)):
        return locate(str(out))
    return Path(os.path.abspath(Path(out).expanduser()))  # noqa: PTH100


def check_target(target: Location, inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse to write over anything but an earlier export, or over one of `inputs`.

    Raises:
        ExportError: it would.
    """
    if not isinstance(target, Path):
        return
    if target.exists() and not target.is_dir():
        raise ExportError(f"{target} is a file; give a folder that does not exist yet")
    if not target.exists() or not any(target.iterdir()):
        return
    if not overwrite and not (target / SUMMARY).is_file():
        raise ExportError(f"{target} is not empty; choose another folder, or replace it with --overwrite")
    if not overwrite:
        return
    held = next((path for path in inputs if path.is_relative_to(target.resolve())), None)
    if held is not None:
        raise ExportError(f"{target} holds {held}, which the export is made of; choose another folder")
    if not (target / SUMMARY).is_file():
        raise ExportError(
            f"{target} is no earlier export (it has no {SUMMARY}); remove it, or choose another folder"
        )


def held_at(target: Location) -> dict[str, Any] | None:
    """curate.json of the export that stands at `target`; None where none does."""
    try:
        tree: dict[str, Any] = json.loads((target / SUMMARY).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        tree = {}
    return {"key": "", "written": {}, "bytes": 0, **tree}


def scratch_of(target: Location) -> Path:
    """Beside what it becomes, or, for a URL, where temporary files lie."""
    return target if isinstance(target, Path) else Path(tempfile.gettempdir(), "curate-export")


@contextmanager
def unfinished(target: Location, key: str) -> Iterator[Path]:
    """The folder to write to, with what an interrupted attempt at this very export left in it."""
    if isinstance(target, Path):
        _clear(target, key)
    final = scratch_of(target)
    partial = final.with_name(f".{final.name}.{key[:KEY]}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    yield partial
    shutil.rmtree(partial, ignore_errors=True)  # moved away, but for a URL


def deliver(partial: Path, target: Location, progress: Progress) -> None:
    """Put the finished folder in its place. At a URL curate.json, by which it counts as there, comes last."""
    if isinstance(target, Path):
        _move(partial, target)
        return
    files = sorted(path for path in partial.rglob("*") if path.is_file() and path.name != SUMMARY)
    with progress.bar(f"copy to {target}", len(files) + 1, "files") as bar:
        for path in [*files, partial / SUMMARY]:
            upload(path, target / path.relative_to(partial).as_posix())
            bar.advance(1)


def push_to_hub(folder: Path, repository: str) -> None:
    """Upload the folder to a dataset of the Hub, which is made, and is private, where there is none."""
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        api.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, repo_type="dataset")
    except Exception as error:  # of four libraries below, without a common class
        raise ExportError(f"{folder} is written, but could not be pushed to {repository}: {error}") from error


def _move(partial: Path, target: Path) -> None:
    """Put the finished folder in its place; what is there goes away only then."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.is_dir():
        target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        if old.is_dir():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _clear(target: Path, key: str) -> None:
    """Remove what killed exports to `target` left beside it, but that of `key`, which goes on."""
    if not target.parent.is_dir():
        return
    for path in target.parent.iterdir():
        before, _, mark = path.stem.rpartition(".")
        if path.suffix not in (".partial", ".old") or before != f".{target.name}" or not mark.isalnum():
            continue
        if path.suffix == ".old" and not target.exists():
            path.rename(target)  # killed after it was moved away, and before another took its place
        elif path.suffix == ".old" or mark != key[:KEY]:
            shutil.rmtree(path, ignore_errors=True)
