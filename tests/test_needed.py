"""A step computes what it needs: a prune without neighbours loads no encoder and embeds nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from curation.catalog import ALWAYS
from curation.generate.pool import write_pool
from curation.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

INGESTED = {"samples", "distinct_images", "image_places", "images", "checked"}
EMBEDDED = {"image_vectors", "chunks", "distinct_chunks", "chunk_places", "chunk_vectors", "vectors"}
CLUSTERED = {"centroids", "k_curve", "nearest", "clusters"}
SCORED = {*ALWAYS, "cosines", "mismatch", "text_flags", "openings", "words", "capability"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    write_pool(folder, 24, seed=5)
    return folder


def quick(pool: Path, work: Path, **settings: Any) -> Workspace:
    """A workspace that prunes without neighbours."""
    Workspace.init(work, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    return Workspace(work, {"prune.semantic": False, **{f"prune.{key}": v for key, v in settings.items()}})


def test_a_prune_without_neighbours_computes_what_ingest_does_and_the_decision(
    pool: Path, tmp_path: Path
) -> None:
    counts = quick(pool, tmp_path).prune()
    assert INGESTED | {"pruned"} <= set(counts["computed"])
    assert not (EMBEDDED | CLUSTERED | SCORED) & set(counts["computed"])
    assert counts["n_pruned"] > 0
    assert not {"n_clusters", "n_image_vectors", "model"} & set(counts)


def test_no_encoder_is_loaded_for_it(pool: Path, tmp_path: Path) -> None:
    workspace = quick(pool, tmp_path)
    code = (
        "import sys\nfrom curation.workspace import Workspace\n"
        "workspace = Workspace(sys.argv[1], {'prune.semantic': False})\n"
        "workspace.prune(), workspace.plan('prune'), workspace.status()\n"
        "assert 'torch' not in sys.modules and 'open_clip' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(workspace.base)], check=True)


@pytest.mark.parametrize(("keep", "needed"), [("best:n_tokens", set()), ("hard", EMBEDDED | CLUSTERED)])
def test_what_a_rule_of_keeping_reads_is_computed_and_no_more(
    pool: Path, tmp_path: Path, keep: str, needed: set[str]
) -> None:
    computed = set(quick(pool, tmp_path, keep=keep).prune()["computed"])
    assert computed & (EMBEDDED | CLUSTERED | SCORED) == needed


def test_the_plan_names_the_stages_that_the_run_will_compute(pool: Path, tmp_path: Path) -> None:
    workspace = quick(pool, tmp_path)
    planned = {stage["stage"] for stage in workspace.plan("prune")["plan"]}
    # A stage that writes several tables is called by one of them.
    assert planned <= set(workspace.prune()["computed"])
    assert not planned & (EMBEDDED | CLUSTERED | SCORED)


def test_a_prune_with_neighbours_still_scores_on_the_way(pool: Path, tmp_path: Path) -> None:
    quick(pool, tmp_path)
    planned = {stage["stage"] for stage in Workspace(tmp_path).plan("prune")["plan"]}
    assert {"alignment", "quality", "capability", "clusters", "neighbours"} <= planned
