"""What a step left out of each dataset, by reason. Read from tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curation.steps.prune.decide import EXACT, NEAR, PERCEPTUAL, PIXELS
from curation.steps.select.filters import clauses
from curation.steps.select.select import KEPT, OVER_BUDGET, QUARANTINED
from curation.storage.ids import positions
from curation.storage.store import Store

# The share of a dataset above which it is news that defaults left it out.
HEAVY = 0.3
# What pruning leaves out though no setting asks for it.
DEFAULT_LEVELS = (EXACT, PIXELS, NEAR, PERCEPTUAL)


@dataclass(frozen=True)
class Loss:
    """Samples of one dataset that are left out for one reason."""

    dataset: str
    reason: str  # as in `pruned` or `selection`
    clause: str | None  # of the filters, where one was the reason
    default: bool  # no setting asked for it
    n: int
    of: int  # readable samples of the dataset
    share: float  # n / of, in (0, 1]


def of_pruning(store: Store) -> list[Loss]:
    """What `pruned` takes out of each dataset, the largest share first."""
    pruned = store.read("pruned", ["uid", "reason"])
    checked = store.read("checked", ["uid", "dataset"])
    place = positions(pruned["uid"], checked["uid"])
    datasets = checked["dataset"].take(pa.array(place)).to_pylist()
    left_out = Counter(zip(datasets, pruned["reason"].to_pylist(), strict=True))
    readable = _readable(store)
    return _sorted(
        _loss(dataset, reason, None, reason in DEFAULT_LEVELS, n, readable)
        for (dataset, reason), n in left_out.items()
    )


def of_selection(store: Store) -> list[Loss]:
    """What is no candidate of each dataset, the largest share first."""
    chosen = store.read("selection", ["reason", "clause"])
    table = chosen.append_column("dataset", store.read("checked", ["dataset"])["dataset"])
    others = pa.array([KEPT, OVER_BUDGET, QUARANTINED])
    gone = table.filter(pc.invert(pc.is_in(table["reason"], value_set=others)))
    left_out = gone.group_by(["dataset", "reason", "clause"]).aggregate([([], "count_all")])
    where = store.manifest("selection").stage["params"]["where"]
    asked: set[str | None] = {None, *(clause.text for clause in clauses(where))}
    readable = _readable(store)
    return _sorted(
        _loss(dataset, reason, clause, reason in DEFAULT_LEVELS or clause not in asked, n, readable)
        for dataset, reason, clause, n in zip(
            *(left_out[name].to_pylist() for name in ("dataset", "reason", "clause", "count_all")),
            strict=True,
        )
    )


def heavy(losses: Sequence[Loss], n_left: int) -> list[Loss]:
    """Those that are news: defaults that take more than HEAVY of a dataset, or all where nothing is left."""
    by_default: Counter[str] = Counter()
    for loss in losses:
        by_default[loss.dataset] += loss.n * loss.default
    return [
        loss for loss in losses if not n_left or (loss.default and by_default[loss.dataset] > HEAVY * loss.of)
    ]


def _readable(store: Store) -> dict[str, int]:
    """How many samples of each dataset are not in quarantine."""
    checked = store.read("checked", ["dataset", "error"])
    return Counter(checked["dataset"].filter(checked["error"].is_null()).to_pylist())


def _loss(
    dataset: str, reason: str, clause: str | None, default: bool, n: int, readable: Mapping[str, int]
) -> Loss:
    of = readable[dataset]
    return Loss(dataset, reason, clause, default, n, of, round(n / of, 4))


def _sorted(losses: Iterable[Loss]) -> list[Loss]:
    return sorted(losses, key=lambda loss: (-loss.share, loss.dataset, loss.reason, loss.clause or ""))
