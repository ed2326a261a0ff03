"""Vectors of candidates as selectors compare them: on the grid, where products are exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.vectors import joint
from curation.selectors.order import demand
from curation.storage.rows import vectors
from schemas.errors import ConfigError
from schemas.grid import on_grid

if TYPE_CHECKING:
    import polars as pl

IMAGE, TEXT = "image_vector", "text_vector"
# Of the table `activations`.
ACTIVATION, BRIDGING, NEURON, ENTROPY = "activation_vector", "bridging", "neuron", "hidden_entropy"
# What rows are compared by, where a strategy lets its user say so, and the columns of that.
COVERS = {"joint": (IMAGE, TEXT), "image": (IMAGE,), "text": (TEXT,)}


def vectors_of(table: pl.DataFrame, columns: Sequence[str]) -> list[NDArray[np.float32]]:
    """The columns of vectors as (n, d) arrays; zeros where a row has none.

    Raises:
        SchemaError: a column is missing.
    """
    demand(table, columns)
    found = []
    for name in columns:
        column = table[name].to_arrow()
        width = table[name].dtype.shape[0]  # type: ignore[attr-defined]  # pl.Array
        found.append(vectors(column.cast(pa.list_(pa.float32(), width))))
    return found


def joint_vectors(table: pl.DataFrame) -> NDArray[np.float32]:
    """Image and text of each row side by side, equally weighted, as they are clustered; on the grid."""
    image, text = vectors_of(table, (IMAGE, TEXT))
    return on_grid(joint(image, text))


def covered(table: pl.DataFrame, cover: str) -> NDArray[np.float32]:
    """The vectors of a cover, on the grid: (n, d), or (n, 2d) if joint; zeros where a row has none."""
    if cover == "joint":
        return joint_vectors(table)
    return on_grid(vectors_of(table, COVERS[cover])[0])


def cover_named(name: str, argument: str | None, default: str) -> str:
    """The cover of the spec `NAME` or `NAME:COVER`.

    Raises:
        ConfigError: there is no such cover.
    """
    if (argument or default) not in COVERS:
        raise ConfigError(f"{name} compares {', '.join(COVERS)}, not {argument!r}")
    return argument or default


class ByCover:
    """What the selectors share whose spec is `NAME` or `NAME:COVER`."""

    cover: str
    name: ClassVar[str]

    def __init__(self, cover: str) -> None: ...

    @classmethod
    def parse(cls, argument: str | None) -> Self:
        """The selector of the spec.

        Raises:
            ConfigError: there is no such cover.
        """
        return cls(cover_named(cls.name, argument, cls.cover))

    @property
    def needs(self) -> tuple[str, ...]:
        return COVERS[self.cover]
