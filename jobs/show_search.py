"""What was found, as lines."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.text import Tree, line

WIDTH = 80
INDENT = 4
KINDS = {"text": "", "image": "the picture ", "like": "more like "}


def found(tree: Tree) -> Iterator[str]:
    """A line of facts for each sample, and one of its text."""
    ((kind, asked),) = tree["query"].items()
    sides = " and ".join(f"{side}s" for side in tree["by"])
    what = f"{KINDS[kind]}{one_line(asked, 60)}"
    yield line("searched", f"the {sides} of {tree['n_among']:,} samples, for {what}")
    if tree["recall"] < 1:
        yield line("", f"the index finds {tree['recall']:.1%} of the ten nearest, as measured on this pool")
    if not tree["results"]:
        yield line("found", "none")
    for rank, result in enumerate(tree["results"], 1):
        yield ""
        same = f", {result['n_same']:,} samples show it" if result["n_same"] > 1 else ""
        images = result["images"]
        shown = f", {one_line(images[0]['name'], 40)}" if images else ""
        name = one_line(result["id"] or result["uid"], 40)
        yield f"{rank:>2}. {name}  {result['cosine']:.2f} by {result['by']}{same}"
        yield " " * INDENT + one_line(f"{result['source'] or result['dataset']}{shown}", WIDTH - INDENT)
        yield " " * INDENT + one_line(result["text"], WIDTH - INDENT)


def served(tree: Tree) -> Iterator[str]:
    """Where the page is."""
    yield line("open", tree["url"])
    yield line("", "Ctrl-C ends it")


def one_line(text: str, width: int) -> str:
    r"""The beginning of a text as one line, without what a terminal would obey.

    >>> one_line("a\x1b[31m red\ncar", 20)
    'a [31m red car'
    """
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * width]).split())
    return plain if len(plain) <= width else f"{plain[: width - 1]}…"
