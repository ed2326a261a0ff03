"""Which columns are figures of samples that can be drawn: numbers, by table, with what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.catalog import FACTS, IDS, current_tables
from schemas.stages import Pool

# What people look at first, where it is there.
FIRST = (
    "alignment",
    "synthetic_quality",
    "picture_agreement",
    "text_agreement",
    "answer_agreement",
    "image_grounding",
    "visual_necessity",
    "perplexity",
    "fidelity",
    "n_tokens",
    "n_answer_words",
    "min_side",
    "min_contrast",
    "min_blur",
    "min_entropy",
)
PLAIN = "checked"  # of the tables of facts the one with figures that say something


@dataclass(frozen=True)
class Figure:
    """A column, the table that holds it, and what its field says."""

    name: str
    table: str
    unit: str = ""
    better: str = "neither"

    @property
    def label(self) -> str:
        """The name as people read it."""
        return labelled(self.name)


def labelled(name: str) -> str:
    """`cap_activity_recognition` as people read it."""
    return name.removeprefix("cap_").removeprefix("style_").replace("_", " ")


def figures(pool: Pool) -> list[Figure]:
    """The numeric columns of the scores that the pool has as it is: FIRST first, then table by table."""
    found: dict[str, Figure] = {}
    for table in current_tables(pool):
        for field in pool.schema(table) if table not in FACTS or table == PLAIN else ():
            number = pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
            if number and field.name not in IDS and field.name not in found:
                about = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
                found[field.name] = Figure(
                    field.name, table, about.get("unit", ""), about.get("better", "neither")
                )
    return in_order(found.values())


def in_order(shown: Iterable[Figure]) -> list[Figure]:
    """FIRST first, the others as they come."""
    place = {name: at for at, name in enumerate(FIRST)}
    return sorted(shown, key=lambda figure: place.get(figure.name, len(FIRST)))


def values(pool: Pool, asked: Sequence[Figure]) -> Iterator[tuple[Figure, NDArray[np.float32]]]:
    """Each figure and (n,) its values of all samples, in pool order; NaN where there is none.

    Table by table, each of which is read once.
    """
    for table in dict.fromkeys(figure.table for figure in asked):
        own = [figure for figure in asked if figure.table == table]
        rows = pool.read(table, [figure.name for figure in own])
        for figure in own:
            column = rows[figure.name].cast(pa.float32(), safe=False)
            yield figure, column.fill_null(np.nan).to_numpy()
