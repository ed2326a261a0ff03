"""Questions and answers of a pool: what students learn from, and what they are asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.storage.ids import hashed, positions
from curation.storage.shown import image_numbers, joined
from curation.storage.store import Store
from scorers.answers import asked_and_told

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Questions:
    """m pairs of a question and its answer; pair j belongs to sample `sample[j]` of the pool."""

    sample: Ints  # (m,)
    question: list[str]  # (m,) without `<image>`
    answer: list[str]  # (m,)
    task: Ints  # (m,) the number of its sample's source
    tasks: list[str]  # names of sources
    images: tuple[Ints, Ints]  # offsets (n + 1,) and rows of `images`, by sample
    group: Ints  # (n,) samples that share an image or are copies have one number


def questions_of(store: Store) -> Questions:
    """Every pair of the readable samples. Earlier turns of a conversation are not part of a question."""
    checked = store.read("checked", ["source", "error"])
    sources = checked["source"].to_pylist()
    names = sorted({source for source in sources if source is not None})
    number = {name: place for place, name in enumerate(names)}
    good = checked["error"].is_null().to_numpy()
    sample: list[int] = []
    question: list[str] = []
    answer: list[str] = []
    row = 0
    for shard in store.iterate("samples", ["turns"]):
        for turns in shard["turns"].to_pylist():
            said = asked_and_told([(turn["role"], turn["text"]) for turn in turns]) if good[row] else ()
            for asked, told in said:
                sample.append(row)
                question.append(asked)
                answer.append(told)
            row += 1
    rows = np.array(sample, np.int64)
    of_sample = np.array([number.get(source, -1) for source in sources], np.int64)
    offsets, images = image_numbers(store)
    group = _groups(store, offsets, images)
    return Questions(rows, question, answer, of_sample[rows], names, (offsets, images), group)


def held_out(questions: Questions, store: Store, share: float, seed: int) -> NDArray[np.bool_]:
    """(n,) samples kept for the questions: groups drawn by a hash, about `share` of the samples."""
    drawn = hashed(store.read("checked", ["uid"])["uid"], seed)
    first = np.full(len(drawn), np.iinfo(np.uint64).max)
    np.minimum.at(first, questions.group, drawn)
    return first[questions.group] < np.uint64(share * float(np.iinfo(np.uint64).max))


def _groups(store: Store, offsets: Ints, images: Ints) -> Ints:
    """(n,) one number for samples that images or copies join, however indirectly."""
    n = len(offsets) - 1
    owner = np.repeat(np.arange(n), np.diff(offsets))
    uid = store.read("checked", ["uid"])["uid"]
    pruned = store.read("pruned", ["uid", "kept_uid"])
    copies, kept = positions(pruned["uid"], uid), positions(pruned["kept_uid"], uid)
    return joined(n, np.concatenate([owner, copies]), np.concatenate([n + images, kept]))
