"""Registries do what they say: a toy of each kind is added by the steps of CONTRIBUTING, and then is used."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from curation.generate.pool import write_pool
from curation.models.encoder import OpenClip
from curation.models.encoders import kind_of
from curation.readers import detect, reader
from curation.selectors import selector
from curation.storage.store import Store
from curation.writers import writer
from schemas.errors import ConfigError, ExportError, ReadError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "scorers", "clustering", "curation", "jobs")
MODEL = "toy:16"
WHERE = "toy_letters > 40"

SCORER = '''
from typing import ClassVar

import pyarrow as pa

from schemas.columns import figure


class Toy:
    """Letters of what a sample says."""

    name: ClassVar[str] = "toy"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("turns",)
    writes: ClassVar[pa.Schema] = pa.schema([figure("toy_letters", "letters", "[0, inf)", "higher")])

    def score(self, batch):
        letters = [sum(len(turn["text"]) for turn in turns) for turns in batch["turns"].to_pylist()]
        return pa.record_batch([pa.array(letters, pa.float32())], schema=self.writes)
'''
SELECTOR = '''
from typing import ClassVar

import numpy as np

from curation.selectors.spec import Plain


class Toy(Plain):
    """Whose uid is the highest."""

    name: ClassVar[str] = "toy"
    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, table, n, seed):
        uids = table["uid"].to_list()
        return np.array(sorted(range(len(uids)), key=uids.__getitem__, reverse=True)[:n], np.int64)
'''
READER = '''
from itertools import islice

from schemas.protocols import ImageAt, Record, Span


class Toy:
    """Lines of image, question and answer."""

    name, version = "toy", 1

    def files(self, path):
        return [path] if path.suffix == ".toy" else []

    def spans(self, file, rows):
        with file.open("rb") as handle:
            total = sum(1 for _ in handle)
        for first in range(0, total, rows):
            n = min(rows, total - first)
            yield Span(first, n, first, n)

    def read(self, file, span):
        with file.open("rb") as handle:
            lines = islice(handle, span.offset, span.offset + span.length)
            for at, raw in enumerate(lines, span.first_record):
                image, question, answer = raw.decode().rstrip("\\n").split("\\t")
                turns = (("user", f"<image>\\n{question}"), ("assistant", answer))
                yield Record(str(at), raw, record_id=f"line {at}", turns=turns, images=(ImageAt(image),))
'''
SHAPE = """
from curation.readers.records import Shape, location


def _fits(record):
    return {"picture", "ask", "tell"} <= set(record)


def _read(record):
    turns = (("user", f"<image>\\n{record['ask']}"), ("assistant", record["tell"]))
    return turns, (location(record["picture"], "'picture'"),)


TOY = Shape(_fits, _read)
"""
WRITER = '''
from typing import ClassVar


class Toy:
    """The uids, a line each."""

    name: ClassVar[str] = "toy"
    images: ClassVar[tuple] = ("paths",)
    scored: ClassVar[bool] = False
    loading: ClassVar[dict] = {"Python": 'open("FOLDER/train.txt").readlines()'}

    def files(self, split, *, alone):
        return ""

    def write(self, out, splits, facts):
        for split, batches in splits.items():
            uids = [uid.hex() for batch in batches for uid in batch["uid"].to_pylist()]
            (out / f"{split}.txt").write_text("".join(f"{uid}\\n" for uid in uids))
        return {"n_lines": len(uids)}
'''
ENCODER = '''
from typing import ClassVar
from zlib import crc32

import numpy as np


def unit(values):
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


class ToyEncoder:
    """The first pixels of an image; how often words of each kind occur in a text."""

    context_length, image_size = 32, (8, 8)

    def __init__(self, name):
        self.name, self.dim = name, int(name.partition(":")[2])

    def preprocess(self, image):
        return np.asarray(image.convert("RGB").resize((8, 8)), np.uint8).transpose(2, 0, 1).copy()

    def encode_images(self, pixels):
        return unit(pixels.reshape(len(pixels), -1)[:, : self.dim] + 1.0)

    def count_tokens(self, text):
        return len(text.split())

    def split(self, text):
        words = text.split()
        return [" ".join(words[i : i + 32]) for i in range(0, len(words), 32)]

    def tokenize(self, texts):
        tokens = np.zeros((len(texts), 32), np.int64)
        for row, text in zip(tokens, texts):
            words = text.split()[:32]
            row[: len(words)] = [1 + crc32(word.encode()) % 1000 for word in words]
        return tokens

    def used_lengths(self, tokens):
        return np.maximum((tokens > 0).sum(axis=1), 1)

    def encode_texts(self, tokens):
        counts = [np.bincount(row[row > 0] % self.dim, minlength=self.dim) for row in tokens]
        return unit(np.array(counts) + 0.01)


class Toy:
    """`toy:DIM`."""

    packages: ClassVar[tuple[str, ...]] = ("numpy",)

    def identity(self, model):
        return {"model": model}

    def load(self, model, *, device, dtype):
        return ToyEncoder(model)
'''


class Kind(NamedTuple):
    """A section of CONTRIBUTING, and what is added by it: its name, and its file."""

    title: str
    name: str
    text: str


KINDS = {
    kind.title: kind
    for kind in (
        Kind("Add a scorer", "toy", SCORER),
        Kind("Add a selector", "toy", SELECTOR),
        Kind("Add a reader", "toy", READER),
        Kind("Add a reader of records in JSON", "toy_pairs", SHAPE),
        Kind("Add a writer", "toy", WRITER),
        Kind("Add an encoder", "toy", ENCODER),
    )
}


class Steps(NamedTuple):
    """What a section says: the file to write, and the dict, its file and the line to add there."""

    file: str
    registry: str
    where: str
    line: str


def steps(kind: Kind) -> Steps:
    """The steps of a section, with the toy's names for those that stand for any."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {kind.title}\n")[2].partition("\n## ")[0]
    (file,) = re.findall(r"Write `([\w/]+/NAME\.py)`", section)
    ((registry, where, line),) = re.findall(
        r"Add its line to `(\w+)`\s+in `([\w/]+\.py)`: `([^`]+)`", section
    )
    line = line.replace("NAME", kind.name).replace("Name", "Toy").replace("SHAPE", "TOY")
    return Steps(file.replace("NAME", kind.name), registry, where, line)


def add(tree: Path, kind: Kind) -> None:
    """Do what the section says: one new file; one line in the dict, and the import of what it names."""
    file, registry, where, line = steps(kind)
    assert not (tree / file).exists()
    (tree / file).write_text(kind.text, encoding="utf-8")
    text = (tree / where).read_text(encoding="utf-8")
    (named,) = re.findall(r"\bT(?:oy|OY)\b", line)
    module = file.removesuffix(".py").replace("/", ".")
    text, n = re.subn(rf"^{registry}: .*= \{{\n", rf"\g<0>    {line}\n", text, flags=re.MULTILINE)
    assert n == 1, f"{where} has {n} dicts {registry}"
    future = "from __future__ import annotations\n"
    text = text.replace(future, f"{future}\nfrom {module} import {named}\n", 1)
    (tree / where).write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Ran:
    """A workspace that commands of the changed code have made of two datasets, both in formats of toys."""

    folder: Path
    by_uid: list[dict[str, Any]]  # the selection by the toy
    exported: dict[str, Any]  # what the export said; it is of a selection by the toy scorer's column

    @property
    def store(self) -> Store:
        return Store(self.folder / ".curate")

    def column(self, table: str, name: str) -> list[Any]:
        found: list[Any] = self.store.read(table, [name])[name].to_pylist()
        return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with a toy of each kind."""
    folder = tmp_path_factory.mktemp("tree")
    weights = ROOT / "curation" / "models" / "builtin"

    def left_out(where: str, names: list[str]) -> set[str]:
        return {"__pycache__"} | (set(names) if Path(where) == weights else set())

    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=left_out)
    for kind in KINDS.values():
        add(folder, kind)
    return folder


@pytest.fixture(scope="module")
def ran(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("work")
    write_datasets(folder)
    choosing = ["--budget", "50%", "--no-default-filters", "--no-semantic", "--capability", "none"]
    choosing += ["--where", WHERE]
    top = ["--strategy", "top:toy_letters", "--format", "toy", "--out", "subset"]
    curate(tree, folder, "init", "lines.toy", "pairs.jsonl", "--images", "pool", "--model", MODEL)
    curate(tree, folder, "select", *choosing, "--strategy", "toy")
    by_uid = Store(folder / ".curate").read("selection").to_pylist()
    exported = curate(tree, folder, "export", *choosing, *top)
    return Ran(folder, by_uid, exported)


def write_datasets(folder: Path) -> None:
    """The pictured samples of a small pool: half as lines, half as JSON of another shape."""
    write_pool(folder / "pool", 48, seed=1)
    records = json.loads((folder / "pool" / "pool.json").read_text())
    pairs = []
    for record in records:
        if "image" in record:
            asked, told = (turn["value"] for turn in record["conversations"][:2])
            pairs.append(
                (record["image"], *(" ".join(text.replace("<image>", "").split()) for text in (asked, told)))
            )
    (folder / "lines.toy").write_text("".join("\t".join(pair) + "\n" for pair in pairs[::2]))
    shaped = [dict(zip(("picture", "ask", "tell"), pair, strict=True)) for pair in pairs[1::2]]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in shaped))


def curate(tree: Path, folder: Path, *words: str) -> Any:
    """What `curate ... --json` of the code in `tree` prints."""
    done = python(tree, folder, "-m", "jobs", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def python(path: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python in `folder`, with `path` before all that is installed."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


# --- a toy of each kind ------------------------------------------------------------------------------------


def test_a_scorer_writes_its_column_which_filters_and_strategies_know(ran: Ran) -> None:
    letters = ran.column("toy", "toy_letters")
    turns, errors = ran.column("samples", "turns"), ran.column("checked", "error")
    assert len(set(letters)) > 10
    for said, error, score in zip(turns, errors, letters, strict=True):
        assert score == (None if error else sum(len(turn["text"]) for turn in said))
    rows = ran.store.read("selection").to_pylist()
    picked = sorted((row["rank"], score) for row, score in zip(rows, letters, strict=True) if row["keep"])
    scores = [score for _, score in picked]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 40
    filtered = [score for row, score in zip(rows, letters, strict=True) if row["clause"] == WHERE]
    assert 0 < max(filtered) <= 40


def test_a_selector_chooses(ran: Ran) -> None:
    kept = sorted((row["rank"], row["uid"]) for row in ran.by_uid if row["keep"])
    candidates = [row["uid"] for row in ran.by_uid if row["reason"] in ("kept", "over_budget")]
    assert 0 < len(kept) < len(candidates)
    assert [uid for _, uid in kept] == sorted(candidates, reverse=True)[: len(kept)]


@pytest.mark.parametrize(("dataset", "file"), [("lines", "lines.toy"), ("pairs", "pairs.jsonl")])
def test_a_reader_is_recognised_and_reads(ran: Ran, dataset: str, file: str) -> None:
    assert "format" not in (ran.folder / "curate.toml").read_text()
    samples = ran.store.read("samples", ["dataset", "images", "error"]).to_pylist()
    found = [sample for sample in samples if sample["dataset"] == dataset]
    assert len(found) == len((ran.folder / file).read_text().splitlines())
    read = [sample for sample in found if sample["error"] is None]
    assert len(read) > 10
    assert {len(sample["images"]) for sample in read} == {1}


def test_a_writer_exports(ran: Ran) -> None:
    out = ran.folder / "subset"
    rows = ran.store.read("selection").to_pylist()
    kept = [row["uid"].hex() for row in rows if row["keep"]]
    assert (out / "train.txt").read_text().split() == kept
    assert (ran.exported["format"], ran.exported["n_lines"]) == ("toy", len(kept))
    assert 'open("FOLDER/train.txt")' in (out / "README.md").read_text()


def test_an_encoder_makes_the_vectors(ran: Ran) -> None:
    stage = ran.store.manifest("image_vectors").stage
    assert stage["params"]["model"]["identity"] == {"model": MODEL}
    vectors = np.array([vector for vector in ran.column("vectors", "image") if vector is not None])
    assert vectors.shape[1] == 16
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors > 0).all()  # as pixels are


# --- and without it ----------------------------------------------------------------------------------------


def test_nobody_knows_the_toys_without_these_steps(ran: Ran) -> None:
    with pytest.raises(ConfigError, match="no selection strategy 'toy'"):
        selector("toy")
    with pytest.raises(ReadError, match="no format 'toy'"):
        reader("toy")
    for file in ("lines.toy", "pairs.jsonl"):
        with pytest.raises(ReadError, match=file):
            detect(ran.folder / file)
    with pytest.raises(ExportError, match="no format 'toy'"):
        writer("toy")
    assert isinstance(kind_of(MODEL), OpenClip)


# --- from another package ----------------------------------------------------------------------------------

ASKED = """
from pathlib import Path
from curation.models.encoders import kind_of
from curation.readers import detect, reader
from curation.selectors import selector
from curation.writers import writer

for found in (selector("toy"), reader("toy"), detect(Path("lines.toy")), writer("toy"), kind_of("toy:16")):
    print(type(found).__module__)
"""


def test_another_package_adds_the_same_by_entry_points(ran: Ran, tmp_path: Path) -> None:
    offers = {
        "selectors": (SELECTOR, "Toy.parse"),
        "readers": (READER, "Toy"),
        "writers": (WRITER, "Toy"),
        "encoders": (ENCODER, "Toy"),
    }
    info = tmp_path / "toys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    lines = []
    for group, (text, value) in offers.items():
        (tmp_path / f"toy_{group}.py").write_text(text)
        lines.append(f"[curation.{group}]\ntoy = toy_{group}:{value}\n")
    (info / "entry_points.txt").write_text("".join(lines))
    done = python(tmp_path, ran.folder, "-c", ASKED)
    assert done.returncode == 0, done.stderr
    expected = ["toy_selectors", "toy_readers", "toy_readers", "toy_writers", "toy_encoders"]
    assert done.stdout.split() == expected


# --- one name in two places --------------------------------------------------------------------------------


def test_the_driver_looks_for_the_code_where_the_archive_is_unpacked() -> None:
    app, pack = (importlib.import_module(f"jobs.{name}") for name in ("app", "pack"))
    assert app.UNPACKED == pack.UNPACKED
