"""From vectors to `clusters`: which table is clustered, its centres, the nearest of each sample."""

from __future__ import annotations

from collections.abc import Callable

from curation.readers.sources import resolved
from curation.steps.cluster.centroids import BoundClusters, FitClusters, NearestCentroids
from curation.steps.cluster.source import ClusterVectors
from curation.steps.context import Context
from curation.steps.embed.activations import activation_stage
from curation.steps.embed.file_vectors import FileVectors
from curation.steps.embed.gradients import gradient_stage
from curation.steps.embed.vector_file import find
from schemas.errors import ConfigError
from schemas.stages import Stage

FILE = "file:"


def cluster_stages(context: Context) -> list[Stage]:
    """The stages from vectors to `clusters`.

    Raises:
        ConfigError: there are no vectors of the name that `cluster.vectors` gives.
    """
    settings, seed = context.config.cluster, context.config.run.seed
    stages, source = cluster_vectors(context)
    fit = FitClusters(source, settings.k, settings.iterations, settings.points, settings.max_size, seed)
    return [*stages, fit, NearestCentroids(source), BoundClusters(settings.max_size)]


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


def _activation(context: Context) -> tuple[list[Stage], ClusterVectors]:
    stage = activation_stage(context.config)
    return [stage], ClusterVectors("activations", ("vector",), stage.dims, "activations", "activation_reason")


def _from_file(context: Context, path: str) -> tuple[list[Stage], ClusterVectors]:
    found = find(resolved(context.base, path))
    source = ClusterVectors("file_vectors", ("vector",), found.dim, "file_vectors", "vector_reason")
    return [FileVectors(found)], source


SOURCES: dict[str, Callable[[Context], tuple[list[Stage], ClusterVectors]]] = {
    "embedding": _embedding,
    "gradient": _gradient,
    "activation": _activation,
}
