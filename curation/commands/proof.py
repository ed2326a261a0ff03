"""`curate proof`: does a selection train better than chance on this pool? Small students say."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.commands.proof_bench import Bench, Taught, prepared
from curation.pipeline.pipeline import Pipeline
from curation.proof.amounts import EQUAL, amounts_of, as_much
from curation.proof.questions import Questions
from curation.proof.students import SEEDLESS, STEPS, STUDENTS, Pace
from curation.proof.tables import RAW, table_of
from curation.selectors.order import drawn
from curation.storage.store import Store
from schemas.budget import Budget
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

Ints = NDArray[np.int64]
Picks = Mapping[str, list[Ints]]
VIEWS = ("encoder", "plain")
VLM = "vlm"


def proof(
    workspace: Pipeline,
    names: Sequence[str],
    *,
    n_seeds: int = 8,
    students: Sequence[str] = ("ridge",),
    views: Sequence[str] = ("encoder",),
    equal: str = "samples",
    steps: int = STEPS,
    epochs: float | None = None,
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
        students: names of STUDENTS, `vlm` (the model of the settings), or `vlm:MODEL`.
        views: what they see: `encoder`, `plain` (nothing that an encoder made); `vlm` sees the samples.
        equal: of EQUAL, what the random samples of everything have as much of as the selection that is held
            against them.
        steps: of a student that takes some.
        epochs: instead, passes over what it learns from.
        clean: (n,) samples that may be asked about, where it is known; all by default.
        kinds: (n,) what each sample is, where that is known; the picks are counted by it.

    Raises:
        BudgetError: no budget is named.
        ConfigError: there is no such student, view or amount.
        NothingLeft: no source can tell students apart.
    """
    start = time.monotonic()
    models = _models(workspace, students, equal, steps, epochs)
    pace = Pace(steps, epochs)
    small = [student for student in students if student in STUDENTS]
    with prepared(workspace, views if small else [], clean) as bench:
        picks = _picks(bench, names, n_seeds)
        matched = _matched(bench, picks, equal)
        found = []
        fulls = sum(1 if student in SEEDLESS else n_seeds for student in small)
        n_taught = len(small) * (len(picks) + len(matched)) * n_seeds + fulls
        if small:
            with workspace.progress.bar("train students", len(bench.views) * n_taught, "students") as bar:
                for view in bench.views:
                    for student in small:
                        taught = Taught(bench, view, student, lambda: bar.advance(1), pace)
                        found.append(taught.table(picks, n_seeds, matched))
        for name, model in models.items():
            found.append(_finetuned(bench, name, model, pace, picks, n_seeds, matched))
        return {
            "budget": workspace.config.select.budget,
            "equal": equal,
            "n_held_out": int(bench.away.sum()),
            "n_seeds": n_seeds,
            "tables": found,
            "picked": {name: _described(bench.questions, rows, kinds) for name, rows in picks.items()},
            "seconds": round(time.monotonic() - start, 2),
        }


def _models(
    workspace: Pipeline, students: Sequence[str], equal: str, steps: int, epochs: float | None
) -> dict[str, str]:
    """The checkpoints among the students, by the students' names; and what is asked for is checked.

    Raises:
        ConfigError: there is no such student or amount.
    """
    found = {}
    for student in students:
        kind, colon, model = student.partition(":")
        if kind == VLM:
            of_settings = workspace.config.vlm.model
            if not (model if colon else of_settings):
                raise ConfigError(
                    f"--student {student} needs a vision-language model: --vlm MODEL, which also scores the "
                    "pool, or --student vlm:MODEL for the student alone, such as vlm:builtin"
                )
            found[student] = model or str(of_settings)
        elif student not in STUDENTS:
            raise ConfigError(
                f"there is no student {student!r}; there are {', '.join(STUDENTS)}, vlm and vlm:MODEL"
            )
    if equal not in EQUAL:
        raise ConfigError(f"--equal {equal}: there are {', '.join(EQUAL)}")
    if (epochs is not None or steps != STEPS) and set(students) <= SEEDLESS:
        raise ConfigError("--steps and --epochs are for --student mlp or vlm; ridge is solved at once")
    return found


def _finetuned(
    bench: Bench, name: str, model: str, pace: Pace, picks: Picks, n_seeds: int, matched: Picks
) -> dict[str, Any]:
    """The table of a checkpoint."""
    progress = bench.workspace.progress
    progress.note(f"loading {model}")
    pupil = bench.finetuned(model, pace)
    learned = [rows for each in (*picks.values(), *matched.values()) for rows in each]
    total = sum(pupil.cost(len(pupil.pairs(rows)), tried=False) for rows in learned)
    total += n_seeds * pupil.cost(len(pupil.pairs(bench.everything)))
    with progress.bar("fine-tune and ask", total, "prompts") as bar:
        pupil.advance = bar.advance
        found = table_of(pupil, bench.questions.tasks, bench.everything, picks, n_seeds, matched)
    return {**found, "student": name}


def _picks(bench: Bench, names: Sequence[str], n_seeds: int) -> dict[str, list[Ints]]:
    """Of each selection its samples, a seed at a time."""
    workspace = bench.workspace
    settings = workspace.config.select
    own = f"{settings.strategy}+{settings.mix}" if settings.mix else settings.strategy
    wanted = dict.fromkeys(["random", *(names or [own])])
    orders = _by_chance(bench, n_seeds)
    n = Budget.parse(str(settings.budget)).samples(len(orders[0]))
    found = {RAW: [order[:n] for order in orders]}
    with workspace.progress.bar("choose", len(wanted) * n_seeds, "selections") as bar:
        for name in wanted:
            strategy, _, mix = name.partition("+")
            asked = {"select.strategy": strategy, **({"select.mix": mix} if mix else {})}
            found[name] = []
            for seed in range(n_seeds):
                found[name].append(bench.chosen({**asked, "run.seed": seed}))
                bar.advance(1)
    return found


def _matched(bench: Bench, picks: Picks, equal: str) -> dict[str, list[Ints]]:
    """Of each selection random samples of everything that have as much as it, a seed at a time."""
    if equal == "samples":
        return {}
    amounts = amounts_of(equal, bench.questions, bench.workspace.store)
    orders = _by_chance(bench, len(picks[RAW]))
    return {
        name: [
            as_much(order, amounts, int(amounts[rows].sum()))
            for order, rows in zip(orders, each, strict=True)
        ]
        for name, each in picks.items()
        if name != RAW
    }


def _by_chance(bench: Bench, n_seeds: int) -> list[Ints]:
    """Everything readable that is not held out, in the order of each seed."""
    readable = _readable(bench.workspace.store)
    raw = readable.filter(_series(~bench.away[readable["position"].to_numpy()]))
    place = raw["position"].to_numpy().astype(np.int64)
    return [place[drawn(raw, seed)] for seed in range(n_seeds)]


def _readable(store: Store) -> pl.DataFrame:
    import polars as pl

    table = pl.from_arrow(store.read("checked", ["uid", "content_hash", "error"]))
    assert isinstance(table, pl.DataFrame)
    return table.with_row_index("position").filter(pl.col("error").is_null())


def _series(mask: NDArray[np.bool_]) -> pl.Series:
    import polars as pl

    return pl.Series(mask)


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
