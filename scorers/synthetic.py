"""Synthetic quality: the flags of a sample, and one number of how good generated data it is. Arrow only.

    synthetic_quality = fidelity * (2 + scope + agreement) / 4

in [0, 1], higher is better; a part that cannot be computed counts one half. After mmE5's three criteria:

    fidelity   product of 1 - PENALTY over the flags of the worst answer, and those of the sample
    scope      mean of min(1, mtld / 70), and 1 - min(1, 10 * opening_share): varied words, no boilerplate
    agreement  normal distribution function of `alignment`: the share of mismatched pairs that agree less

So 0.5 to 1 is a sample without a flag, and 0 one whose answer is a refusal, an echo, a loop or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from schemas.columns import figure
from scorers import text_flags
from scorers.hygiene import Measured
from scorers.quality.found import Finding
from scorers.quality.truncation import Lexicon

# A luminance that deviates by less than one level of 256 shows nothing.
BLANK_CONTRAST = 1 / 255
# Both: soft for its contrast, and without a hard edge anywhere (300 blurred and 6,629 other images measured:
# 99 % of the first, none of the others).
BLURRY_SHARPNESS, BLURRY_EDGES = 0.05, 10.0
# From this share of the pool's answers on, an opening is boilerplate; `quality.openings` mines from 0.5 % on.
BOILERPLATE_SHARE = 0.01
FULL_MTLD, FULL_SHARE = 70.0, 0.1
UNKNOWN = 0.5

PENALTY = {
    "empty_answer": 1.0,
    "refusal": 1.0,
    "prompt_echo": 1.0,
    "repetition": 1.0,
    "garbage_text": 1.0,
    "blank_image": 1.0,
    "trivial_answer": 0.5,
    "truncated_answer": 0.5,
    "mojibake": 0.5,
    "language_mismatch": 0.5,
    "blurry_image": 0.5,
    "copied_answer": 0.25,
}
POOL_FLAGS = ("truncated_answer", "boilerplate_opening")
IMAGE_FLAGS = ("blank_image", "blurry_image", "generated_image")
IMAGE_COLUMNS = ("contrast", "sharpness", "edges", "generator", "generator_mark")
NO_ANSWER = "no_answer"


class Described(Measured, Protocol):
    """What `Synthetic` reads: samples with their text flags and alignment, and the figures of their images.

    `rows` has the columns of `TextFlags`, `alignment` (float, null without an image) and `error` (a code,
    null for a good record). Image j of sample i is row `offsets[i] + j` of `images`, with IMAGE_COLUMNS.
    """


@dataclass(frozen=True)
class Synthetic:
    """Flags with evidence, their measures, and `synthetic_quality`; see the module for its formula.

    Args:
        lexicon: the words of the pool.
        openings: share of the pool's answers that begin with each common opening.
    """

    lexicon: Lexicon
    openings: Mapping[str, float]

    name: ClassVar[str] = "synthetic_quality"
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            figure("synthetic_quality", "fidelity * (2 + scope + agreement) / 4", "[0, 1]", "higher"),
            figure("fidelity", "product of 1 - penalty", "[0, 1]", "higher"),
            figure("scope", "mean of diversity and novelty", "[0, 1]", "higher"),
            figure("agreement", "share of mismatched pairs", "[0, 1]", "higher"),
            *map(text_flags.flag, (*text_flags.FLAGS, *POOL_FLAGS, *IMAGE_FLAGS)),
            *text_flags.MEASURES,
            figure("opening", kind=pa.string()),
            figure("opening_share", "share of the pool's answers", "[0, 1]", "lower"),
            text_flags.EVIDENCE,
            figure("quality_reason", kind=pa.string()),
        ]
    )

    def score(self, batch: Described) -> pa.RecordBatch:
        """One row a sample of `batch.rows`. Without an answer, or with an error, the scores are null."""
        images = batch.images.select(IMAGE_COLUMNS).to_pylist()
        rows = []
        for number, row in enumerate(batch.rows.to_pylist()):
            of_row = images[batch.offsets[number] : batch.offsets[number + 1]]
            rows.append(self._row(row, of_row))
        return pa.RecordBatch.from_pylist(rows, schema=self.writes)

    def _row(self, row: dict[str, Any], images: list[dict[str, Any]]) -> dict[str, Any]:
        findings = [Finding(**finding) for finding in row["evidence"]]
        findings += self._truncated(row)
        opening, share, boilerplate = self._opening(row)
        findings += boilerplate + _image_findings(images)
        findings.sort(key=lambda found: (found.turn is None, found.turn or 0, found.start or 0))
        flagged = {found.flag for found in findings}
        answered = row["refusal"] is not None
        measured = any(image["contrast"] is not None for image in images)
        reason = row["error"] or (None if answered else NO_ANSWER)
        return {
            **{name: row[name] for name in text_flags.FLAGS},
            **{name: name in flagged if answered else None for name in POOL_FLAGS},
            **{name: name in flagged if measured else None for name in IMAGE_FLAGS},
            **{measure.name: row[measure.name] for measure in text_flags.MEASURES},
            "opening": opening,
            "opening_share": share,
            "evidence": [found._asdict() for found in findings],
            "quality_reason": reason,
            **(_scores(row, findings, share) if reason is None else {}),
        }

    def _truncated(self, row: dict[str, Any]) -> list[Finding]:
        pieces = [ending for ending in row["endings"] if self.lexicon.is_piece(ending["word"])]
        return [
            Finding("truncated_answer", pattern, spot["turn"], spot["start"], spot["end"])
            for pattern, spot in [
                *((cut["pattern"], cut) for cut in row["cuts"]),
                *(("piece_of_a_word", ending) for ending in pieces),
            ]
        ]

    def _opening(self, row: dict[str, Any]) -> tuple[str | None, float | None, list[Finding]]:
        """The most common opening of the answers, its share, and the findings; null without an opening."""
        if not row["openings"]:
            return None, None, []
        most = max(row["openings"], key=lambda opening: self.openings.get(opening["text"], 0.0))
        share = self.openings.get(most["text"], 0.0)
        findings = [
            Finding("boilerplate_opening", spot["text"], spot["turn"], spot["start"], spot["end"])
            for spot in row["openings"]
            if self.openings.get(spot["text"], 0.0) >= BOILERPLATE_SHARE
        ]
        return most["text"], share, findings


def _image_findings(images: list[dict[str, Any]]) -> list[Finding]:
    found = []
    for number, image in enumerate(images, 1):
        if image["contrast"] is not None and image["contrast"] < BLANK_CONTRAST:
            found.append(Finding("blank_image", f"image {number}"))
        elif _blurry(image):
            found.append(Finding("blurry_image", f"image {number}"))
        if image["generator"] is not None:
            mark = f"image {number}: {image['generator']} ({image['generator_mark']})"
            found.append(Finding("generated_image", mark))
    return found


def _blurry(image: dict[str, Any]) -> bool:
    sharpness, edges = image["sharpness"], image["edges"]
    return sharpness is not None and sharpness <= BLURRY_SHARPNESS and edges <= BLURRY_EDGES


def _scores(row: dict[str, Any], findings: list[Finding], share: float | None) -> dict[str, float | None]:
    parts = {
        "fidelity": _fidelity(findings),
        "scope": _scope(row["mtld"], share),
        "agreement": None if row["alignment"] is None else _normal(row["alignment"]),
    }
    scope, agreement = (UNKNOWN if parts[name] is None else parts[name] for name in ("scope", "agreement"))
    assert scope is not None
    assert agreement is not None
    return {**parts, "synthetic_quality": _fidelity(findings) * (2 + scope + agreement) / 4}


def _fidelity(findings: list[Finding]) -> float:
    """What the flags of the worst answer leave, times what those of the sample leave; each counts once."""
    flags: dict[int | None, set[str]] = {}
    for found in findings:
        flags.setdefault(found.turn, set()).add(found.flag)
    left = {turn: _left(names) for turn, names in flags.items()}
    return left.pop(None, 1.0) * min(left.values(), default=1.0)


def _left(flags: set[str]) -> float:
    return math.prod(1 - PENALTY.get(name, 0.0) for name in sorted(flags))


def _scope(mtld: float | None, share: float | None) -> float | None:
    parts = []
    if mtld is not None:
        parts.append(min(1.0, mtld / FULL_MTLD))
    if share is not None:
        parts.append(1 - min(1.0, share / FULL_SHARE))
    return sum(parts) / len(parts) if parts else None


def _normal(deviations: float) -> float:
    """The standard normal distribution function."""
    return 0.5 * (1 + math.erf(deviations / math.sqrt(2)))
