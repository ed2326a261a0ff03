"""Which paths the data of a dataset stands for: one file or folder, or several by a pattern."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ReadError

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MAGIC = re.compile(r"[*?\[{]")
_MOST = 1_000_000


@dataclass(frozen=True)
class Inputs:
    """The paths of a dataset, in order, and the folder that the names of their files are relative to."""

    folder: Path
    paths: tuple[Path, ...]
    origin: str | None = None  # the URL where image paths begin, of files that were copied from there alone


def inputs(path: Path) -> Inputs:
    """What `path` stands for: itself, or what matches it as a pattern (`*.jsonl`, `{00000..00099}.tar`).

    Raises:
        ReadError: nothing is there.
    """
    if path.exists():
        return Inputs(path if path.is_dir() else path.parent, (path,))
    if not _MAGIC.search(str(path)):
        raise ReadError(f"{path} does not exist")
    found: list[Path] = []
    for pattern in expanded(str(path)):
        matches = sorted(glob.glob(pattern, recursive=True)) if _MAGIC.search(pattern) else [pattern]  # noqa: PTH207  # of absolute patterns
        if not matches or not Path(matches[0]).exists():
            raise ReadError(f"{path} stands for {pattern}, among others, and there is no such file")
        found += [Path(match) for match in matches]
    if not found:
        raise ReadError(f"{path} stands for no file")
    return Inputs(_fixed(path), tuple(dict.fromkeys(found)))


def _fixed(pattern: Path) -> Path:
    """The folder before the first part of `pattern` that is one."""
    parts = pattern.parts
    first = next(at for at, part in enumerate(parts) if _MAGIC.search(part))
    return Path(*parts[:first])


def expanded(pattern: str) -> list[str]:
    """`{a,b}` and `{00..12}` written out, as shells do; the number of digits of the first bound stays."""
    found = _BRACES.search(pattern)
    if found is None:
        return [pattern]
    numbers = _RANGE.fullmatch(found[1])
    if numbers:
        first, last = int(numbers[1]), int(numbers[2])
        if last - first >= _MOST:
            raise ReadError(f"{pattern} stands for more than {_MOST:,} files")
        choices = [str(n).zfill(len(numbers[1])) for n in range(first, last + 1)]
    else:
        choices = found[1].split(",")
    before, behind = pattern[: found.start()], pattern[found.end() :]
    return [each for choice in choices for each in expanded(f"{before}{choice}{behind}")]
