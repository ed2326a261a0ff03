"""What clusters of real records agree with: by embeddings and by gradients, against source and capability.

The mixture of internal test data, clustered as `curate cluster` does. Purity and adjusted Rand index against
`source`, and against the weak capability: the one to which the rules of `training.weak_labels` give
the most points, which nobody checked. Beside them the same of clusters of equal sizes drawn at random.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report import SHARED, parser, show
from clustering.quality import adjusted_rand, purity
from curation.workspace import Workspace
from training.weak_labels import SOURCES, points

if TYPE_CHECKING:
    from numpy.typing import NDArray

VECTORS = ("embedding", "gradient")


def subset(folder: Path, limit: int) -> Path:
    """`limit` records of the mixture, spread over it."""
    records = json.loads((SHARED / "mixture" / "mixture.json").read_text())
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


def main() -> None:
    """Both kinds of vectors, or embeddings alone without --vlm."""
    made = parser(__doc__)
    made.add_argument("--vlm", help="the model whose gradients are clustered, such as builtin")
    made.add_argument("--limit", type=int, default=None, help="records of the mixture")
    flags = made.parse_args()
    limit = flags.limit or (800 if flags.quick else 10**9)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = subset(Path(folder), limit)
        Workspace.init(Path(folder, "work"), {"mix": data}, images=[SHARED / "mixture"], model="builtin:tiny")
        for vectors in VECTORS if flags.vlm else VECTORS[:1]:
            settings = {"cluster.vectors": vectors, "vlm.model": flags.vlm}
            workspace = Workspace(Path(folder, "work"), settings)
            found = workspace.clusters(quality=True)
            clusters = workspace.store.read("clusters", ["cluster"])["cluster"].fill_null(-1).to_numpy()
            there = clusters >= 0
            figures |= {f"{vectors}.{name}": found["quality"][name] for name in ("silhouette", "stability")}
            figures[f"{vectors}.n_clusters"] = found["n_clusters"]
            figures[f"{vectors}.n_samples"] = int(there.sum())
            for name, classes in classes_of(workspace).items():
                known = there & (classes != "")
                agreed = agreements(clusters[known], classes[known])
                figures |= {f"{vectors}.{name}.{figure}": value for figure, value in agreed.items()}
                figures[f"{name}.n_samples"] = int(known.sum())
                figures[f"{name}.n_classes"] = len(np.unique(classes[known]))
    show("clusters", figures, ["numpy", "torch"], as_json=flags.json)


if __name__ == "__main__":
    main()
