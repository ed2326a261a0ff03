"""What clusters of real records agree with: of both built-in models, and of gradients.

The mixture of internal test data and its tier B alone (sources that nothing was trained on), clustered as
`curate cluster` does, and into as many clusters as there are sources. Purity and adjusted Rand index against
`source`, and against the weak capability: the one to which the rules of `training.weak_labels` give
the most points, which nobody checked. Beside them the same of clusters of equal sizes drawn at random.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import SHARED, parser, show
from clustering.quality import adjusted_rand, purity
from curation.models.spec import BUILTIN, CLIPS, TINY
from curation.workspace import Workspace
from training.capability import mixture
from training.weak_labels import SOURCES, points

if TYPE_CHECKING:
    from numpy.typing import NDArray

POOLS = {"mixture": "AB", "tier_B": "B"}
"""The tiers that a pool is made of."""
AT_LEAST = 1.3  # times the adjusted Rand index of `builtin:tiny`


def subset(folder: Path, limit: int, tiers: str = "AB") -> Path:
    """`limit` records of the mixture's sources of these tiers, spread over it."""
    records = [record for tier in tiers for record in mixture(SHARED, tier)]
    places = np.linspace(0, len(records) - 1, min(limit, len(records))).round().astype(int)
    path = folder / "pool.json"
    path.write_text(json.dumps([records[place] for place in places.tolist()]))
    return path


def classes_of(workspace: Workspace) -> dict[str, NDArray[np.str_]]:
    """Source and weak capability of each record, in pool order; none ("") where the rules know no source."""
    records = [json.loads(raw) for raw in workspace.store.read("samples", ["record"])["record"].to_pylist()]
    given = [points(record) if record["source"] in SOURCES else {"": 0.0} for record in records]
    best = [max(found, key=lambda name: (found[name], name)) for found in given]
    return {"source": np.array([record["source"] for record in records]), "weak_capability": np.array(best)}


def agreements(clusters: NDArray[np.int32], classes: NDArray[np.str_]) -> dict[str, float]:
    """Purity and adjusted Rand index, and purity of random clusters of the same sizes."""
    drawn = np.random.default_rng(0).permutation(clusters)
    return {
        "purity": purity(clusters, classes),
        "purity_at_random": purity(drawn, classes),
        "ari": adjusted_rand(clusters, classes),
    }


def measured(folder: Path, settings: dict[str, Any], *, quality: bool) -> dict[str, float]:
    """Cluster the workspace in a folder, and say what its clusters agree with."""
    workspace = Workspace(folder, settings)
    found = workspace.clusters(quality=quality)
    clusters = workspace.store.read("clusters", ["cluster"])["cluster"].fill_null(-1).to_numpy()
    there = clusters >= 0
    figures = {name: found["quality"][name] for name in ("silhouette", "stability") if quality}
    figures |= {"n_clusters": found["n_clusters"], "n_samples": int(there.sum())}
    for name, classes in classes_of(workspace).items():
        known = there & (classes != "")
        if not known.any():  # the rules know no source of tier B
            continue
        agreed = agreements(clusters[known], classes[known])
        figures |= {f"{name}.{figure}": value for figure, value in agreed.items()}
        figures[f"{name}.n_classes"] = len(np.unique(classes[known]))
    return figures


def of_model(folder: Path, model: str, tiers: str, limit: int, vlm: str | None) -> dict[str, float]:
    """Clusters of one model's embeddings of a pool, and with `vlm` of its gradients."""
    work = folder / model.replace(":", "-") / tiers
    work.mkdir(parents=True)
    data = subset(work, limit, tiers)
    Workspace.init(work / "work", {"mix": data}, images=[SHARED / "mixture"], model=model)
    figures = {
        f"embedding.{name}": value for name, value in measured(work / "work", {}, quality=True).items()
    }
    as_sources = measured(work / "work", {"cluster.k": figures["embedding.source.n_classes"]}, quality=False)
    figures |= {f"as_many_as_sources.{name}": value for name, value in as_sources.items()}
    if vlm:
        gradients = measured(work / "work", {"cluster.vectors": "gradient", "vlm.model": vlm}, quality=True)
        figures |= {f"gradient.{name}": value for name, value in gradients.items()}
    return figures


def main() -> None:
    """Both models on both pools; exit status 1 where `builtin` agrees too little better with sources."""
    made = parser(__doc__)
    made.add_argument("--vlm", help="also cluster gradients, of this model, such as builtin")
    made.add_argument("--limit", type=int, default=None, help="records of a pool")
    flags = made.parse_args()
    limit = flags.limit or (800 if flags.quick else 10**9)
    figures: dict[str, float] = {}
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for pool, tiers in POOLS.items():
            for model in CLIPS:
                found = of_model(Path(folder), model, tiers, limit, flags.vlm if model == BUILTIN else None)
                figures |= {f"{pool}.{model}.{name}": value for name, value in found.items()}
            for kind in ("embedding", "as_many_as_sources"):
                ours, tiny = (figures[f"{pool}.{model}.{kind}.source.ari"] for model in (BUILTIN, TINY))
                figures[f"{pool}.ratio.{kind}.source.ari"] = ours / tiny
            missed += figures[f"{pool}.ratio.embedding.source.ari"] < AT_LEAST
    show("clusters", figures, ["numpy", "torch"], as_json=flags.json)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
