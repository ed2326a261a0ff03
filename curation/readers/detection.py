"""Which format some data is in: told by names, first bytes and the first records, never by reading it all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from curation.readers import scanner
from curation.readers.hf_disk import HfDisk
from curation.readers.image_folder import ImageFolder
from curation.readers.json_records import SUFFIXES, layout_of
from curation.readers.listing import data_files
from curation.readers.records import BadRecord, parse
from curation.readers.shapes import SHAPES, schema_of
from schemas.errors import ReadError

KNOWN = (
    "LLaVA JSON, OpenAI messages, ShareGPT, Parquet, a dataset saved with save_to_disk, WebDataset (tar), "
    "a folder of images"
)
_CONTAINERS = {"parquet": (".parquet",), "webdataset": (".tar", ".tar.gz", ".tgz", ".tar.zst")}
# Those that are told apart here; a reader besides them says by `files` what is its own.
RECOGNISED = frozenset({*SHAPES, *_CONTAINERS, HfDisk.name, ImageFolder.name})
_PEEKED_RECORDS = 100


def format_of(path: Path) -> str:
    """The name of the reader for `path`, a file or a folder.

    Raises:
        ReadError: it does not exist, holds no known format, or holds several.
    """
    if path.is_file():
        return _format_of_file(path)
    if not path.is_dir():
        raise ReadError(f"{path} does not exist")
    if HfDisk().files(path):
        return HfDisk.name
    found = {name: data_files(path, suffixes) for name, suffixes in _CONTAINERS.items()}
    for file in data_files(path, SUFFIXES):
        found.setdefault(_format_of_file(file), []).append(file)
    found = {name: files for name, files in found.items() if files}
    if len(found) > 1:
        examples = ", ".join(f"{files[0].relative_to(path)} ({name})" for name, files in found.items())
        raise ReadError(f"{path} holds several formats: {examples}; give one file or folder for each")
    if not found and ImageFolder().files(path):
        return ImageFolder.name
    if not found:
        raise ReadError(f"{path} holds {_contents(path)}; known formats are {KNOWN}")
    return next(iter(found))


def _format_of_file(path: Path) -> str:
    for name, suffixes in _CONTAINERS.items():
        if path.name.lower().endswith(suffixes):
            return name
    with path.open("rb") as handle:
        head = handle.read(512)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head[257:262] == b"ustar":
        return "webdataset"
    if path.suffix == ".arrow" or head.startswith(b"\xff\xff\xff\xff"):  # the mark of an Arrow stream
        return HfDisk.name
    return _json_format(path)


def _json_format(path: Path) -> str:
    """The schema most of the first records follow; images tell ShareGPT from text-only OpenAI messages."""
    counts: Counter[str] = Counter()
    keys: list[str] = []
    for record in _first_records(path):
        if name := schema_of(record):
            counts[name] += 1
        elif isinstance(record, dict):
            keys = keys or [str(key) for key in record]
    if counts["messages"] and counts["sharegpt"]:  # `messages` with texts only fit both; parts fit one
        return "messages"
    if counts:
        return counts.most_common(1)[0][0]
    what = f"records with keys {', '.join(keys[:12])}" if keys else "no record that can be read"
    raise ReadError(f"{path} holds {what}; known formats are {KNOWN}")


def _first_records(path: Path) -> list[object]:
    found: list[object] = []
    with path.open("rb") as handle:
        layout = layout_of(handle, path)
        handle.seek(layout.begin)
        pieces = scanner.whole_pieces(handle, layout.separators(), layout.line, chunk_bytes=1 << 20)
        places = [piece for _, piece in zip(range(_PEEKED_RECORDS), pieces, strict=False)]
        for piece in places:
            handle.seek(piece.begin)
            try:
                found.append(parse(handle.read(piece.end - piece.begin)))
            except BadRecord:
                continue
    return found


def _contents(folder: Path) -> str:
    counts = Counter(entry.suffix or "no suffix" for entry in folder.iterdir() if entry.is_file())
    folders = sum(entry.is_dir() for entry in folder.iterdir())
    named = [f"{count} {suffix}" for suffix, count in counts.most_common(5)]
    return ", ".join([*named, *([f"{folders} folders"] if folders else [])]) or "nothing"
