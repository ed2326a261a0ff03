"""Which format some data is in: told by names, first bytes and the first records, never by reading it all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from curation.readers import coco, csv_rows, path_list, scanner, webdataset
from curation.readers.compressed import opened, plain_suffix
from curation.readers.hf_disk import HfDisk
from curation.readers.image_folder import ImageFolder
from curation.readers.json_records import SUFFIXES, layout_of
from curation.readers.keys import NO_KEYS, Keys
from curation.readers.listing import data_files, passed_over
from curation.readers.llama_factory import LlamaFactory
from curation.readers.records import BadRecord, parse
from curation.readers.shapes import SHAPES, schema_of
from curation.readers.unsupported import reason
from schemas.errors import ReadError

KNOWN = (
    "LLaVA JSON, OpenAI messages, ShareGPT and other conversations in JSON, CSV, Parquet, a dataset saved "
    "with save_to_disk, WebDataset (tar), COCO's captions, a folder of LLaMA-Factory, a folder of images, a "
    "list of paths"
)
_CONTAINERS = {"parquet": (".parquet",), "webdataset": webdataset.SUFFIXES}
# Those that are told apart here; a reader besides them says by `files` what is its own.
RECOGNISED = frozenset(
    {
        *SHAPES,
        *_CONTAINERS,
        *(kind.name for kind in (HfDisk, ImageFolder, LlamaFactory, coco.Coco, csv_rows.Csv)),
        path_list.PathList.name,
    }
)
_PEEKED_RECORDS = 100


@dataclass(frozen=True)
class Recognised:
    """The name of the reader for some data, by what it was told, and files that are none of its data."""

    name: str
    how: str
    passed: tuple[Path, ...] = ()


def recognise(path: Path, keys: Keys = NO_KEYS) -> Recognised:
    """What `path` is, a file or a folder.

    Raises:
        ReadError: it does not exist, holds no known format, or holds several.
    """
    if path.is_file():
        if LlamaFactory().files(path):
            return Recognised(LlamaFactory.name, f"{path.name} names the files")
        return _of_file(path, keys)
    if not path.is_dir():
        raise ReadError(f"{path} does not exist")
    if HfDisk().files(path):
        return Recognised(HfDisk.name, "saved with save_to_disk")
    if LlamaFactory().files(path):
        return Recognised(LlamaFactory.name, "dataset_info.json names the files")
    return _of_folder(path, keys)


def _of_folder(path: Path, keys: Keys) -> Recognised:
    every = (*SUFFIXES, *(suffix for suffixes in _CONTAINERS.values() for suffix in suffixes))
    passed = tuple(passed_over(path, every))
    found: dict[str, list[Path]] = {}
    how: dict[str, str] = {}
    for name, suffixes in _CONTAINERS.items():
        found[name] = data_files(path, suffixes)
        how[name] = f"{len(found[name])} of its files end with {' or '.join(suffixes[:2])}"
    for file in data_files(path, SUFFIXES):
        told = _of_file(file, keys)
        found.setdefault(told.name, []).append(file)
        how.setdefault(told.name, told.how)
    tables = data_files(path, csv_rows.SUFFIXES)
    if tables and not any(found.values()):
        try:
            how[csv_rows.Csv.name] = _of_table(tables[0], keys).how
            found[csv_rows.Csv.name] = tables
        except ReadError:
            if not ImageFolder().files(path):
                raise
            passed = (*passed, *tables)  # notes beside images
    found = {name: files for name, files in found.items() if files}
    if len(found) > 1:
        examples = ", ".join(f"{files[0].relative_to(path)} ({name})" for name, files in found.items())
        raise ReadError(f"{path} holds several formats: {examples}; give one file or folder for each")
    if not found and ImageFolder().files(path):
        return Recognised(
            ImageFolder.name, "a folder of them, captions in the .txt of the same name, if any", passed
        )
    if not found:
        raise ReadError(f"{path} holds {_contents(path)}; known formats are {KNOWN}")
    name = next(iter(found))
    return Recognised(name, how[name], passed)


def _of_file(path: Path, keys: Keys) -> Recognised:
    for name, suffixes in _CONTAINERS.items():
        if path.name.lower().endswith(suffixes):
            return Recognised(name, f"its name ends with {path.suffix}")
    with opened(path) as handle:
        head = handle.read(1 << 16)
    if head.startswith(b"PAR1"):
        return Recognised("parquet", "its first bytes")
    if head[257:262] == b"ustar":
        return Recognised("webdataset", "its first bytes are those of a tar")
    if path.suffix == ".arrow" or head.startswith(b"\xff\xff\xff\xff"):  # the mark of an Arrow stream
        return Recognised(HfDisk.name, "an Arrow stream")
    if path.name.lower().endswith(csv_rows.SUFFIXES):
        return _of_table(path, keys)
    if plain_suffix(path) in (".txt", ".lst", ".list") and path_list.lists_images(head):
        return Recognised(path_list.PathList.name, "each line is the path of an image")
    if plain_suffix(path) == ".json" and coco.is_coco(path):
        return Recognised(coco.Coco.name, "one object with images and annotations")
    return _of_records(path, keys)


def _of_table(path: Path, keys: Keys) -> Recognised:
    names = csv_rows.Csv(keys).table(path).names
    return Recognised(csv_rows.Csv.name, f"columns {', '.join(names[:8])}")


def _of_records(path: Path, keys: Keys) -> Recognised:
    """The schema most of the first records follow; images tell ShareGPT from text-only OpenAI messages."""
    counts: Counter[str] = Counter()
    named: list[str] = []
    others: list[str] = []
    for record in _first_records(path):
        if name := schema_of(keys.renamed(record)):
            counts[name] += 1
            named = named or [str(key)[:40] for key in record][:8] if isinstance(record, dict) else named
        elif isinstance(record, dict):
            if reason(record) is not None:  # will be in quarantine, whatever reads it
                continue
            others = others or [str(key) for key in record]
    if counts["messages"] and counts["sharegpt"]:  # `messages` with texts only fit both; parts fit one
        counts["messages"] += counts["sharegpt"]
    if counts:
        return Recognised(counts.most_common(1)[0][0], f"records with keys {', '.join(named)}")
    what = f"records with keys {', '.join(others[:12])}" if others else "no record that can be read"
    raise ReadError(
        f"{path} holds {what}; known formats are {KNOWN}. --image-key and --text-key say how image and "
        "caption are called"
    )


def _first_records(path: Path) -> list[object]:
    found: list[object] = []
    with opened(path) as handle:
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
