"""The exam: for each held-out question the right answer among others of its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.proof.questions import Questions

CHOICES = 8
LEAST_ITEMS = 20
SATURATED = 0.98
RESAMPLED = 500
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Exam:
    """t questions; `choices` are pairs whose answers are offered, the right one first."""

    items: Ints  # (t,) pairs
    choices: Ints  # (t, CHOICES), -1 where a source has fewer different answers
    task: Ints  # (t,)

    def marks(self, said: NDArray[np.float32], answers: NDArray[np.float32]) -> NDArray[np.float32]:
        """(t,) 1 where what was said is nearest to the right answer, else 0; ties count as wrong.

        `said` (t, d), `answers` (m, d) of unit length.
        """
        near = np.einsum("td,tcd->tc", said, answers[self.choices])
        near[self.choices < 0] = -np.inf
        right: NDArray[np.float32] = (near[:, 0] > near[:, 1:].max(axis=1)).astype(np.float32)
        return right

    @property
    def chance(self) -> NDArray[np.float64]:
        """(t,) marks of guessing."""
        found: NDArray[np.float64] = 1.0 / (self.choices >= 0).sum(axis=1)
        return found

    def shorter(self, most: int, seed: int) -> Exam:
        """At most so many questions of each task, drawn by chance, in their order."""
        lots = np.random.default_rng(seed).permutation(len(self.items))
        mine = [np.flatnonzero(self.task == task) for task in np.unique(self.task)]
        kept = [rows[np.argsort(lots[rows])[:most]] for rows in mine]
        rows = np.sort(np.concatenate([np.zeros(0, np.int64), *kept]))
        return Exam(self.items[rows], self.choices[rows], self.task[rows])


def exam_of(questions: Questions, rows: NDArray[np.bool_], seed: int) -> Exam:
    """Questions of the samples `rows` (n,), each with other answers of its source that were drawn."""
    rng = np.random.default_rng(seed)
    pairs = np.flatnonzero(rows[questions.sample])
    answers = np.array(questions.answer, object)
    items: list[int] = []
    choices: list[list[int]] = []
    for task in range(len(questions.tasks)):
        mine = pairs[questions.task[pairs] == task]
        _, first = np.unique(answers[mine].astype(str), return_index=True)
        distinct = mine[first]
        if len(distinct) < 2:
            continue
        for pair in mine.tolist():
            others = distinct[answers[distinct] != answers[pair]]
            drawn = rng.permutation(others)[: CHOICES - 1].tolist()
            items.append(pair)
            choices.append([pair, *drawn, *[-1] * (CHOICES - 1 - len(drawn))])
    chosen = np.array(items, np.int64)
    return Exam(chosen, np.array(choices, np.int64).reshape(-1, CHOICES), questions.task[chosen])


def judged(exam: Exam, marks: NDArray[np.float32]) -> dict[int, str]:
    """Of each task why it cannot tell students apart.

    Empty where it can: enough questions, marks above chance by two errors, and not saturated.
    """
    found = {}
    for task in np.unique(exam.task):
        mine = exam.task == task
        n, mean, chance = int(mine.sum()), float(marks[mine].mean()), float(exam.chance[mine].mean())
        error = np.sqrt(max(mean * (1 - mean), 1e-9) / n)
        reasons = {
            f"only {n} questions": n < LEAST_ITEMS,
            "at chance": mean - 2 * error <= chance,
            "all known": mean >= SATURATED,
        }
        found[int(task)] = next((reason for reason, holds in reasons.items() if holds), "")
    return found


@dataclass(frozen=True)
class Score:
    """Marks relative to those of the full data: the mean over tasks, as mmSSR has it, and over questions."""

    mean: float
    weighted: float
    interval: tuple[float, float]  # 95 %, over seeds and questions
    gain: float  # over the baseline, paired
    gain_interval: tuple[float, float]


Marks = NDArray[np.float32]  # (seeds, t)


def scores(
    marks: Mapping[str, Marks], full: Marks, exam: Exam, tasks: Ints, baseline: str | Mapping[str, str]
) -> dict[str, Score]:
    """Of each selection its marks over those of `full`, the whole data, with bootstrapped intervals.

    Seeds and questions are drawn again together, the same for all selections: what is compared is paired,
    with the selection `baseline`, or with that of which `baseline` has the name.
    """
    against = {name: baseline if isinstance(baseline, str) else baseline[name] for name in marks}
    members = [np.flatnonzero(exam.task == task) for task in tasks]
    weights = np.array([len(each) for each in members]) / sum(map(len, members))
    drawn = _resampled({**marks, "": full}, members)
    relative = {name: _by_task(each, members) / _by_task(full, members) for name, each in marks.items()}
    return {
        name: Score(
            float(relative[name].mean()),
            float(relative[name] @ weights),
            _interval(drawn[name]),
            float((relative[name] - relative[against[name]]).mean()),
            _interval(drawn[name] - drawn[against[name]]),
        )
        for name in marks
    }


def _by_task(marks: Marks, members: list[Ints]) -> NDArray[np.float64]:
    return np.array([marks[:, mine].mean() for mine in members], np.float64)


def _resampled(marks: Mapping[str, Marks], members: list[Ints]) -> dict[str, NDArray[np.float64]]:
    """(RESAMPLED,) of each selection what `Score.mean` would be on other seeds and questions."""
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {name: [] for name in marks}
    for _ in range(RESAMPLED):
        items = [rng.choice(mine, len(mine)) for mine in members]
        lot = rng.random(max(map(len, marks.values())))
        means = {}
        for name, each in marks.items():
            seeds = (lot[: len(each)] * len(each)).astype(np.int64)
            mean = each[seeds].mean(axis=0)
            means[name] = np.array([mean[mine].mean() for mine in items])
        for name, mean in means.items():
            found[name].append(float(np.mean(mean / np.maximum(means[""], 1e-9))))
    return {name: np.array(values) for name, values in found.items()}


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
