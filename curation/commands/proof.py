"""`curate proof`: does a selection train better than chance on this pool? Small students say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.pipeline.pipeline import Pipeline
from curation.proof.exam import Exam, exam_of, scores, telling_tasks
from curation.proof.questions import Questions, held_out, questions_of
from curation.proof.students import SEEDLESS, STUDENTS
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
    with prepared(workspace, views, clean) as bench:
        picks = _picks(bench, names, n_seeds)
        found = []
        fulls = sum(1 if student in SEEDLESS else n_seeds for student in students)
        total = len(views) * (len(students) * len(picks) * n_seeds + fulls)
        with workspace.progress.bar("train students", total, "students") as bar:
            for view in bench.views:
                for student in students:
                    taught = Taught(bench, view, student, lambda: bar.advance(1))
                    found.append(taught.table(picks, n_seeds))
        return {
            "budget": workspace.config.select.budget,
            "n_held_out": int(bench.away.sum()),
            "n_seeds": n_seeds,
            "tables": found,
            "picked": {name: _described(bench.questions, rows, kinds) for name, rows in picks.items()},
            "seconds": round(time.monotonic() - start, 2),
        }


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
        """The samples that are selected under further `settings`, of those that are not held out."""
        store = self.workspace.store
        stage = select_stage(self.workspace.with_settings(settings).config, store)
        table, _ = stage.table(store)
        here = ~_series(self.away)
        candidates = table.filter(table["reason"].is_null() & here)
        candidates = with_columns(store, candidates, stage.needs)
        n_readable = int((table["error"].is_null() & here).sum())
        choice = choose(stage.wish, store, candidates, n_readable)
        return candidates["position"].to_numpy()[choice.decision.order].astype(np.int64)


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
    """One kind of student with one view."""

    bench: Bench
    view: View
    student: str
    advance: Callable[[], None]

    def marks(self, rows: Ints, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What a student that learned from the samples `rows` gets in the exam, and in the trial."""
        questions, exam, trial = self.bench.questions, self.bench.exam, self.bench.trial
        learned = np.zeros(len(questions.group), bool)
        learned[rows] = True
        pairs = np.flatnonzero(learned[questions.sample])
        items = np.concatenate([exam.items, trial.items])
        x, y = self.view.x, self.view.y
        said = STUDENTS[self.student](x[pairs], y[pairs], x[items], seed)
        self.advance()
        n = len(exam.items)
        return exam.marks(said[:n], y), trial.marks(said[n:], y)

    def tasks(self, of_trial: NDArray[np.float32]) -> Ints:
        """Sources that can tell students apart, by what those that learned from everything get in the trial.

        Raises:
            NothingLeft: there is none.
        """
        found = telling_tasks(self.bench.trial, of_trial)
        found = found[np.isin(found, self.bench.exam.task)]
        if not len(found):
            raise NothingLeft(
                f"no source tells students apart: {self.student} that learned from everything is at chance, "
                "or knows all, in each of them; more records, or another --student or --view, may"
            )
        return found

    def table(self, picks: Mapping[str, list[Ints]], n_seeds: int) -> dict[str, Any]:
        """All selections, over all seeds."""
        exam, names = self.bench.exam, self.bench.questions.tasks
        seeds = 1 if self.student in SEEDLESS else n_seeds
        whole = [self.marks(self.bench.everything, seed) for seed in range(seeds)]
        full = np.stack([marks for marks, _ in whole])
        tasks = self.tasks(np.mean([marks for _, marks in whole], axis=0))
        marks = {
            name: np.stack([self.marks(rows, seed)[0] for seed, rows in enumerate(each)])
            for name, each in picks.items()
        }
        found = scores(marks, full, exam, tasks, baseline=RAW)
        return {
            "view": self.view.name,
            "student": self.student,
            "n_questions": int(np.isin(exam.task, tasks).sum()),
            "full": {names[task]: round(float(full[:, exam.task == task].mean()), 4) for task in tasks},
            "scores": {name: asdict(score) for name, score in found.items()},
        }


def _picks(bench: Bench, names: Sequence[str], n_seeds: int) -> dict[str, list[Ints]]:
    """Of each selection its samples, a seed at a time."""
    workspace = bench.workspace
    settings = workspace.config.select
    own = f"{settings.strategy}+{settings.mix}" if settings.mix else settings.strategy
    wanted = dict.fromkeys(["random", *(names or [own])])
    readable = _readable(workspace.store)
    raw = readable.filter(_series(~bench.away[readable["position"].to_numpy()]))
    n = Budget.parse(str(settings.budget)).samples(len(raw))
    place = raw["position"].to_numpy().astype(np.int64)
    found = {RAW: [place[drawn(raw, seed)][:n] for seed in range(n_seeds)]}
    with workspace.progress.bar("choose", len(wanted) * n_seeds, "selections") as bar:
        for name in wanted:
            strategy, _, mix = name.partition("+")
            asked = {"select.strategy": strategy, **({"select.mix": mix} if mix else {})}
            found[name] = []
            for seed in range(n_seeds):
                found[name].append(bench.chosen({**asked, "run.seed": seed}))
                bar.advance(1)
    return found


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
