"""Phrase grounding: which noun phrases of a text find a region of its image, by CLIP alone; no parser.

Phrases are runs of words between stop words and punctuation (the cut of RAKE, Rose et al. 2010): English,
and without a model. A phrase finds a region where its best cosine over the regions beats those of a share
FOUND of a fixed bank of phrases about other things, on the same image: cosines of two images or two encoders
do not compare, ranks do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.columns import figure
from scorers.stop_words import STOP_WORDS

FOUND = 0.9  # share of the bank that a phrase must beat
MOST_PHRASES, MOST_WORDS = 8, 4
# Shares of width and height (left, top, right, bottom): the whole, overlapping quarters, the centre.
REGIONS: tuple[tuple[float, float, float, float], ...] = (
    (0, 0, 1, 1), (0, 0, 0.6, 0.6), (0.4, 0, 1, 0.6),
    (0, 0.4, 0.6, 1), (0.4, 0.4, 1, 1), (0.2, 0.2, 0.8, 0.8),
)  # fmt: skip
_PIECE = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*|[^\s]")
_OTHER_THINGS = """
red car, wooden chair, birthday cake, snowy mountain, tennis player, traffic light, bowl of soup, bar
chart, old bridge, laptop keyboard, green apple, soccer ball, brick wall, cell nucleus, black cat, city
skyline, pie chart, railway station, garden flowers, police officer, coffee cup, desert sand, wedding
dress, solar panel, kitchen sink, fishing boat, stone statue, night sky, open book, yellow taxi,
hospital bed, parking lot, horse rider, guitar player, table of numbers, church tower, blue circle,
swimming pool, glass bottle, street sign, fire truck, baby elephant, shopping receipt, beach umbrella,
factory smoke, computer screen, apple pie, chest x-ray, rain clouds, golden coin, white rabbit, ski
slope, world map, surf board, paper envelope, chess board, space rocket, leather shoes, water molecule,
country flag, smiling face, human skeleton, line graph, lecture hall, tree branch, butterfly wings,
frozen lake, magnifying glass, pink balloon, clock face, cargo ship, farm tractor, castle ruins, pizza
slice, spider web, electric circuit, dolphin jumping, hot air balloon, alarm clock, menu button, dialog
window, command prompt, musical notes, triangle shape, purple star, orange square, ancient pottery,
volcano eruption, microscope slide, bicycle wheel, grocery store, dinner plate, window curtain, baseball
bat, sleeping dog, crowded market, handwritten letter, waterfall rocks, candle flame, snowman hat, jet
engine, bald eagle, palm tree
"""
BANK: tuple[str, ...] = tuple(" ".join(_OTHER_THINGS.split()).split(", "))


def phrases(text: str) -> list[str]:
    """At most MOST_PHRASES phrases of a text, each once, in order; runs of over MOST_WORDS words are cut.

    >>> phrases("A brown dog is running on the wet grass.")
    ['brown dog', 'running', 'wet grass']
    """
    found: dict[str, None] = {}
    run: list[str] = []
    for piece in [*_PIECE.findall(text.replace("<image>", " ")), "."]:
        word = piece.lower()
        if word[0].isalpha() and word not in STOP_WORDS and len(run) < MOST_WORDS:
            run.append(word)
            continue
        if run and len("".join(run)) > 2:
            found.setdefault(" ".join(run))
        run = [word] if word[0].isalpha() and word not in STOP_WORDS else []
    return list(found)[:MOST_PHRASES]


def beaten(best: NDArray[np.float64], bank: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of the bank's best cosines (b,) below each of `best` (n,), ties counting half."""
    ordered = np.sort(bank)
    below = np.searchsorted(ordered, best, "left") + np.searchsorted(ordered, best, "right")
    return below / (2 * len(ordered))


@dataclass(frozen=True)
class Grounded:
    """The phrases of one sample, and the share of the bank that each beats; `reason` where there are none."""

    phrases: tuple[str, ...] = ()
    ranks: tuple[float, ...] = ()  # [0, 1]
    reason: str | None = None


@dataclass(frozen=True)
class PhraseGrounding:
    """`phrase_grounding`: the share of a sample's phrases that find a region, and the weakest of them."""

    name: ClassVar[str] = "phrase_grounding"
    version: ClassVar[int] = 2
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            figure("n_phrases", range_="[0, 8]", kind=pa.int32()),
            figure("phrase_grounding", "share of phrases", "[0, 1]", "higher"),
            figure("weakest_phrase", kind=pa.string()),
            figure("weakest_phrase_rank", "share of the bank", "[0, 1]", "higher"),
            figure("phrase_reason", kind=pa.string()),
        ]
    )

    def score(self, batch: Sequence[Grounded]) -> pa.RecordBatch:
        """One row a sample; of equally weak phrases the first."""
        rows = []
        for found in batch:
            row: dict[str, object] = {"n_phrases": len(found.phrases), "phrase_reason": found.reason}
            if found.ranks:
                weakest = int(np.argmin(found.ranks))
                row |= {
                    "phrase_grounding": float(np.mean([rank >= FOUND for rank in found.ranks])),
                    "weakest_phrase": found.phrases[weakest],
                    "weakest_phrase_rank": found.ranks[weakest],
                }
            rows.append(row)
        return pa.RecordBatch.from_pylist(rows, schema=self.writes)
