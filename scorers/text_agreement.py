"""Text agreement: how much of what a sample says stands in the text of its pictures. Arrow in, columns out.

Charts, tables, receipts and screenshots look alike to an encoder; what tells them apart is written in them.
The weights follow from a text alone (`scorers.said`), not from the pool: on 120 pictures each the AUC of true
against shuffled pairs within receipts, charts and tables is 0.99, 0.99 and 0.98 (`python -m benchmarks.ocr`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import pyarrow as pa
from numpy.typing import NDArray

from schemas.columns import figure
from scorers.numerals import amounts, dates, numbers
from scorers.said import normal, said, words

ASKED = 0.5  # weight of what only a question says; answers tell, and questions of templates repeat
FUZZY = 6  # letters from which on one wrong letter is a slip of the reader
GLUED = 5  # characters from which on a word is also looked for inside others: readers lose spaces
_GLUE, _RUN = re.compile(r"[\W_]+"), re.compile(r"[^\W_]+")
# Why there is no agreement.
NO_IMAGE, UNREADABLE, NO_TEXT, NOTHING_SAID = "no_image", "unreadable", "no_text", "nothing_said"


@dataclass(frozen=True)
class Page:
    """The text of a sample's pictures, made ready to look facts up in it."""

    facts: frozenset[str]
    glued: str  # lines without spaces and marks
    by_length: Mapping[int, tuple[str, ...]] = field(repr=False)

    @classmethod
    def of(cls, lines: Iterable[str]) -> Page:
        """A page of the lines that were read."""
        plain = [normal(line) for line in lines]
        text = "\n".join(plain)
        # Where a letter was read as a digit (`T0TAL`), the whole run is the word.
        runs = (run for run in _RUN.findall(text) if not run.isnumeric())
        found = sorted({word.casefold() for word in (*words(text), *runs)})
        by_length = {length: tuple(some) for length, some in itertools.groupby(sorted(found, key=len), len)}
        # The numbers of a date count by themselves as well.
        facts = {*found, *numbers(text), *(day.isoformat() for day in dates(text)[0])}
        glued = "\n".join(_GLUE.sub("", line).casefold() for line in plain)
        return cls(frozenset(facts), glued, by_length)

    def shows(self, fact: str) -> bool:
        """Whether a fact of `said` stands here; a word also in singular or plural, glued, or with a slip."""
        if fact in self.facts or fact[0].isdigit():
            return fact in self.facts
        if fact.removesuffix("s") in self.facts or f"{fact}s" in self.facts:
            return True
        if len(fact) >= GLUED and fact in self.glued:
            return True
        near = (self.by_length.get(len(fact) + more, ()) for more in (-1, 0, 1) if len(fact) >= FUZZY)
        return any(one_edit(fact, other) for some in near for other in some)


def one_edit(left: str, right: str) -> bool:
    """Whether at most one letter is put in, left out or another.

    >>> one_edit("total", "totai"), one_edit("total", "tota"), one_edit("total", "tolat")
    (True, True, False)
    """
    shorter = min(len(left), len(right))
    begin = 0
    while begin < shorter and left[begin] == right[begin]:
        begin += 1
    end = 0
    while end < shorter - begin and left[-1 - end] == right[-1 - end]:
        end += 1
    return max(len(left), len(right)) - begin - end <= 1


def weighed(turns: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Each fact of the (role, text) turns of a sample and its weight, ASKED times that in questions alone."""
    found: dict[str, float] = {}
    for role, share in (("user", ASKED), ("assistant", 1.0)):
        for fact, weight in said("\n".join(text for who, text in turns if who == role)).items():
            found[fact] = max(found.get(fact, 0.0), share * weight)
    return found


def agreement(facts: Mapping[str, float], page: Page) -> float:
    """The weight of the facts that a page shows / that of all; there is one at least. In [0, 1].

    Weights are eighths, so the sums are exact in any order.
    """
    return sum(weight for fact, weight in facts.items() if page.shows(fact)) / sum(facts.values())


class Read(Protocol):
    """What `TextAgreement` reads: samples, and what was read in their images.

    `rows` has the columns `turns` and `error`; `images` has `lines`, lists of structs with a field `text`,
    `n_words` and `text_share`, all null where one could not be read. Image j of sample i is row
    `offsets[i] + j`.
    """

    @property
    def rows(self) -> pa.RecordBatch:
        """(n,) samples."""
        ...

    @property
    def offsets(self) -> NDArray[Any]:
        """(n + 1,) from 0 to the number of images."""
        ...

    @property
    def images(self) -> pa.Table | pa.RecordBatch:
        """(m,) images."""
        ...


@dataclass(frozen=True)
class TextAgreement:
    """`text_agreement`: the weighted share of what a sample says that stands in its pictures.

    Null, with a reason, where no picture has text or nothing is said that could stand in one. All columns are
    null without a picture that could be read, as in quarantine.
    """

    name: ClassVar[str] = "text_agreement"
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            figure("text_agreement", "share of what is said", "[0, 1]", "higher"),
            figure("n_image_words", "words", "[0, inf)", kind=pa.int32()),
            figure("max_text_share", "share of the area", "[0, 1]"),
            figure("image_dates", "ISO 8601", kind=pa.list_(pa.string())),
            figure("image_amounts", "numbers", kind=pa.list_(pa.string())),
            figure("text_reason", kind=pa.string()),
        ]
    )

    def score(self, batch: Read) -> pa.RecordBatch:
        """One row a sample of `batch.rows`, with the columns of `writes`."""
        images = batch.images.select(["lines", "n_words", "text_share"]).to_pylist()
        owned = itertools.starmap(slice, itertools.pairwise(batch.offsets.tolist()))
        samples = zip(batch.rows.to_pylist(), owned, strict=True)
        return pa.RecordBatch.from_pylist([_row(row, images[own]) for row, own in samples], self.writes)


def _row(sample: dict[str, Any], images: list[dict[str, Any]]) -> dict[str, Any]:
    readable = [image for image in images if image["lines"] is not None]
    if sample["error"] or not readable:
        return {"text_reason": sample["error"] or (UNREADABLE if images else NO_IMAGE)}
    lines = [line["text"] for image in readable for line in image["lines"]]
    text = "\n".join(normal(line) for line in lines)
    facts = weighed([(turn["role"] or "", turn["text"] or "") for turn in sample["turns"] or []])
    reason = None if lines and facts else (NOTHING_SAID if lines else NO_TEXT)
    return {
        "text_agreement": None if reason else agreement(facts, Page.of(lines)),
        "n_image_words": sum(image["n_words"] for image in readable),
        "max_text_share": max(image["text_share"] for image in readable),
        "image_dates": sorted({day.isoformat() for day in dates(text)[0]}),
        "image_amounts": sorted(set(amounts(text)), key=float),
        "text_reason": reason,
    }
