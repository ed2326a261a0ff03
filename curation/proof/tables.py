"""From students to tables: which tasks count, and what each selection is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from curation.proof.exam import Exam, judged, scores
from schemas.errors import NothingLeft

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
RAW = "random over everything"


class Pupil(Protocol):
    """One kind of student that learns from samples and is examined."""

    @property
    def student(self) -> str: ...

    @property
    def sees(self) -> str | None:
        """The name of a view; None where it sees the samples themselves."""
        ...

    @property
    def exam(self) -> Exam: ...

    @property
    def trial(self) -> Exam: ...

    @property
    def seedless(self) -> bool:
        """Whether it learns the same by every seed."""
        ...

    def marks(self, rows: Ints, seed: int, *, tried: bool = True) -> tuple[Floats, Floats]:
        """What it gets in the exam, and in the trial if `tried`, once it learned from the samples."""
        ...


def telling(pupil: Pupil, names: Sequence[str], of_trial: Floats) -> tuple[Ints, dict[str, str]]:
    """Tasks that can tell students apart, by what one that learned from everything gets in the trial.

    And why each of the others cannot.

    Raises:
        NothingLeft: there is none.
    """
    why = judged(pupil.trial, of_trial)
    asked = set(pupil.exam.task.tolist())
    reasons = {
        name: "no questions" if task not in asked else why.get(task, "no other questions to judge it by")
        for task, name in enumerate(names)
    }
    found = [task for task, name in enumerate(names) if not reasons[name]]
    if not found:
        raise NothingLeft(
            f"no source tells students apart: {pupil.student} that learned from everything is at chance, "
            "or knows all, in each of them; more records, or another --student or --view, may"
        )
    return np.array(found, np.int64), {name: reason for name, reason in reasons.items() if reason}


def table_of(
    pupil: Pupil,
    names: Sequence[str],
    everything: Ints,
    picks: Mapping[str, list[Ints]],
    n_seeds: int,
    matched: Mapping[str, list[Ints]] | None = None,
) -> dict[str, Any]:
    """All selections, over all seeds.

    Args:
        pupil: who learns.
        names: of the tasks.
        everything: the samples there are to learn from.
        picks: samples of each selection, a seed at a time; RAW is the baseline.
        n_seeds: of students that learn from everything.
        matched: baselines of their own, by the selection that is held against them.
    """
    exam, matched = pupil.exam, matched or {}
    whole = [pupil.marks(everything, seed) for seed in range(1 if pupil.seedless else n_seeds)]
    full = np.stack([marks for marks, _ in whole])
    tasks, left_out = telling(pupil, names, np.mean([marks for _, marks in whole], axis=0))
    own = {name: f"{RAW}, as much as {name}" for name in matched}
    every = {**picks, **{own[name]: rows for name, rows in matched.items()}}
    marks = {
        name: np.stack([pupil.marks(rows, seed, tried=False)[0] for seed, rows in enumerate(each)])
        for name, each in every.items()
    }
    found = scores(marks, full, exam, tasks, {name: own.get(name, RAW) for name in every})
    return {
        "view": pupil.sees,
        "student": pupil.student,
        "n_questions": int(np.isin(exam.task, tasks).sum()),
        "full": {names[task]: round(float(full[:, exam.task == task].mean()), 4) for task in tasks},
        "left_out": left_out,
        "n_trial": len(pupil.trial.items),
        "scores": {name: asdict(found[name]) for name in picks},
    }
