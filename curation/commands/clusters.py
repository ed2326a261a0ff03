"""`curate clusters`: what the skill clusters are about, how good they are, what they agree with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clustering.quality import adjusted_rand, purity
from curation.catalog import score_table
from curation.pipeline.pipeline import Pipeline
from curation.steps.chain import chain
from curation.steps.cluster.cluster_quality import MeasureClusters
from curation.steps.cluster.skills import NameSkills
from curation.steps.cluster.stages import cluster_vectors
from curation.storage.lock import locked
from curation.storage.rows import ids_of
from curation.storage.store import Store
from schemas.errors import ConfigError
from scorers.taxonomy import CAPABILITIES, CAPABILITY_COLUMNS, STYLE_COLUMNS, STYLES

if TYPE_CHECKING:
    import polars as pl

# Columns that are no columns: the one of several with the highest score.
DOMINANT = {"capability": (CAPABILITY_COLUMNS, tuple(CAPABILITIES)), "style": (STYLE_COLUMNS, tuple(STYLES))}
# A column of more values than this share of its rows tells samples apart, not kinds of samples.
MOST_CLASSES = 0.5


def clusters(workspace: Pipeline, *, quality: bool = False, against: Sequence[str] = ()) -> dict[str, Any]:
    """Bring the clusters up to date, name them, and say what they are: plain data.

    Args:
        workspace: where they are.
        quality: also measure tightness, silhouette and stability, which takes three more fits.
        against: columns whose values the clusters are compared with, such as `source`; `capability` and
            `style` stand for the one with the highest score.

    Raises:
        CurateError: the chain cannot run, or there is no such column.
    """
    config, store = workspace.config, workspace.store
    with locked(store.root, "curate clusters"), store.snapshot():
        stages = chain(workspace.context, "cluster")
        stages.append(NameSkills(config.capability.backend != "none"))
        if quality:
            source = cluster_vectors(workspace.context)[1]
            stages.append(MeasureClusters(source, config.cluster.iterations, config.run.seed))
        workspace.compute(stages)
        skills = store.read("skills").to_pylist()
        return {
            "vectors": config.cluster.vectors,
            "n_clusters": sum(skill["size"] > 0 for skill in skills),
            "n_samples": sum(skill["size"] for skill in skills),
            "clusters": _with_ids(store, skills),
            "curve": store.read("k_curve").to_pylist(),
            "quality": store.read("cluster_quality").to_pylist()[0] if quality else None,
            "against": [agreement(store, column) for column in against],
        }


def _with_ids(store: Store, skills: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Clusters with samples, uids in hex beside the records' own ids."""
    ids = ids_of(store, [uid for skill in skills for uid in skill["examples"]])
    return [
        {**skill, "examples": [{"uid": uid.hex(), "id": ids[uid]["id"]} for uid in skill["examples"]]}
        for skill in skills
        if skill["size"]
    ]


def agreement(store: Store, column: str) -> dict[str, Any]:
    """Purity and adjusted Rand index of the clusters against a column, over the samples that have both.

    Raises:
        ConfigError: there is no such column, or it has almost as many values as samples.
    """
    names = DOMINANT.get(column, ((column,), ()))[0]
    table = score_table(store, ["cluster", *names]).drop_nulls()
    classes = _dominant(table, column) if column in DOMINANT else table[column]
    n_classes = classes.n_unique()
    if not len(table) or n_classes > max(MOST_CLASSES * len(table), 2):
        raise ConfigError(
            f"--against {column}: {n_classes:,} values in {len(table):,} samples are no kinds of samples; "
            "give a column such as source"
        )
    clusters, values = table["cluster"].to_numpy(), classes.rank("dense").to_numpy()
    return {
        "column": column,
        "n_samples": len(table),
        "n_classes": n_classes,
        "purity": purity(clusters, values),
        "ari": adjusted_rand(clusters, values),
    }


def _dominant(table: pl.DataFrame, column: str) -> pl.Series:
    import polars as pl

    names, labels = DOMINANT[column]
    best = table.select(pl.concat_list(names).list.arg_max())[:, 0]
    return best.cast(pl.Int64).replace_strict(dict(enumerate(labels)), return_dtype=pl.String)
