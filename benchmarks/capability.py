"""`python -m benchmarks.capability`: how far the built-in capability probe agrees with weak labels.

Needs the internal test data. Two tables, from three kinds of scores:
  shipped   by the shipped probe; it was fitted to the sources of tier A, never to those of tier B.
  held out  of tier A by probes fitted without a fifth of the images, in turn; of tier B by the shipped one.
  left out  by a probe fitted without the sample's whole source: what to expect of data that is new to it.

Capabilities: a source's mean score less the pool's, over the pool's standard deviation; the pool is the whole
mixture. The figure is the rank, of 14, of the capability that sources.json lists first for the source, and
the share of sources where it is 4 or better.

Styles: F1 of `score >= 0.5` against the styles of the records' templates, which add up to the counts of
sources.json; macro is the mean over the styles that occur in more than one source.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report import SHARED, parser, show
from curation.commands.probe_fit import held_out, parts_of, shifted
from curation.steps.score.probe import builtin_probe
from jobs.text import table
from scorers.agreement import f1, macro
from scorers.probe import N_CAPABILITIES, fit
from scorers.taxonomy import CAPABILITIES, STYLES
from training.capability import DRAWN, FOLDS, Labelled, labelled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Scores = NDArray[np.float32]

TOP = 4
AT_LEAST = {"sources_in_top_4.held_out": 0.85, "style_macro_f1.held_out": 0.8}


def scored(data: Labelled) -> dict[str, Scores]:
    """Scores of every sample by each of the three; drawn samples are not left out."""
    probe = builtin_probe()
    facts = probe.facts["cross_validation"]
    tier_b = np.isnan(data.found.labels[:, 0])
    training = data.among(~tier_b)
    strength, thresholds = facts["strength"], np.array(facts["thresholds"])
    shipped = probe.weights.apply(data.found.rows)
    out, left = shipped.copy(), shipped.copy()
    folds = parts_of(training.groups, FOLDS)
    out[~tier_b] = shifted(held_out(training, folds, strength), thresholds)
    for source in np.unique(data.sources[~tier_b & real(data)]):
        mine = data.sources == source
        rest = data.among(~tier_b & ~mine)
        without = fit(rest.rows, rest.labels, strength).shifted(thresholds)
        left[mine] = without.apply(data.found.rows[mine])
    return {"shipped": shipped, "held_out": out, "left_out": left}


def real(data: Labelled) -> NDArray[np.bool_]:
    """Which samples are of the mixture."""
    return ~np.char.startswith(data.sources, "drawn:")


def ranks(scores: Scores, sources: NDArray[np.str_], first: Mapping[str, str]) -> dict[str, int]:
    """The rank of each source's first capability, 1 to 14; equal ones share the worse rank."""
    points = scores[:, :N_CAPABILITIES].astype(np.float64)
    mean, deviation = points.mean(axis=0), np.maximum(points.std(axis=0), 1e-9)
    names = list(CAPABILITIES)
    found = {}
    for source, capability in first.items():
        above = (points[sources == source].mean(axis=0) - mean) / deviation
        found[source] = int((above >= above[names.index(capability)]).sum())
    return found


def style_f1(scores: Scores, truth: NDArray[np.bool_], among: NDArray[np.bool_]) -> dict[str, float | None]:
    """F1 by style over the samples `among`; None where a style neither occurs nor is said to."""
    said, true = scores[among, N_CAPABILITIES:] >= 0.5, truth[among]
    return {style: f1(said[:, i], true[:, i]) for i, style in enumerate(STYLES)}


def figures(data: Labelled, facts: Mapping[str, Mapping[str, list[str]]]) -> dict[str, float]:
    """Both tables as figures."""
    kept = real(data)
    scores = {name: found[kept] for name, found in scored(data).items()}
    sources, truth, tier_b = data.sources[kept], data.styles[kept], np.isnan(data.found.labels[kept, 0])
    found: dict[str, float] = {}
    first = {source: each["capabilities"][0] for source, each in facts.items()}
    for name, held in scores.items():
        by_source = ranks(held, sources, first)
        found |= {f"rank.{source}.{name}": float(rank) for source, rank in by_source.items()}
        found[f"sources_in_top_4.{name}"] = float(np.mean([rank <= TOP for rank in by_source.values()]))
    shared = [style for style in STYLES if sum(style in each["styles"] for each in facts.values()) > 1]
    everything = np.ones(len(sources), bool)
    for name, of, among in (
        ("held_out", "held_out", everything),
        ("tier_A", "held_out", ~tier_b),
        ("tier_B", "held_out", tier_b),
        ("left_out", "left_out", everything),
    ):
        by_style = style_f1(scores[of], truth, among)
        found |= {f"style.{style}.{name}": value for style, value in by_style.items() if value is not None}
        found[f"style_macro_f1.{name}"] = macro([by_style[style] for style in shared]) or 0.0
    return found


def tables(found: Mapping[str, float], facts: Mapping[str, Mapping[str, list[str]]]) -> str:
    """Both tables as text."""
    kinds = ("shipped", "held_out", "left_out")
    ranked = [
        (source, each["capabilities"][0], *(f"{found[f'rank.{source}.{kind}']:.0f}" for kind in kinds))
        for source, each in facts.items()
    ]
    ranked.append(
        (f"in the first {TOP}", "", *(f"{found[f'sources_in_top_{TOP}.{kind}']:.2f}" for kind in kinds))
    )
    views = ("held_out", "tier_A", "tier_B", "left_out")
    styled = [
        (style, *(f"{found[key]:.3f}" if (key := f"style.{style}.{view}") in found else "" for view in views))
        for style in STYLES
    ]
    styled.append(
        ("macro, in several sources", *(f"{found[f'style_macro_f1.{view}']:.3f}" for view in views))
    )
    head = ("source", "listed first", *(kind.replace("_", " ") for kind in kinds))
    lines = [*table(head, ranked, right=(2, 3, 4)), ""]
    return "\n".join([*lines, *table(("style: F1", *views), styled, right=(1, 2, 3, 4)), ""])


def main() -> None:
    """Both tables; exit status 1 where a target is missed."""
    flags = parser(__doc__)
    flags.add_argument("--keep", type=Path, help="work in this folder and keep what was embedded")
    given = flags.parse_args()
    facts = json.loads((SHARED / "mixture" / "sources.json").read_text(encoding="utf-8"))["sets"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        data = labelled(folder, SHARED, DRAWN // 3 if given.quick else DRAWN, 0, "AB")
    found = figures(data, facts)
    if given.json:
        show("capability", found, ["torch", "open_clip_torch"], as_json=True)
    else:
        sys.stdout.write(tables(found, facts))
    missed = [name for name, least in AT_LEAST.items() if found[name] < least]
    for name, least in AT_LEAST.items():
        word = "MISSED" if name in missed else "met   "
        sys.stderr.write(f"{word}  {name} {found[name]:.3f}, at least {least}\n")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
