"""`curate proof`: does a selection train better than chance on this pool? Small students say."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.pipeline.pipeline import Pipeline
from curation.proof.exam import Exam, exam_of, scores, telling_tasks
from curation.proof.questions import Questions, held_out, questions_of
from curation.proof.students import STUDENTS
from curation.proof.views import View, encoder_view, plain_view
from curation.selectors.order import drawn
from curation.steps.chain import chain
from curation.steps.select.budgeting import choose
from curation.steps.select.columns import with_columns
from curation.steps.select.stages import select_stage
from curation.storage.lock import locked
from curation.storage.store import Store
from schemas.budget import Budget
from schemas.errors import BudgetError, NothingLeft

if TYPE_CHECKING:
    import polars as pl

Ints = NDArray[np.int64]
RAW = "random over everything"
VIEWS = ("encoder", "plain")
TEST, DEVELOP = 0.2, 0.1  # of the samples: those that are asked about, and those that choose the tasks


def proof(
    workspace: Pipeline,
    names: Sequence[str],
    *,
    n_seeds: int = 8,
    students: Sequence[str] = ("ridge",),
    views: Sequence[str] = ("encoder",),
    clean: NDArray[np.bool_] | None = None,
    kinds: NDArray[np.str_] | None = None,
) -> dict[str, Any]:
    """Choose by each of `names` out of the part that is not held out, and let students learn from the picks.

    A fifth of the samples is held out, by groups that share images or are copies. A student learns from what
    was picked and is asked the questions of the others: which of up to eight answers of the same source is
    right. Its marks are divided by those of a student that learned from all, by source (mmSSR,
    arXiv 2503.13383). Sources at chance or saturated, by a split of their own, do not count.

    Args:
        workspace: its chain is run as far as needed; its selection stays as it is.
        names: strategies, `STRATEGY+MIX` with a mixture, by default that of the settings; random ones of the
            candidates and of everything readable are always there, of the same size.
        n_seeds: of choosing, and of students.
        students: names of STUDENTS.
        views: what they see: `encoder`, `plain` (nothing that an encoder made).
        clean: (n,) samples that may be asked about, where it is known; all by default.
        kinds: (n,) what each sample is, where that is known; the picks are counted by it.

    Raises:
        BudgetError: no budget is named.
        NothingLeft: no source can tell students apart.
    """
    start = time.monotonic()
    if workspace.config.select.budget is None:
        raise BudgetError("say how much to keep: --budget 30%")
    workspace.run("prune")
    stages = [stage for stage in chain(workspace.context, "select") if stage.name != "selection"]
    store = workspace.store
    with locked(store.root, "curate proof"), store.snapshot():
        workspace.compute(stages)
        return _proof(workspace, names, n_seeds, students, views, clean, kinds) | {
            "seconds": round(time.monotonic() - start, 2)
        }


def _proof(
    workspace: Pipeline,
    names: Sequence[str],
    n_seeds: int,
    students: Sequence[str],
    views: Sequence[str],
    clean: NDArray[np.bool_] | None,
    kinds: NDArray[np.str_] | None,
) -> dict[str, Any]:
    store, progress, seed = workspace.store, workspace.progress, workspace.config.run.seed
    questions = questions_of(store)
    sure = np.ones(len(questions.group), bool) if clean is None else clean
    away = held_out(questions, store, TEST + DEVELOP, seed)
    asked = away & held_out(questions, store, TEST, seed) & sure
    tried = away & ~held_out(questions, store, TEST, seed) & sure
    picks = _picks(workspace, names, away, n_seeds)
    seen = _views(workspace, questions, views)
    exams = exam_of(questions, asked, seed), exam_of(questions, tried, seed + 1)
    found = []
    runs = [(view, student) for view in seen for student in students]
    with progress.bar("train students", len(runs) * (len(picks) + 1) * n_seeds, "students") as bar:
        for view, student in runs:
            table = _Table(questions, view, student, exams, n_seeds, lambda: bar.advance(1))
            found.append(table.of(picks, np.flatnonzero(~away)))
    return {
        "budget": workspace.config.select.budget,
        "n_held_out": int(away.sum()),
        "n_seeds": n_seeds,
        "tables": found,
        "picked": {name: _described(questions, rows, kinds) for name, rows in picks.items()},
    }


@dataclass(frozen=True)
class _Table:
    """One kind of student with one view: all selections, over all seeds."""

    questions: Questions
    view: View
    student: str
    exams: tuple[Exam, Exam]
    n_seeds: int
    advance: Any

    def of(self, picks: Mapping[str, list[Ints]], everything: Ints) -> dict[str, Any]:
        exam, trial = self.exams
        whole = [self._marks(everything, seed) for seed in range(self.n_seeds)]
        full = np.stack([marks for marks, _ in whole])
        tasks = telling_tasks(trial, np.mean([marks for _, marks in whole], axis=0))
        tasks = tasks[np.isin(tasks, exam.task)]
        if not len(tasks):
            raise NothingLeft(
                f"no source tells students apart: {self.student} that learned from everything is at chance, "
                "or knows all, in each of them; more records, or another --student or --view, may"
            )
        marks = {
            name: np.stack([self._marks(rows, seed)[0] for seed, rows in enumerate(each)])
            for name, each in picks.items()
        }
        found = scores(marks, full, exam, tasks, baseline=RAW)
        of_tasks = {
            self.questions.tasks[task]: round(float(full[:, exam.task == task].mean()), 4) for task in tasks
        }
        return {
            "view": self.view.name,
            "student": self.student,
            "n_questions": int(np.isin(exam.task, tasks).sum()),
            "full": of_tasks,
            "scores": {name: asdict(score) for name, score in found.items()},
        }

    def _marks(self, rows: Ints, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What a student that learned from the samples `rows` gets in the exam, and in the trial."""
        learned = np.zeros(len(self.questions.group), bool)
        learned[rows] = True
        pairs = np.flatnonzero(learned[self.questions.sample])
        exam, trial = self.exams
        items = np.concatenate([exam.items, trial.items])
        x, y = self.view.x, self.view.y
        said = STUDENTS[self.student](x[pairs], y[pairs], x[items], seed)
        self.advance()
        n = len(exam.items)
        return exam.marks(said[:n], y), trial.marks(said[n:], y)


def _picks(
    workspace: Pipeline, names: Sequence[str], away: NDArray[np.bool_], n_seeds: int
) -> dict[str, list[Ints]]:
    """Of each selection its samples, a seed at a time."""
    settings = workspace.config.select
    own = f"{settings.strategy}+{settings.mix}" if settings.mix else settings.strategy
    wanted = dict.fromkeys(["random", *(names or [own])])
    found: dict[str, list[Ints]] = {RAW: []}
    with workspace.progress.bar("choose", len(wanted) * n_seeds, "selections") as bar:
        for name in wanted:
            for seed in range(n_seeds):
                found.setdefault(name, []).append(_chosen(workspace, name, away, seed))
                bar.advance(1)
    raw = _readable(workspace.store).filter(~_series(away))
    for seed in range(n_seeds):
        n = Budget.parse(str(workspace.config.select.budget)).samples(len(raw))
        found[RAW].append(raw["position"].to_numpy()[drawn(raw, seed)][:n].astype(np.int64))
    return found


def _chosen(workspace: Pipeline, name: str, away: NDArray[np.bool_], seed: int) -> Ints:
    strategy, _, mix = name.partition("+")
    asked = {"select.strategy": strategy, "run.seed": seed, **({"select.mix": mix} if mix else {})}
    stage = select_stage(workspace.with_settings(asked).config)
    table, _ = stage.table(workspace.store)
    here = ~_series(away)
    candidates = table.filter(table["reason"].is_null() & here)
    candidates = with_columns(workspace.store, candidates, stage.needs)
    n_readable = int((table["error"].is_null() & here).sum())
    choice = choose(stage.wish, workspace.store, candidates, n_readable)
    return candidates["position"].to_numpy()[choice.decision.order].astype(np.int64)


def _readable(store: Store) -> pl.DataFrame:
    import polars as pl

    table = pl.from_arrow(store.read("checked", ["uid", "content_hash", "error"]))
    assert isinstance(table, pl.DataFrame)
    return table.with_row_index("position").filter(pl.col("error").is_null())


def _series(mask: NDArray[np.bool_]) -> pl.Series:
    import polars as pl

    return pl.Series(mask)


def _views(workspace: Pipeline, questions: Questions, names: Sequence[str]) -> list[View]:
    store, progress = workspace.store, workspace.progress
    made = {
        "encoder": lambda: encoder_view(
            store, questions, workspace.model.encoder(), workspace.model.key, progress
        ),
        "plain": lambda: plain_view(store, questions),
    }
    return [made[name]() for name in names]


def _described(questions: Questions, picks: list[Ints], kinds: NDArray[np.str_] | None) -> dict[str, Any]:
    """How many samples and pairs were picked, and of which sources, on average over the seeds."""
    n = len(questions.group)
    pairs = np.bincount(questions.sample, minlength=n)
    source = np.full(n, -1)
    source[questions.sample] = questions.task
    counted = [np.bincount(source[rows] + 1, minlength=len(questions.tasks) + 1) for rows in picks]
    shares = np.mean(counted, axis=0)[1:]
    known = np.zeros(n, str) if kinds is None else kinds
    names, number = np.unique(known, return_inverse=True)
    counts = [np.bincount(number[rows], minlength=len(names)) for rows in picks]
    return {
        "kinds": dict(zip(names.tolist(), np.mean(counts, axis=0).round(1).tolist(), strict=True)),
        "n": round(float(np.mean([len(rows) for rows in picks])), 1),
        "n_pairs": round(float(np.mean([pairs[rows].sum() for rows in picks])), 1),
        "sources": dict(zip(questions.tasks, shares.round(1).tolist(), strict=True)),
    }
