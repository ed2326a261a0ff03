"""Seconds, memory and objective of the selectors, against plain pandas, apricot-select and submodlib.

Every case runs in a process of its own, so that its peak of memory is its own. The alternatives,
apricot-select and submodlib-py, are asked for the largest pool they manage in a minute; they are installed
into folders of their own, and what cannot be is named.

    python -m benchmarks.select [--quick] [--json]
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.environments import Unavailable, variables, versions
from benchmarks.report import parser, show

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    Array = np.ndarray[Any, Any]

SHARE = 10  # facility and kcenter keep a tenth
DIM = 256
SECONDS = 60.0  # what an alternative gets before it is asked for no more


# --- tables ----------------------------------------------------------------------------------------------


def ids(n: int, seed: int = 0) -> dict[str, pl.Series]:
    """Random uid and content_hash of n rows."""
    import polars as pl
    import pyarrow as pa

    rng = np.random.default_rng(seed)
    made = {}
    for name in ("uid", "content_hash"):
        raw = pa.py_buffer(rng.bytes(16 * n))
        made[name] = pl.Series(name, pa.Array.from_buffers(pa.binary(16), n, [None, raw]))
    return made


def rated(n: int) -> pl.DataFrame:
    """14 capabilities of integer scores, most of them 0, and 9 styles, as an endpoint gives them."""
    import polars as pl

    from scorers.taxonomy import CAPABILITY_COLUMNS, STYLE_COLUMNS

    rng = np.random.default_rng(1)
    columns: dict[str, Any] = dict(ids(n))
    columns["cluster"] = rng.integers(0, 1000, n, dtype=np.int32)
    for name in CAPABILITY_COLUMNS:
        columns[name] = np.maximum(rng.integers(-4, 6, n, dtype=np.int8), 0).astype(np.float32)
    style = rng.choice(len(STYLE_COLUMNS), n, p=np.arange(1, 10) / 45)
    for number, name in enumerate(STYLE_COLUMNS):
        columns[name] = (style == number).astype(np.float32)
    return pl.DataFrame(columns)


def scored(n: int) -> pl.DataFrame:
    """Five scores of different shapes and 1,000 clusters of different sizes."""
    import polars as pl

    rng = np.random.default_rng(2)
    columns: dict[str, Any] = dict(ids(n))
    columns["cluster"] = np.minimum(rng.exponential(200, n), 999).astype(np.int32)
    columns["nll"] = rng.gamma(2.0, 1.0, n).astype(np.float32)
    columns["image_grounding"] = np.exp(rng.normal(size=n)).astype(np.float32)
    columns["el2n"] = rng.beta(2, 5, n).astype(np.float32)
    columns["answer_entropy"] = rng.normal(size=n).astype(np.float32)
    columns["alignment"] = rng.normal(size=n).astype(np.float32)
    return pl.DataFrame(columns)


def blobs(n: int, d: int = DIM) -> tuple[Array, Array]:
    """Unit vectors around n / 500 centres, as embeddings of a pool are, and their clusters."""
    from clustering.vectors import unit
    from schemas.grid import on_grid

    rng = np.random.default_rng(3)
    k = max(n // 500, 4)
    centres = unit(rng.normal(size=(k, d))) + 1.5 * unit(rng.normal(size=(1, d)))
    cluster = rng.integers(0, k, n)
    rows = np.empty((n, d), np.float32)
    for start in range(0, n, 4096):
        part = slice(start, start + 4096)
        noise = rng.normal(size=(len(cluster[part]), d)) / np.sqrt(d)
        rows[part] = unit(centres[cluster[part]] + 0.8 * noise)
    return on_grid(rows), cluster


# --- ours ------------------------------------------------------------------------------------------------


def mmssr(n: int) -> dict[str, float]:
    """`mmssr` at 30 %."""
    from curation.selectors import selector

    table = rated(n)
    start = time.monotonic()
    picks = selector("mmssr").select(table, n * 3 // 10, 0)
    seconds = time.monotonic() - start
    assert len(np.unique(picks)) == n * 3 // 10
    return {"seconds": seconds}


def adapt(n: int) -> dict[str, float]:
    """`adapt` at 30 % over five scores."""
    from curation.selectors import selector

    table = scored(n)
    start = time.monotonic()
    picks = selector("adapt:nll,image_grounding,el2n,answer_entropy,alignment").select(table, n * 3 // 10, 0)
    seconds = time.monotonic() - start
    assert len(np.unique(picks)) == n * 3 // 10
    return {"seconds": seconds}


def kcenter(n: int) -> dict[str, float]:
    """Greedy k-center to 10 %, and its radius in cosine distance."""
    from curation.selectors.farthest import farthest_first, middle

    rows, _ = blobs(n)
    start = time.monotonic()
    picks, _ = farthest_first(rows, n // SHARE, middle(rows))
    seconds = time.monotonic() - start
    return {"seconds": seconds, "objective": radius(rows, picks)}


def facility(n: int) -> dict[str, float]:
    """Facility location to 10 %, and the sum of the cosines to the nearest pick."""
    from curation.selectors.cover import Coverage, lazy
    from curation.selectors.similar import similar

    rows, cluster = blobs(n)
    start = time.monotonic()
    picks, _ = lazy(Coverage([similar(rows, cluster)]), n // SHARE)
    seconds = time.monotonic() - start
    return {"seconds": seconds, "objective": covered(rows, picks)}


def radius(rows: Array, picks: Array) -> float:
    """The largest distance of a row to its nearest pick."""
    return 1.0 - float(nearest_of(rows, picks).min())


def covered(rows: Array, picks: Array) -> float:
    """The sum over rows of the cosine to the nearest pick, 0 at least."""
    return float(np.maximum(nearest_of(rows, picks), 0.0).sum())


def nearest_of(rows: Array, picks: Array) -> Array:
    """The cosine of each row to its nearest pick."""
    from curation.selectors.measures import nearest

    return nearest(rows, rows[picks])


# --- theirs ----------------------------------------------------------------------------------------------


def pandas_mmssr(n: int) -> dict[str, float]:
    """The straightforward round-robin: sort what is left for each capability, take strata in turn."""
    from scorers.taxonomy import CAPABILITY_COLUMNS, STYLE_COLUMNS

    frame = rated(n).drop("uid", "content_hash").to_pandas()
    frame["style"] = frame[list(STYLE_COLUMNS)].to_numpy().argmax(axis=1)
    start = time.monotonic()
    chosen: list[int] = []
    left, budget = frame, n * 3 // 10
    while len(chosen) < budget:
        quota = max((budget - len(chosen)) // len(CAPABILITY_COLUMNS), 1)
        for name in CAPABILITY_COLUMNS:
            ranked = left[left[name] > 0].sort_values(name, ascending=False)
            taken: list[int] = []
            groups = sorted((group for _, group in ranked.groupby("style")), key=len)
            for number, group in enumerate(groups):
                share = (quota - len(taken)) // (len(groups) - number)
                taken += group.index[:share].tolist()
            left = left.drop(index=taken)
            chosen += taken
            if len(chosen) >= budget:
                break
    return {"seconds": time.monotonic() - start}


def plain_kcenter(n: int) -> dict[str, float]:
    """The loop that people write: one product of all rows with one pick, n / 10 times."""
    from curation.selectors.farthest import middle

    rows, _ = blobs(n)
    start = time.monotonic()
    picks = [middle(rows)]
    closest = rows @ rows[picks[0]]
    while len(picks) < n // SHARE:
        closest[picks[-1]] = np.inf
        picks.append(int(closest.argmin()))
        np.maximum(closest, rows @ rows[picks[-1]], out=closest)
    return {"seconds": time.monotonic() - start, "objective": radius(rows, np.array(picks))}


def apricot_facility(n: int) -> dict[str, float]:
    """apricot-select, lazy greedy on the matrix of cosines, which it has to have whole."""
    from apricot import FacilityLocationSelection  # type: ignore[import-not-found]  # may not be there

    rows, _ = blobs(n)
    # Compiles its loops the first time: that is not timed.
    few = np.maximum(rows[:50] @ rows[:50].T, 0.0).astype(np.float64)
    FacilityLocationSelection(5, metric="precomputed", optimizer="lazy").fit(few)
    start = time.monotonic()
    similarity = np.maximum(rows @ rows.T, 0.0).astype(np.float64)
    chosen = FacilityLocationSelection(n // SHARE, metric="precomputed", optimizer="lazy").fit(similarity)
    seconds = time.monotonic() - start
    return {"seconds": seconds, "objective": covered(rows, np.asarray(chosen.ranking))}


def submodlib_facility(n: int) -> dict[str, float]:
    """submodlib-py, lazy greedy on a dense kernel."""
    from submodlib import FacilityLocationFunction  # type: ignore[import-not-found]  # may not be there

    rows, _ = blobs(n)
    start = time.monotonic()
    kernel = np.maximum(rows @ rows.T, 0.0)
    made = FacilityLocationFunction(n=n, mode="dense", sijs=kernel, separate_rep=False)
    found = made.maximize(budget=n // SHARE, optimizer="LazyGreedy", show_progress=False)
    seconds = time.monotonic() - start
    return {"seconds": seconds, "objective": covered(rows, np.array([row for row, _ in found]))}


def submodlib_maxmin(n: int) -> dict[str, float]:
    """submodlib-py, disparity-min: the nearest thing it has to k-center."""
    from submodlib import DisparityMinFunction

    rows, _ = blobs(n)
    kernel = 1.0 - np.maximum(rows @ rows.T, 0.0)
    start = time.monotonic()
    made = DisparityMinFunction(n=n, mode="dense", sijs=kernel)
    found = made.maximize(budget=n // SHARE, optimizer="NaiveGreedy", show_progress=False)
    seconds = time.monotonic() - start
    return {"seconds": seconds, "objective": radius(rows, np.array([row for row, _ in found]))}


# --- running ---------------------------------------------------------------------------------------------

CASES: dict[str, Callable[[int], dict[str, float]]] = {
    "mmssr": mmssr,
    "adapt": adapt,
    "kcenter": kcenter,
    "facility": facility,
    "pandas_mmssr": pandas_mmssr,
    "plain_kcenter": plain_kcenter,
    "apricot_facility": apricot_facility,
    "submodlib_facility": submodlib_facility,
    "submodlib_maxmin": submodlib_maxmin,
}
# What each alternative is compared with, and the peer that it needs.
AGAINST = {
    "plain_kcenter": ("kcenter", None),
    "apricot_facility": ("facility", "apricot"),
    "submodlib_facility": ("facility", "submodlib"),
    "submodlib_maxmin": ("kcenter", "submodlib"),
}
SIZES = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)


def run(
    case: str, n: int, timeout: float | None = None, environment: dict[str, str] | None = None
) -> dict[str, float]:
    """The figures of one case in a process of its own, with its peak of memory; empty where it fails."""
    command = [sys.executable, "-m", "benchmarks.select", "--case", case, "--n", str(n)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=timeout, env=environment
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = error.stderr or ""
        text = said if isinstance(said, str) else said.decode(errors="replace")  # bytes once it timed out
        sys.stderr.write(f"{case} at {n:,} rows: {str(error)[-200:]}\n{text[-500:]}\n")
        return {}
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def against(alternative: str, *, quick: bool) -> dict[str, float]:
    """Both at the largest size that the alternative manages in a minute.

    Raises:
        Unavailable: the alternative cannot be installed.
    """
    ours, peer = AGAINST[alternative]
    environment = variables(peer) if peer else None
    best: tuple[int, dict[str, float]] = (0, {})
    for n in SIZES[:2] if quick else SIZES:
        found = run(alternative, n, timeout=4 * SECONDS, environment=environment)
        if not found:
            break
        best = (n, found)
        if found["seconds"] > SECONDS / 4:
            break
    n, theirs = best
    if not n:
        return {}
    own = run(ours, n)
    return {
        f"{alternative}.rows": n,
        f"{alternative}.seconds": theirs["seconds"],
        f"{alternative}.peak_gb": theirs["peak_gb"],
        f"{alternative}.seconds_ours": own["seconds"],
        f"{alternative}.ratio": theirs["seconds"] / own["seconds"],
        f"{alternative}.objective_ours_over_theirs": own["objective"] / theirs["objective"],
    }


def main() -> None:
    """All figures, or one case for itself."""
    flags = parser(__doc__)
    flags.add_argument("--case", choices=list(CASES), help="one case in this process")
    flags.add_argument("--n", type=int, default=100_000)
    given = flags.parse_args()
    if given.case:
        before = time.process_time()
        found = CASES[given.case](given.n)
        # With the making of the table and the measuring of the objective, on all cores.
        found["cpu_seconds_in_all"] = time.process_time() - before
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({**found, "peak_gb": peak}))
        return
    scale = 20 if given.quick else 1
    figures: dict[str, float] = {}
    sizes = [("mmssr", 2_600_000), ("adapt", 1_000_000), ("kcenter", 100_000), ("facility", 100_000)]
    for case, n in sizes:
        found = run(case, n // scale)
        figures |= {f"{case}.{n // scale}_rows.{name}": value for name, value in found.items()}
    for case in ("mmssr", "adapt"):
        small, large = (
            statistics.median(run(case, n // scale)["seconds"] for _ in range(3))
            for n in (250_000, 1_000_000)
        )
        figures[f"{case}.growth_250k_to_1M"] = large / small
    rows = 100_000 // scale
    figures["pandas_mmssr.ratio"] = run("pandas_mmssr", rows)["seconds"] / run("mmssr", rows)["seconds"]
    skipped: dict[str, str] = {}
    for alternative in AGAINST:
        try:
            figures |= against(alternative, quick=given.quick)
        except Unavailable as error:
            skipped[alternative] = str(error)
    packages = ["numpy", "polars", *versions(["apricot", "submodlib"])]
    show("select", figures, packages, as_json=given.json, skipped=skipped)


if __name__ == "__main__":
    main()
