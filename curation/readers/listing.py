"""Which files of a folder are data files: by suffix, in a fixed order; and how names are spelled."""

from __future__ import annotations

from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
# What tools write beside data, ours among them.
SUMMARY = "curate.json"
_NO_DATA = frozenset(
    {SUMMARY, "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "sizes.json"}
)
REJECTED = "rejected.jsonl"
_SIDECARS = frozenset({"selection.parquet", REJECTED})
_STATS = "_stats.json"  # img2dataset


def data_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files of `folder` with one of `suffixes`, sorted; those of sub-folders only if it has none itself.

    At most two levels down, as hubs lay out Parquet (`data/`, `CONFIG/SPLIT/`). Hidden files and folders
    (a workspace's `.curate`) are no data, nor is what `passed_over` names.
    """
    return _sorted_out(folder, suffixes)[0]


def passed_over(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files that `data_files` would take by their suffix, and that only tell of other files.

    Statistics and settings (`*_stats.json`, `curate.json`, `dataset_info.json`), and what img2dataset writes
    beside its images: `00000.parquet` of `00000.tar` or of the folder `00000`, `a.json` of `a.jpg`.
    """
    return _sorted_out(folder, suffixes)[1]


def legible(name: str) -> str:
    """A file name as text that a table can hold: bytes that are no UTF-8 are spelled in hex."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _sorted_out(folder: Path, suffixes: tuple[str, ...]) -> tuple[list[Path], list[Path]]:
    passed: list[Path] = []
    for pattern in ("*", "*/*", "*/*/*"):
        beside: dict[Path, set[str]] = {}
        data: list[Path] = []
        for path in folder.glob(pattern):
            if not path.name.lower().endswith(suffixes) or path.name.startswith("_"):
                continue
            if any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file():
                continue
            if path.parent not in beside:
                beside[path.parent] = {entry.name for entry in path.parent.iterdir()}
            (passed if _tells_of_others(path, beside[path.parent]) else data).append(path)
        if data:
            return sorted(data), sorted(passed)
    return [], sorted(passed)


def _tells_of_others(path: Path, beside: set[str]) -> bool:
    if path.name in _NO_DATA or path.name.endswith(_STATS):
        return True
    if path.name in _SIDECARS:
        return SUMMARY in beside
    if path.suffix == ".parquet":
        return f"{path.stem}.tar" in beside or (path.stem.isdigit() and path.stem in beside)
    return path.suffix == ".json" and any(path.stem + suffix in beside for suffix in IMAGE_SUFFIXES)
