"""The contract of every scorer in the dict, each on a batch as its stage makes it from a small pool."""

from __future__ import annotations

import itertools
import json
import math
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from curation.generate.pool import write_pool
from curation.models.vision_language import VisionLanguageModel
from curation.readers.images import decode, to_rgb
from curation.steps.ingest.dialogues import AskedSamples, Dialogue
from curation.steps.ingest.samples import SAMPLES_WITH_IMAGES
from curation.steps.score.alignment import align_stage
from curation.steps.score.cosines import cosine_stage
from curation.steps.score.endpoint import QUARANTINED
from curation.steps.score.heads import Ragged
from curation.steps.score.hygiene import hygiene_stage
from curation.steps.score.ocr import IMAGE_TEXT
from curation.steps.score.probe import builtin_probe, probe_stage
from curation.steps.score.synthetic import flag_stage, quality_stage
from curation.steps.score.text_agreement import READ, ReadSamples
from curation.workspace import Workspace
from schemas.protocols import Scorer
from schemas.stages import Source, Task
from scorers import SCORERS
from scorers.alignment import Alignment
from scorers.capability import KEYS, Capability
from scorers.grounding import UNREADABLE, Answered, Grounding, TokenFigures
from scorers.head import Head
from scorers.hygiene import Hygiene
from scorers.judgement import JUDGEMENTS, Judgement
from scorers.phrases import Grounded, PhraseGrounding, beaten, phrases
from scorers.picture_agreement import PictureAgreement
from scorers.probe import Probe
from scorers.questions import Answer, Asking, Reply
from scorers.synthetic import Synthetic
from scorers.taxonomy import STYLES
from scorers.text_agreement import TextAgreement
from scorers.text_flags import TextFlags
from tests.tiny_models import tiny

INTERVAL = re.compile(r"([\[(])(\S+), (\S+)([\])])")
MAX_PIXELS = 10**7
# Rows at which a batch of n is cut.
CUTS: dict[str, Callable[[int], list[int]]] = {
    "into single rows": lambda n: [*range(n + 1)],
    "into sevens": lambda n: [*range(0, n, 7), n],
    "into halves and nothing": lambda n: [0, 0, n // 2, n // 2, n, n],
}


# --- batches -----------------------------------------------------------------------------------------------


def record(ident: str, images: list[str], *texts: str) -> dict[str, Any]:
    turns = [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(texts)]
    return {"id": ident, "image": images, "conversations": turns}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A generated pool, scored: text alone, broken images and bad turns are in it. Of its last record nothing
    can be scored: it has no answer, and its image is missing."""
    folder = tmp_path_factory.mktemp("pool")
    write_pool(folder, 24, seed=5)
    records = json.loads((folder / "pool.json").read_text())
    images = [found["image"] for found in records if found.get("image", "").endswith(".png")]
    records += [
        record("two images", images[:2], "<image>\n<image>\nWhich is wider?", "The first of the two. " * 30),
        record("no answer", images[:1], "<image>\nWhat is it?"),
        record("empty answer", images[1:2], "<image>\nWhat is it?", ""),
        record("nothing", ["gone.png"], "<image>\nWhat is it?"),
    ]
    (folder / "pool.json").write_text(json.dumps(records))
    made = Workspace.init(folder, {"demo": folder / "pool.json"}, images=[folder], model="builtin:tiny")
    made.score()
    return made


def pieces(pool: Workspace, source: Source) -> list[Any]:
    """What `source` loads of the pool's one shard."""
    tables = {item.table: dict(enumerate(pool.store.paths(item.table))) for item in source.inputs}
    task = Task(0, 0, tables)
    (rows,) = source.plan(task)
    return list(source.load(task, rows))


def piece(pool: Workspace, source: Source) -> Any:
    """What a source loads that makes one piece of a batch."""
    (found,) = pieces(pool, source)
    return found


def for_alignment(pool: Workspace) -> tuple[Scorer, pa.RecordBatch]:
    held = piece(pool, align_stage().source)
    near = pa.array(held.bank.nearness(held.images, held.texts), from_pandas=True)
    return Alignment(held.mean, held.deviation), held.rows.append_column("nearness", near)


def for_quality(pool: Workspace) -> tuple[Scorer, Any]:
    held = piece(pool, quality_stage().source)
    return Synthetic(held.lexicon, held.openings), held


def for_head(pool: Workspace) -> tuple[Scorer, Ragged]:
    dim = pool.context.model().dim
    held = piece(pool, cosine_stage(dim).source)
    weight = np.random.default_rng(0).standard_normal((2, dim)).astype(np.float32)
    bias = np.array([0.5, -1], np.float32)
    return Head(("pretty", "plain"), weight, bias), Ragged(held.images, held.image_offsets)


def for_probe(pool: Workspace) -> tuple[Scorer, Any]:
    probe = builtin_probe("builtin:tiny")
    return Probe(probe.weights), piece(pool, probe_stage(probe, "vectors").source)


def replies(scorer: Asking, answers: list[str]) -> list[list[Reply]]:
    """Answers of an endpoint as they are read, and four that lack something or everything."""
    read = scorer.questions()[0].read
    whole = [Reply(read(Answer(text))) for text in answers]
    first = scorer.writes.names[0]
    part = [Reply({first: 3.75}), Reply(reason="malformed: it is cut off")]
    return [*([reply] for reply in whole), part, [Reply(reason="refused: 400")], [], [QUARANTINED]]


def for_capability(pool: Workspace) -> tuple[Scorer, list[list[Reply]]]:
    said = [
        {"scores": {key: (n + place) % 6 for place, key in enumerate(KEYS)}, "styles": [style]}
        for n, style in enumerate(STYLES)
    ]
    return Capability(), replies(Capability(), [json.dumps(tree) for tree in said])


def for_judgement(pool: Workspace) -> tuple[Scorer, list[list[Reply]]]:
    said = [{name: (n + place) % 6 for place, name in enumerate(JUDGEMENTS)} for n in range(8)]
    return Judgement(), replies(Judgement(), [json.dumps(tree) for tree in said])


def for_grounding(pool: Workspace) -> tuple[Scorer, list[Answered]]:
    """What a tiny model of random weights makes of the pool, and figures that are not finite."""
    dialogues = pieces(pool, AskedSamples(MAX_PIXELS))
    vlm = VisionLanguageModel(*tiny("llava"))

    def asked(dialogue: Dialogue) -> Any:
        assert dialogue.turns is not None
        return vlm.ask(
            dialogue.turns, [to_rgb(decode(data, max_pixels=MAX_PIXELS)) for data in dialogue.images]
        )

    usable = [asked(dialogue) for dialogue in dialogues if dialogue.turns is not None]
    found = iter(vlm.answered(usable, dominance=True))
    answered = [next(found) if each.turns is not None else Answered(reason=UNREADABLE) for each in dialogues]
    fine, broken = np.array([0.1, 2], np.float32), np.array([0.1, np.nan], np.float32)
    odd = [
        Answered(TokenFigures(broken, fine, fine), truncated=True, dominance=1.0),
        Answered(TokenFigures(fine, fine, fine), dominance=math.inf),
    ]
    return Grounding(), [*odd, *answered]


def for_phrases(pool: Workspace) -> tuple[Scorer, list[Grounded]]:
    """The phrases of the pool's answers, with cosines drawn."""
    rng = np.random.default_rng(0)
    bank, batch = rng.random(100), []
    for dialogue in pieces(pool, AskedSamples(MAX_PIXELS)):
        said = phrases(". ".join(text for role, text in dialogue.turns or [] if role == "assistant"))
        ranks = tuple(beaten(rng.random(len(said)), bank).tolist())
        batch.append(Grounded(tuple(said), ranks) if said else Grounded(reason="no_phrase"))
    return PhraseGrounding(), batch


def for_text_agreement(pool: Workspace) -> tuple[Scorer, ReadSamples]:
    """The pool, with words of its own answers drawn for lines of its images: of one in five none was read."""
    rng, held = np.random.default_rng(0), piece(pool, SAMPLES_WITH_IMAGES)
    said = [turn["text"] for turns in held.rows["turns"].to_pylist() for turn in turns or ()]
    read = [
        {
            "lines": None
            if n % 5 == 4
            else [{"text": said[line]} for line in rng.integers(len(said), size=n % 4)],
            "n_words": n % 4,
            "text_share": n % 4 / 4,
        }
        for n in range(len(held.images))
    ]
    images = pa.Table.from_pylist(read, pa.schema([IMAGE_TEXT.field(name) for name in READ]))
    return TextAgreement(), ReadSamples(held.rows, held.offsets, images)


def for_picture_agreement(pool: Workspace) -> tuple[Scorer, pa.RecordBatch]:
    rng = np.random.default_rng(0)
    alignment = [*rng.standard_normal(20), None, None]
    text = [*rng.random(14), *[None] * 6, 0.5, None]
    words = pa.array([*rng.integers(0, 200, 20), 3, None], pa.int32(), from_pandas=True)
    columns = [pa.array(alignment, pa.float32()), pa.array(text, pa.float32()), words]
    return PictureAgreement(), pa.record_batch(columns, ["alignment", "text_agreement", "n_image_words"])


# A new scorer has a line here, and its last row is one of which nothing can be scored.
BATCHES: dict[str, Callable[[Workspace], tuple[Scorer, Any]]] = {
    "hygiene": lambda pool: (Hygiene(), piece(pool, hygiene_stage().source)),
    "alignment": for_alignment,
    "text_flags": lambda pool: (TextFlags(), piece(pool, flag_stage().source).rows),
    "synthetic_quality": for_quality,
    "head": for_head,
    "capability": for_capability,
    "capability_probe": for_probe,
    "judgement": for_judgement,
    "grounding": for_grounding,
    "phrase_grounding": for_phrases,
    "text_agreement": for_text_agreement,
    "picture_agreement": for_picture_agreement,
}


def cut(batch: Any, start: int, stop: int) -> Any:
    """The rows [start, stop) of a batch: of Arrow, a list, or columns side by side.

    With `offsets` only `rows` has a row a sample; of `images` and `vectors` a sample has several.
    """
    if isinstance(batch, pa.RecordBatch | list):
        return batch[start:stop]
    columns = vars(batch)
    if "offsets" not in columns:
        return replace(batch, **{name: column[start:stop] for name, column in columns.items()})
    offsets = columns["offsets"][start : stop + 1]
    owned = slice(offsets[0], offsets[-1])
    places = {"rows": slice(start, stop), "images": owned, "vectors": owned}
    changed = {name: columns[name][place] for name, place in places.items() if name in columns}
    return replace(batch, offsets=offsets - offsets[0], **changed)


def n_rows(batch: Any) -> int:
    """How many samples a batch holds."""
    if isinstance(batch, pa.RecordBatch | list):
        return len(batch)
    columns = vars(batch)
    return len(columns["offsets"]) - 1 if "offsets" in columns else len(next(iter(columns.values())))


# --- the contract ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A line of SCORERS, with a scorer of its class and a batch for it."""

    key: str
    scorer: Scorer
    batch: Any


@pytest.fixture(scope="module", params=sorted(SCORERS))
def case(request: pytest.FixtureRequest, pool: Workspace) -> Case:
    return Case(request.param, *BATCHES[request.param](pool))


def shown(scores: pa.RecordBatch) -> list[str]:
    """Its rows, every bit of them: 0 and -0 read differently."""
    return [repr(row) for row in scores.to_pylist()]


def test_every_scorer_has_a_batch():
    assert set(BATCHES) == set(SCORERS)


def test_a_scorer_is_called_as_its_line_or_as_the_one_that_it_stands_in_for(case):
    """Scorers of one name fill one table, so they write the same columns."""
    assert isinstance(case.scorer, SCORERS[case.key])
    named: Any = SCORERS[case.scorer.name]
    assert named is type(case.scorer) or named.writes.equals(case.scorer.writes, check_metadata=True)


def test_every_column_says_unit_range_and_direction(case):
    assert len(case.scorer.writes)
    for field in case.scorer.writes:
        assert set(field.metadata) == {b"unit", b"range", b"better"}, field.name
        assert field.metadata[b"better"] in {b"higher", b"lower", b"neither"}, field.name
        is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        assert bool(INTERVAL.fullmatch(field.metadata[b"range"].decode())) == is_number, field.name


def test_scores_are_what_is_declared_a_row_a_sample_without_nan(case):
    scores = case.scorer.score(case.batch)
    assert scores.schema.equals(case.scorer.writes, check_metadata=True)
    assert scores.num_rows == n_rows(case.batch) > 10
    for name, column in zip(scores.schema.names, scores.columns, strict=True):
        assert not pa.types.is_floating(column.type) or not pc.any(pc.is_nan(column)).as_py(), name


def test_every_number_lies_in_the_range_of_its_column(case):
    for field, column in zip(case.scorer.writes, case.scorer.score(case.batch).columns, strict=True):
        interval = INTERVAL.fullmatch(field.metadata[b"range"].decode())
        if interval:
            opened, low, high, closed = interval.groups()
            numbers = column.drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
            assert (numbers > float(low) if opened == "(" else numbers >= float(low)).all(), field.name
            assert (numbers < float(high) if closed == ")" else numbers <= float(high)).all(), field.name


def test_what_cannot_be_scored_is_null_and_no_column_is_null_throughout(case):
    """Of the columns with a direction, where there are some: others may be counts, or reasons."""
    scores, writes = case.scorer.score(case.batch), case.scorer.writes
    directed = [field.name for field in writes if field.metadata[b"better"] != b"neither"]
    for name in directed or writes.names:
        assert not scores[name][-1].is_valid, name
        assert scores[name].null_count < scores.num_rows, name


def test_a_pickled_scorer_is_the_same_scorer(case):
    again = pickle.loads(pickle.dumps(case.scorer))
    assert again.writes.equals(case.scorer.writes, check_metadata=True)
    assert shown(again.score(case.batch)) == shown(case.scorer.score(case.batch))


@pytest.mark.parametrize("way", CUTS)
def test_a_row_has_the_same_bits_however_the_batch_is_cut(case, way):
    edges = CUTS[way](n_rows(case.batch))
    parts = [cut(case.batch, start, stop) for start, stop in itertools.pairwise(edges)]
    found = [case.scorer.score(part) for part in parts]
    assert all(scores.schema.equals(case.scorer.writes, check_metadata=True) for scores in found)
    assert [row for scores in found for row in shown(scores)] == shown(case.scorer.score(case.batch))
