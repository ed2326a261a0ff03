"""The figures of a trained scorer as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.text import line, table

if TYPE_CHECKING:
    from jobs.text import Tree


def trained(found: Tree) -> Iterator[str]:
    """Agreement with the labels by cross-validation, and what to do with the scorer."""
    yield line("labels", f"{found['n_labels']:,}, of which {found['n_matched']:,} are samples of this pool")
    yield line("vectors", f"of {found['model']}")
    yield line("validated", f"on {found['folds']} parts, each by a scorer that was fitted without it")
    yield ""
    capabilities = [
        (
            name.removeprefix("cap_"),
            _figure(held["spearman"]),
            f"{held['calibration_error']:.2f}",
            f"{held['bias']:+.2f}",
        )
        for name, held in found["capabilities"].items()
    ]
    yield from table(("capability", "spearman", "calibration", "bias"), capabilities, right=(1, 2, 3))
    yield ""
    styles = [
        (name.removeprefix("style_"), f"{held['n_positive']:,}", _figure(held["f1"]))
        for name, held in found["styles"].items()
    ]
    yield from table(("style", "samples", "F1"), styles, right=(1, 2))
    yield ""
    yield line("mean", f"Spearman {_figure(found['mean_spearman'])}, F1 {_figure(found['macro_f1'])}")
    named = f" --probe {found['out']}" if found["out"] else ""
    yield line("next", f"curate score --capability probe{named}")


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
