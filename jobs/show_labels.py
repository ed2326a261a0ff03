"""What was asked of an endpoint, or would be, and the figures of a trained scorer, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from curation.progress import duration
from jobs.text import Tree, line, table


def requests(found: Tree) -> Iterator[str]:
    """How many requests there would be, and what they take."""
    about = "about " if found["estimated"] else ""
    held = f"; {found['n_held']:,} more are answered already" if found["n_held"] else ""
    yield line("endpoint", f"{about}{found['n_to_ask']:,} requests to {found['model']}{held}")
    if found["n_to_ask"]:
        yield line("", f"about {duration(found['seconds'])}, if an answer takes 2 s")
        yield line(
            "tokens",
            f"about {found['prompt_tokens']:,} in prompts, {found['completion_tokens']:,} in answers",
        )


def labelled(found: Tree) -> Iterator[str]:
    """What the labels are, and what they took."""
    yield line("labelled", f"{found['n_labelled']:,} of {found['n_sampled']:,} samples by {found['model']}")
    for code, n in found["null"].items():
        yield line("", f"{n:>7,}  {code}")
    asked = found["requests"]
    again = f", {asked['retried']:,} of them again" if asked["retried"] else ""
    yield line("requests", f"{asked['asked']:,} sent{again}; {asked['held']:,} were answered already")
    if asked["prompt_tokens"]:
        yield line(
            "tokens", f"{asked['prompt_tokens']:,} in prompts, {asked['completion_tokens']:,} in answers"
        )
    yield line("took", f"{found['seconds']:,.1f} s")
    if found["out"]:
        yield line("wrote", found["out"])
    yield line("next", "curate train-scorer")


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
