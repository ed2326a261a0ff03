"""The bench that students sit at: a pool with a part held out, what may be chosen, and who learns from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.models.environment import resolve_vlm_environment
from curation.models.vision_language import VisionLanguageModel
from curation.models.vlm import load_vlm
from curation.pipeline.pipeline import Pipeline
from curation.proof.exam import Exam, exam_of
from curation.proof.finetuned import SMALL, Finetuned, Lessons
from curation.proof.questions import Questions, held_out, questions_of
from curation.proof.students import SEEDLESS, Pace, student_at
from curation.proof.tables import table_of, telling
from curation.proof.views import View, encoder_view, plain_view
from curation.selectors.less import AIMED
from curation.steps.chain import chain
from curation.steps.select.budgeting import choose
from curation.steps.select.columns import with_columns
from curation.steps.select.stages import select_stage
from curation.storage.lock import locked
from curation.storage.store import Store
from schemas.errors import BudgetError

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
TEST, DEVELOP = 0.2, 0.1  # of the samples: those that are asked about, and those that choose the tasks
TRIAL = "held-out"  # the dataset that those make for a strategy that needs one to aim at


@dataclass(frozen=True)
class Bench:
    """A pool with a part held out: what there is to choose from, and what is asked."""

    workspace: Pipeline
    questions: Questions
    away: NDArray[np.bool_]  # (n,) samples that are held out
    exam: Exam
    trial: Exam  # of other questions: what is decided beforehand is decided by it
    views: list[View]

    @property
    def everything(self) -> Ints:
        """Samples to learn from."""
        return np.flatnonzero(~self.away)

    def chosen(self, settings: Mapping[str, Any]) -> Ints:
        """The samples that are selected under further `settings`, of those that are not held out.

        A strategy that names no dataset to aim at aims at the samples of the trial.
        """
        import polars as pl

        config = self.workspace.with_settings(settings).config
        if config.select.strategy in AIMED and config.select.target is None:
            return self.chosen({**settings, "select.strategy": f"{config.select.strategy}:{TRIAL}"})
        store = self.workspace.store
        stage = select_stage(config, store)
        table, _ = stage.table(store)
        here = pl.Series(~self.away)
        candidates = table.filter(table["reason"].is_null() & here)
        aims = Aimed(store.root, np.unique(self.questions.sample[self.trial.items]))
        candidates = with_columns(aims, candidates, stage.needs)
        n_readable = int((table["error"].is_null() & here).sum())
        choice = choose(stage.wish, store, candidates, n_readable)
        return candidates["position"].to_numpy()[choice.decision.order].astype(np.int64)

    def finetuned(self, model: str, pace: Pace) -> Finetuned:
        """A checkpoint that learns from samples; loaded for it alone, as its weights change.

        Raises:
            ModelUnavailable: there is no such model.
        """
        config = self.workspace.config
        runs = resolve_vlm_environment(model, config.run.device)
        network, processor = load_vlm(model, runs["device"], runs["dtype"])
        if sum(weight.numel() for weight in network.parameters()) <= SMALL and runs["dtype"] != "float32":
            network, processor = load_vlm(model, runs["device"], "float32")
        vlm = VisionLanguageModel(network, processor, most=config.vlm.max_tokens, batch=config.vlm.batch)
        lessons = Lessons.of(vlm, self.questions, self.workspace.store, config.images.max_pixels)
        return Finetuned(lessons, self.exam, self.trial, pace)


@dataclass(frozen=True)
class Aimed(Store):
    """The store, but that some samples are of the dataset TRIAL."""

    rows: Ints

    def read(self, table: str, columns: Sequence[str] | None = None, number: int | None = None) -> pa.Table:
        """As the store does, with the name of that dataset in the whole table `checked`."""
        found = super().read(table, columns, number)
        if table != "checked" or "dataset" not in found.column_names or number is not None:
            return found
        names = np.array(found["dataset"].to_pylist(), object)
        names[self.rows] = TRIAL
        place = found.column_names.index("dataset")
        return found.set_column(place, "dataset", pa.array(names.tolist(), pa.string()))


@contextmanager
def prepared(
    workspace: Pipeline, views: Sequence[str], clean: NDArray[np.bool_] | None = None
) -> Iterator[Bench]:
    """The pool as a bench, with its chain run as far as needed and its lock held.

    Raises:
        BudgetError: no budget is named.
    """
    if workspace.config.select.budget is None:
        raise BudgetError("say how much to keep: --budget 30%")
    workspace.run("prune")
    stages = [stage for stage in chain(workspace.context, "select") if stage.name != "selection"]
    store, seed = workspace.store, workspace.config.run.seed
    with locked(store.root, "curate proof"), store.snapshot():
        workspace.compute(stages)
        questions = questions_of(store)
        sure = np.ones(len(questions.group), bool) if clean is None else clean
        away = held_out(questions, store, TEST + DEVELOP, seed)
        asked = held_out(questions, store, TEST, seed)
        exam = exam_of(questions, asked & sure, seed)
        trial = exam_of(questions, away & ~asked & sure, seed + 1)
        yield Bench(workspace, questions, away, exam, trial, _views(workspace, questions, views))


@dataclass(frozen=True)
class Taught:
    """One kind of student with one view: a `Pupil` (`curation.proof.tables`)."""

    bench: Bench
    view: View
    student: str
    advance: Callable[[], None]
    pace: Pace = field(default_factory=Pace)
    _known: dict[bytes, tuple[Floats, Floats]] = field(default_factory=dict)

    @property
    def sees(self) -> str | None:
        return self.view.name

    @property
    def exam(self) -> Exam:
        return self.bench.exam

    @property
    def trial(self) -> Exam:
        return self.bench.trial

    @property
    def seedless(self) -> bool:
        return self.student in SEEDLESS

    def marks(self, rows: Ints, seed: int, *, tried: bool = True) -> tuple[Floats, Floats]:
        """What a student that learned from the samples `rows` gets in the exam, and in the trial always."""
        questions, exam, trial = self.bench.questions, self.bench.exam, self.bench.trial
        learned = np.zeros(len(questions.group), bool)
        learned[rows] = True
        # Many strategies choose the same by every seed.
        key = np.packbits(learned).tobytes() + (b"" if self.seedless else str(seed).encode())
        if key not in self._known:
            pairs = np.flatnonzero(learned[questions.sample])
            items = np.concatenate([exam.items, trial.items])
            x, y = self.view.x, self.view.y
            said = student_at(self.student, self.pace)(x[pairs], y[pairs], x[items], seed)
            n = len(exam.items)
            self._known[key] = (exam.marks(said[:n], y), trial.marks(said[n:], y))
        self.advance()
        return self._known[key]

    def tasks(self, of_trial: Floats) -> Ints:
        """Sources that can tell students apart, by what those that learned from everything get in the trial.

        Raises:
            NothingLeft: there is none.
        """
        return telling(self, self.bench.questions.tasks, of_trial)[0]

    def table(
        self,
        picks: Mapping[str, list[Ints]],
        n_seeds: int,
        matched: Mapping[str, list[Ints]] | None = None,
    ) -> dict[str, Any]:
        """All selections, over all seeds; see `table_of`."""
        bench = self.bench
        return table_of(self, bench.questions.tasks, bench.everything, picks, n_seeds, matched)


def _views(workspace: Pipeline, questions: Questions, names: Sequence[str]) -> list[View]:
    store, progress = workspace.store, workspace.progress
    made = {
        "encoder": lambda: encoder_view(
            store, questions, workspace.model.encoder(), workspace.model.key, progress
        ),
        "plain": lambda: plain_view(store, questions),
    }
    return [made[name]() for name in names]
