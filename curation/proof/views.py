"""What a student sees: vectors of the pool's encoder, or figures that no encoder made."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.proof.questions import Questions
from curation.storage.files import Location, put
from curation.storage.rows import vectors
from curation.storage.store import Store
from schemas.protocols import Encoder, Progress
from schemas.tables import key_of

Floats = NDArray[np.float32]
WORDS = 1024  # buckets that words are hashed to
FIGURES = ("brightness", "contrast", "blur", "entropy", "sharpness", "edges", "grey_share")
_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_BATCH = 64


@dataclass(frozen=True)
class View:
    """What is seen of m pairs, and what is to be said: rows beside each other."""

    name: str
    x: Floats  # (m, p)
    y: Floats  # (m, d) unit length


def encoder_view(store: Store, questions: Questions, encoder: Encoder, key: Any, progress: Progress) -> View:
    """Image, question, and their product, in the space of the pool's encoder; answers in its space of texts.

    `key` says what the encoder is: vectors of texts are kept beside the tables, and computed once.
    """
    table = np.concatenate([vectors(part["vector"]) for part in store.iterate("image_vectors", ["vector"])])
    shown = _mean(table, questions)[questions.sample]
    asked, said = (
        _encoded(store.root / "proof", texts, encoder, key, progress)
        for texts in (questions.question, questions.answer)
    )
    both = shown * asked * np.float32(np.sqrt(shown.shape[1]))
    return View("encoder", np.hstack([shown, asked, both]), said)


def plain_view(store: Store, questions: Questions) -> View:
    """Hashes and figures of the images, and words of the questions: it shares nothing with CLIP."""
    columns = ["phash256", *FIGURES]
    parts = [_figures(part.select(columns).to_pylist()) for part in store.iterate("images", columns)]
    table = np.concatenate(parts)
    table[:, 256:] = (table[:, 256:] - table[:, 256:].mean(0)) / (table[:, 256:].std(0) + 1e-6)
    shown = _mean(table, questions)[questions.sample] / np.sqrt(table.shape[1])
    asked, said = _bags(questions.question), _bags(questions.answer)
    return View("plain", np.hstack([shown, asked]).astype(np.float32), said)


def _mean(table: Floats, questions: Questions) -> Floats:
    """(n, d) the mean over each sample's images; zeros without any."""
    offsets, rows = questions.images
    out = np.zeros((len(offsets) - 1, table.shape[1]), np.float32)
    owner = np.repeat(np.arange(len(out)), np.diff(offsets))
    np.add.at(out, owner, table[rows])
    counts = np.maximum(np.diff(offsets), 1).astype(np.float32)
    out /= counts[:, None]
    return out


def _encoded(
    folder: Location, texts: Sequence[str], encoder: Encoder, key: Any, progress: Progress
) -> Floats:
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    path = folder / f"{key_of([key, distinct])}.npy"
    place = {text: row for row, text in enumerate(distinct)}
    if path.exists():
        made = np.frombuffer(path.read_bytes(), np.float32).reshape(len(distinct), -1)
    else:
        made = _embedded(distinct, encoder, progress)
        put(path, made.tobytes())
    return made[[place[text] for text in texts]]


def _embedded(texts: Sequence[str], encoder: Encoder, progress: Progress) -> Floats:
    """A vector a text; of a long one only what fits into the encoder."""
    parts = [np.zeros((0, encoder.dim), np.float32)]
    with progress.bar("read questions and answers", len(texts), "texts") as bar:
        for start in range(0, len(texts), _BATCH):
            batch = [encoder.split(text)[0] if text else " " for text in texts[start : start + _BATCH]]
            tokens = encoder.tokenize(batch)
            length = int(encoder.used_lengths(tokens).max())
            parts.append(encoder.encode_texts(tokens[:, :length]))
            bar.advance(len(batch))
    return np.concatenate(parts)


def _figures(rows: list[dict[str, Any]]) -> Floats:
    out = np.zeros((len(rows), 256 + len(FIGURES)), np.float32)
    for at, row in enumerate(rows):
        if row["phash256"]:
            bits = np.unpackbits(np.frombuffer(row["phash256"], np.uint8))
            out[at, :256] = 2.0 * bits - 1.0
        out[at, 256:] = [row[name] or 0.0 for name in FIGURES]
    return out


def _bags(texts: Sequence[str]) -> Floats:
    """(m, WORDS) words and pairs of words, hashed with a sign (Weinberger et al. 2009), of unit length."""
    out = np.zeros((len(texts), WORDS), np.float32)
    for at, text in enumerate(texts):
        said = _WORD.findall(text.lower())[:256]
        for word in [*said, *map(" ".join, pairwise(said))]:
            code = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
            out[at, code % WORDS] += 1.0 if code >> 63 else -1.0
    norm = np.linalg.norm(out, axis=1, keepdims=True)
    bags: Floats = out / np.maximum(norm, 1e-6)
    return bags
