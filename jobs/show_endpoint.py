"""What was asked of an endpoint, or would be, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from curation.progress import duration
from jobs.text import line

if TYPE_CHECKING:
    from jobs.text import Tree


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
