"""What is clustered: a table with a vector a sample, chosen by `--vectors NAME`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.vectors import joint
from curation.readers.sources import resolved
from curation.steps.context import Context
from curation.steps.embed.file_vectors import FileVectors
from curation.steps.embed.gradients import gradient_stage
from curation.steps.embed.vector_file import find
from curation.storage.rows import vectors
from schemas.errors import ConfigError
from schemas.stages import Stage

FILE = "file:"


@dataclass(frozen=True)
class ClusterVectors:
    """The table that is clustered, and what its rows are as unit rows.

    Args:
        table: a row a sample, in pool order.
        columns: one column of unit vectors; or two, images and texts, to be joined.
        dim: numbers of a joined row.
        among: a table with a row a sample, in pool order.
        missing: a narrow column of it, null where a sample has a vector to learn from.
        image_weight: the share of the images where there are two columns.
    """

    table: str
    columns: tuple[str, ...]
    dim: int
    among: str
    missing: str
    image_weight: float | None = None

    @property
    def tables(self) -> tuple[str, ...]:
        return (self.table, self.among)

    def params(self) -> dict[str, Any]:
        """What stands in the keys of the stages that read it."""
        weight = {} if self.image_weight is None else {"image_weight": self.image_weight}
        return {"vectors": self.table, **weight}

    def rows(self, table: pa.Table | pa.RecordBatch) -> NDArray[np.float32]:
        """(n, dim) unit rows; zero where a sample has no vector."""
        parts = [vectors(table[name]) for name in self.columns]
        if self.image_weight is None:
            return parts[0]
        image, text = parts
        return joint(image, text, image_weight=self.image_weight)

    def present(self, table: pa.Table | pa.RecordBatch) -> NDArray[np.bool_]:
        """(n,) whether a sample has a vector."""
        valid: NDArray[np.bool_] = np.zeros(table.num_rows, bool)
        for name in self.columns:
            valid |= np.asarray(table[name].is_valid())
        return valid


def cluster_vectors(context: Context) -> tuple[list[Stage], ClusterVectors]:
    """The table that `cluster.vectors` names, and the stages that make it where the chain has not.

    Raises:
        ConfigError: there are no such vectors.
    """
    name = context.config.cluster.vectors
    if name.startswith(FILE):
        return _from_file(context, name.removeprefix(FILE))
    if name not in SOURCES:
        raise ConfigError(f"--vectors is {name!r}; there are {', '.join(SOURCES)} and {FILE}PATH")
    return SOURCES[name](context)


def _embedding(context: Context) -> tuple[list[Stage], ClusterVectors]:
    weight, dim = context.config.cluster.image_weight, context.model().dim
    return [], ClusterVectors("vectors", ("image", "text"), 2 * dim, "checked", "error", weight)


def _gradient(context: Context) -> tuple[list[Stage], ClusterVectors]:
    stage = gradient_stage(context.config)
    dim = stage.dims * len(stage.checkpoints)
    return [stage], ClusterVectors("gradients", ("vector",), dim, "gradients", "gradient_reason")


def _from_file(context: Context, path: str) -> tuple[list[Stage], ClusterVectors]:
    found = find(resolved(context.base, path))
    source = ClusterVectors("file_vectors", ("vector",), found.dim, "file_vectors", "vector_reason")
    return [FileVectors(found)], source


SOURCES: dict[str, Callable[[Context], tuple[list[Stage], ClusterVectors]]] = {
    "embedding": _embedding,
    "gradient": _gradient,
}
