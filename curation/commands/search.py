"""`curate search`: the samples that are nearest to a text, a picture, or another sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curation.commands.explain import find_records
from curation.commands.matching import matching
from curation.pipeline.pipeline import Pipeline
from curation.report.records import records
from curation.search.hits import Hit, Searcher
from curation.search.query import demand_same_model, of_picture, of_text
from curation.search.sides import SIDES, Floats
from curation.storage.store import Store
from schemas.errors import ConfigError, ReadError

By = Literal["image", "text", "both"]
BEGINNING = 300  # characters of a text that results hold


@dataclass(frozen=True)
class Query:
    """What is searched for: exactly one of a text, a picture and a sample.

    Args:
        text: words that the encoder's text tower reads.
        image: a file, or the bytes of one.
        like: the id of a sample, its uid, or the beginning of that.
        by: compare pictures, texts, or both, where the side counts on which a sample stands out more. By
            default both for a text, pictures for a picture, and for a sample pictures where it has one.
        n: how many samples at most.
    """

    text: str | None = None
    image: Path | str | bytes | None = None
    like: str | None = None
    by: By | None = None
    n: int = 10

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.text, self.image, self.like)) != 1:
            raise ConfigError("search for one of a text, a picture (--image FILE) and a sample (--like ID)")
        if self.n < 1:
            raise ConfigError(f"n is {self.n}; it must be at least 1")

    @property
    def told(self) -> dict[str, str]:
        """As it was asked; of bytes only that they were given."""
        given = {"text": self.text, "image": self.image, "like": self.like}
        return {
            name: "bytes" if isinstance(value, bytes) else str(value)
            for name, value in given.items()
            if value is not None
        }


def search(workspace: Pipeline, query: Query, where: Sequence[str] = ()) -> dict[str, Any]:
    """The samples nearest to what is searched for, of those that meet conditions: plain data.

    Returns:
        `query`, `by` (the sides that were compared), `n_among` (samples that were searched), `recall` (share
        of the ten nearest that the index finds, as it was measured; 1 where it compares everything) and
        `results`: `uid`, `id`, `dataset`, `source`, `by` (the side that it was found on), `cosine`, `score`
        (the same in standard deviations above the mean of the pool), `n_same` (samples with this very
        picture), `text` (its beginning) and `images` (`name` and `path` of each).

    Raises:
        ConfigError: a column does not exist, there is nothing to compare, or the model is another one.
        ReadError: the picture cannot be read.
        CurateError: nothing is embedded, or there is no such sample.
    """
    store = workspace.store
    with store.snapshot():
        SIDES["text"].fingerprint(store)
        searcher = Searcher(store, workspace.progress)
        among = matching(store, where)
        hits, sides = nearest(workspace, searcher, query, among)
        rows = records(store, [hit.position for hit in hits], BEGINNING)
        return {
            "query": query.told,
            "by": sides,
            "n_among": int((among & searcher.good).sum()),
            "recall": min(searcher.index(side).facts.recall for side in sides),
            "results": [_result(row, hit) for row, hit in zip(rows, hits, strict=True)],
        }


def nearest(
    workspace: Pipeline,
    searcher: Searcher,
    query: Query,
    among: NDArray[np.bool_],
    position: int | None = None,
) -> tuple[list[Hit], list[str]]:
    """What is found by indexes that are open, and the sides that were compared.

    Args:
        workspace: whose encoder is asked.
        searcher: the indexes.
        query: what is searched for.
        among: (n,) the samples that may be found.
        position: where the sample of `query.like` stands in the pool, if that is known.
    """
    if query.like is not None:
        position = the_one(workspace.store, query.like) if position is None else position
        among = among.copy()
        among[position] = False
        vectors = _of_sample(searcher.like(position), query)
    else:
        vectors = _of_query(workspace, query)
    return searcher.nearest(vectors, query.n, among), list(vectors)


def the_one(store: Store, ident: str) -> int:
    """The position in the pool of the sample that `ident` names; of several the first.

    Raises:
        CurateError: there is none.
    """
    _, start, row = find_records(store, ident.strip())[0]
    return start + row


def _of_sample(held: Mapping[str, Floats], query: Query) -> dict[str, Floats]:
    sides = _sides(query.by) if query.by else [side for side in SIDES if side in held][:1]
    vectors = {side: held[side] for side in sides if side in held}
    if not vectors:
        what = f"no {query.by}" if query.by and query.by != "both" else "neither picture nor text"
        raise ConfigError(f"{query.like} has {what} to compare")
    return vectors


def _of_query(workspace: Pipeline, query: Query) -> dict[str, Floats]:
    store = workspace.store
    wanted = _sides(query.by or ("both" if query.text is not None else "image"))
    sides = [side for side in wanted if SIDES[side].rows(store)]
    if not sides:
        raise ConfigError("no sample of the pool has a picture to compare; --by text compares texts")
    demand_same_model(store, workspace.config.embed.model)
    if query.text is not None:
        vector = of_text(workspace.model, query.text)
    else:
        assert query.image is not None
        data, name = _picture(query.image)
        vector = of_picture(workspace.model, data, name, max_pixels=workspace.config.images.max_pixels)
    return dict.fromkeys(sides, vector)


def _sides(by: By) -> list[str]:
    return list(SIDES) if by == "both" else [by]


def _picture(image: Path | str | bytes) -> tuple[bytes, str]:
    if isinstance(image, bytes):
        return image, "the picture"
    try:
        return Path(image).expanduser().read_bytes(), str(image)
    except OSError as error:
        raise ReadError(f"the picture {image} cannot be read: {error.strerror}") from None


def _result(row: dict[str, Any], hit: Hit) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("uid", "id", "dataset", "source")},
        "by": hit.side,
        "cosine": hit.cosine,
        "score": hit.score,
        "n_same": hit.n_same,
        "text": row["text"],
        "images": [{"name": ref["name"], "path": ref["path"]} for ref in row["images"]],
    }
