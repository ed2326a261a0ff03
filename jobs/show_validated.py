"""What `curate validate` found, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from curation.progress import duration
from jobs.text import Tree, line, size
from schemas.visible import shown

MOST_PASSED = 5  # named of files that are no data
EFFECTS = {
    "crash": "crash it",
    "dropped": "are left out",
    "replaced": "give way to others",
    "wrong": "are silently trained wrong",
}


def validated(found: Tree) -> Iterator[str]:
    """Format and counts, errors, images, trainers, and how long the chain would take."""
    yield line("format", f"{found['format']}: {found['told_by']}")
    yield from _files(found["files"])
    yield from _records(found)
    yield from _images(found["images"])
    for code, counted in found["errors"].items():
        yield line("error", f"{counted['n']:,} {code}")
        yield from _first(counted)
    for trainer in found["trainers"]:
        yield from _trainer(trainer, found["container"])
    yield from _estimate(found["estimate"])
    yield line("took", duration(found["seconds"]))


def _files(files: Tree) -> Iterator[str]:
    yield line("files", f"{files['n']:,}, {size(files['bytes'])}")
    passed = files["left_aside"]
    if passed:
        more = f" and {len(passed) - MOST_PASSED:,} more" if len(passed) > MOST_PASSED else ""
        yield line("left aside", ", ".join(passed[:MOST_PASSED]) + more)
    for unread in files["unread"]:
        yield line("unread", unread["message"])


def _records(found: Tree) -> Iterator[str]:
    counts = found["records"]
    bad = counts["records"] - counts["samples"]
    yield line(
        "records",
        f"{counts['records']:,}, of which {counts['samples']:,} are good" + bool(bad) * f", {bad:,} not",
    )
    yield line("", f"{counts['turns']:,} turns of about {counts['tokens']:,} tokens")
    yield line("", f"{counts['text_only']:,} without an image, {counts['several_images']:,} with several")
    for code, n in found["repaired"].items():
        yield line("repaired", f"{n:,} {code}")


def _images(images: Tree) -> Iterator[str]:
    distinct = "" if images["distinct"] is None else f"{images['distinct']:,} different ones"
    if images["broken"] is None:
        yield line(
            "images", f"{distinct}, {images['missing']:,} missing; not opened (--no-images)".lstrip(", ")
        )
        return
    faults = f"{images['missing']:,} missing, {images['broken']:,} broken"
    yield line("images", ", ".join(filter(None, (distinct, size(images["bytes"]), faults))))
    if images["width"]:
        sides = [images[side] for side in ("width", "height")]
        spans = [f"{side['min']:,} to {side['max']:,} (mean {side['mean']:,.0f})" for side in sides]
        yield line("", f"{spans[0]} pixels wide, {spans[1]} high")
        yield line("", ", ".join(f"{n:,} {name}" for name, n in images["formats"].items()))


def _first(counted: Tree) -> Iterator[str]:
    for place in counted["first"]:
        yield line("", _place(place))
        yield line("", f"  {shown(place['message'], 600)}")
    more = counted["n"] - len(counted["first"])
    if more:
        yield line("", f"and {more:,} more (--all)")


def _place(place: Tree) -> str:
    """File and line, then byte, number and id, as many JSON files are one line."""
    at = "" if place["line"] is None else f":{place['line']}"
    byte = "" if place["byte"] is None else f" byte {place['byte']}"
    named = "" if place["id"] is None else f" (id {shown(place['id'], 80)})"
    return f"{shown(place['file'])}{at}{byte} #{shown(place['record'], 80)}{named}"


def _trainer(trainer: Tree, container: str) -> Iterator[str]:
    title = f"{trainer['title']} {trainer['version']}"
    if not trainer["judged"]:
        why = f"; {trainer['why']}" if trainer["opens_the_file"] else f"; this is {container}"
        yield line("trainer", f"{title} is not asked: it reads {trainer['reads']}{why}")
        return
    if not trainer["opens_the_file"]:
        yield line("trainer", f"{title} reads {trainer['reads']}; this is {container}")
    found = [f"{n:,} {EFFECTS[effect]}" for effect, n in trainer["records"].items() if n]
    yield line("trainer", f"{title}: {', '.join(found) or 'takes all records as they are'}")
    for problem in trainer["problems"]:
        yield line("", f"{problem['n']:,} {problem['rule']}, {problem['effect']} ({problem['source']})")
        yield from _first(problem)


def _estimate(estimate: Tree) -> Iterator[str]:
    steps = ", ".join(f"{step} {duration(seconds)}" for step, seconds in estimate["steps"].items())
    yield line("estimate", f"about {duration(estimate['seconds'])} with {estimate['model']}: {steps}")
    yield line("", estimate["by"])
