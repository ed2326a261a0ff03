"""Which files of a folder are data files: by suffix, in a fixed order; and how names are spelled."""

from __future__ import annotations

from pathlib import Path


def data_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files of `folder` with one of `suffixes`, sorted; those of sub-folders only if it has none itself.

    At most two levels down, as hubs lay out Parquet (`data/`, `CONFIG/SPLIT/`). Hidden files are no data.
    """
    for pattern in ("*", "*/*", "*/*/*"):
        found = [
            path
            for path in folder.glob(pattern)
            if path.name.lower().endswith(suffixes)
            and not path.name.startswith((".", "_"))
            and path.is_file()
        ]
        if found:
            return sorted(found)
    return []


def legible(name: str) -> str:
    """A file name as text that a table can hold: bytes that are no UTF-8 are spelled in hex."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
