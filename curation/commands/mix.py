"""`curate mix`: shares of the sources that train best, found with small students in minutes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.commands.proof_bench import Bench, Taught, prepared
from curation.pipeline.pipeline import Pipeline
from curation.proof.exam import scores
from curation.storage.files import put
from schemas.errors import ConfigError

Ints = NDArray[np.int64]
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
SPREAD = 0.7  # deviation of the logarithms of drawn shares around those of the square root
PROPORTIONAL, ROOT = "proportional", "sqrt"


def mix(
    workspace: Pipeline,
    *,
    n: int = 16,
    n_seeds: int = 8,
    targets: Sequence[str] = (),
    out: Path | str | None = None,
) -> dict[str, Any]:
    """Search shares by successive halving (arXiv 1502.07943): many by one seed, the better half by two more.

    Begins with powers of the sources' sizes and shares drawn around their square root. What survives is held
    against `proportional` and `sqrt` on questions that took no part in the search. Inside the groups the
    strategy of the settings chooses.

    Args:
        workspace: its chain is run as far as needed.
        n: mixtures to begin with.
        n_seeds: of the last comparison.
        targets: sources whose questions count; by default all that can tell students apart.
        out: a file for the shares, as `--mix @FILE` reads it.

    Raises:
        BudgetError: no budget is named.
        ConfigError: a target is no source that can tell students apart.
        NothingLeft: no source can.
    """
    start = time.monotonic()
    with TemporaryDirectory() as scratch, prepared(workspace, ["encoder"]) as bench:
        names, sizes = _sources(bench)
        mixtures = _written(_begin(names, sizes, n, workspace.config.run.seed), scratch)
        with workspace.progress.bar("train students", _n_students(n, n_seeds), "students") as bar:
            taught = Taught(bench, bench.views[0], "ridge", lambda: bar.advance(1))
            full, of_trial = taught.marks(bench.everything, 0)
            tasks = _wanted(bench, taught.tasks(of_trial), targets)
            best = _halved(bench, taught, list(mixtures), tasks, of_trial)
            others = dict.fromkeys([PROPORTIONAL, ROOT, best])
            marks = {spec: _marks(bench, taught, spec, n_seeds) for spec in others}
        found = scores(marks, np.stack([full]), bench.exam, tasks, baseline=PROPORTIONAL)
    shares = mixtures[best]
    if out is not None:
        put(Path(out), (json.dumps(shares, indent=1) + "\n").encode())
    return {
        "budget": workspace.config.select.budget,
        "shares": shares,
        "tasks": [bench.questions.tasks[task] for task in tasks],
        "n_mixtures": len(mixtures),
        "of_full": {_named(spec, best): round(score.mean, 4) for spec, score in found.items()},
        "gain": round(found[best].gain, 4),
        "gain_interval": [round(end, 4) for end in found[best].gain_interval],
        "out": None if out is None else str(out),
        "seconds": round(time.monotonic() - start, 2),
    }


def _sources(bench: Bench) -> tuple[list[str], NDArray[np.float64]]:
    """The sources of what may be learned from, and how many samples each has."""
    source = bench.workspace.store.read("checked", ["source"])["source"].to_pylist()
    names, sizes = np.unique([source[row] for row in bench.everything.tolist()], return_counts=True)
    return [str(name) for name in names], sizes.astype(np.float64)


def _begin(names: list[str], sizes: NDArray[np.float64], n: int, seed: int) -> list[dict[str, float]]:
    """Mixtures to begin with."""
    rng = np.random.default_rng(seed)
    shares = [sizes**power for power in POWERS]
    shares += [sizes**0.5 * np.exp(rng.normal(0, SPREAD, len(sizes))) for _ in range(max(n - len(POWERS), 0))]
    return [dict(zip(names, (each / each.sum()).round(4).tolist(), strict=True)) for each in shares[:n]]


def _written(mixtures: list[dict[str, float]], folder: str) -> dict[str, dict[str, float]]:
    """The mixtures by what `--mix` takes: files, as names of sources may hold anything."""
    found = {}
    for number, shares in enumerate(mixtures):
        path = Path(folder, f"{number}.json")
        path.write_text(json.dumps(shares), encoding="utf-8")
        found[f"@{path}"] = shares
    return found


def _halved(
    bench: Bench, taught: Taught, mixtures: Sequence[str], tasks: Ints, of_trial: NDArray[np.float32]
) -> str:
    """The mixture that is left, by marks in the trial over those of the full data."""
    members = [np.flatnonzero(bench.trial.task == task) for task in tasks]
    whole = np.array([max(of_trial[mine].mean(), 1e-9) for mine in members])
    left, sums, seed, rounds = list(mixtures), dict.fromkeys(mixtures, 0.0), 0, 1
    while True:
        for _ in range(rounds):
            for spec in left:
                _, got = taught.marks(_rows(bench, spec, seed), seed)
                sums[spec] += float(np.mean([got[mine].mean() for mine in members] / whole))
            seed += 1
        left.sort(key=lambda spec: -sums[spec])
        if len(left) <= 2:
            return left[0]
        left, rounds = left[: -(-len(left) // 2)], rounds * 2


def _marks(bench: Bench, taught: Taught, spec: str, n_seeds: int) -> NDArray[np.float32]:
    # Seeds that the search has not seen.
    return np.stack([taught.marks(_rows(bench, spec, seed), seed)[0] for seed in range(100, 100 + n_seeds)])


def _rows(bench: Bench, spec: str, seed: int) -> Ints:
    return bench.chosen({"select.mix": spec, "run.seed": seed})


def _wanted(bench: Bench, tasks: Ints, targets: Sequence[str]) -> Ints:
    names = bench.questions.tasks
    known = {names[task]: task for task in tasks.tolist()}
    unknown = sorted(set(targets) - set(known))
    if unknown:
        raise ConfigError(
            f"--for {', '.join(unknown)}: students cannot be told apart there; they can in {', '.join(known)}"
        )
    return np.array([known[name] for name in targets], np.int64) if targets else tasks


def _n_students(n: int, n_seeds: int) -> int:
    """How many are trained at most."""
    total, left, rounds = 1 + 3 * n_seeds, n, 1
    while True:
        total += left * rounds
        if left <= 2:
            return total
        left, rounds = -(-left // 2), rounds * 2


def _named(spec: str, best: str) -> str:
    return "found" if spec == best else spec
