"""From vectors to `clusters`: which table is clustered, its centres, the nearest of each sample."""

from __future__ import annotations

from curation.steps.cluster.centroids import BoundClusters, FitClusters, NearestCentroids
from curation.steps.cluster.source import cluster_vectors
from curation.steps.context import Context
from schemas.stages import Stage


def cluster_stages(context: Context) -> list[Stage]:
    """The stages from vectors to `clusters`.

    Raises:
        ConfigError: there are no vectors of the name that `cluster.vectors` gives.
    """
    settings, seed = context.config.cluster, context.config.run.seed
    stages, source = cluster_vectors(context)
    fit = FitClusters(source, settings.k, settings.iterations, settings.points, settings.max_size, seed)
    return [*stages, fit, NearestCentroids(source), BoundClusters(settings.max_size)]
