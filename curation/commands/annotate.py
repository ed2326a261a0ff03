"""`curate annotate`: labels of a diverse sample by a model behind an endpoint, for `curate train-scorer`."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.catalog import score_table
from curation.endpoint.address import Endpoint
from curation.endpoint.asker import asker
from curation.endpoint.dialect import resolve_endpoint
from curation.pipeline.pipeline import Pipeline
from curation.selectors.per_cluster import RandomPerCluster
from curation.steps.chain import STAGES
from curation.steps.context import Context
from curation.steps.score.endpoint import submit
from curation.storage.files import is_url, put
from curation.storage.lock import locked
from curation.storage.rows import gather, located
from schemas.columns import UID
from schemas.errors import ConfigError, EndpointUnavailable
from schemas.stages import Stage
from schemas.tables import key_of
from scorers.capability import Capability
from scorers.questions import Reply
from scorers.taxonomy import CAPABILITY_COLUMNS, WRITES

TABLE = "labels"
LABELS = pa.schema([UID, *WRITES])
"""What `annotate` leaves in the workspace: one row for each sample that was asked about."""
ROWS_AT_ONCE = 256  # samples whose turns are in memory
AHEAD = 4  # samples under way for each slot of the endpoint


def annotate(
    workspace: Pipeline, n: int, out: Path | str | None = None, *, seed: int | None = None
) -> dict[str, Any]:
    """Ask the endpoint for capabilities and styles of `n` samples, and keep them as table `labels`.

    The samples are taken evenly from the skill clusters, by a hash of uid and seed inside each, copies left
    out; those of a smaller `n` are among those of a larger one. What was answered before is not asked again.

    Args:
        workspace: its settings name the endpoint; whatever clustering needs is run first.
        n: how many; all where there are fewer.
        out: a file ending in .parquet or .jsonl that gets the labels too, uids in hex.
        seed: of the sample; by default that of the settings.

    Returns:
        n_sampled, n_labelled, n_null, why by code, and what the asking took.

    Raises:
        ConfigError: no endpoint is named, or `out` is of no known format.
        EndpointUnavailable: it cannot be reached or refuses, or no answer could be read.
    """
    start = time.monotonic()
    target = _target(out)
    endpoint = resolve_endpoint(workspace.config, workspace.store.root, workspace.progress)
    before = asker(endpoint).counts
    with locked(workspace.store.root, "curate annotate"), workspace.store.snapshot():
        workspace.compute(clustering(workspace.context))
        places = sample(workspace, n, workspace.config.run.seed if seed is None else seed)
        scorer = Capability(workspace.config.endpoint.mode)
        labels = _asked(workspace, endpoint, scorer, places)
        _keep(workspace, labels, endpoint.key(scorer.questions()), scorer)
    if target is not None:
        put(target, _encoded(labels, target))
    counts = {name: count - before[name] for name, count in asker(endpoint).counts.items()}
    return {
        **counted(labels),
        "model": endpoint.model,
        "url": endpoint.url,
        "requests": counts,
        "out": None if target is None else str(target),
        "seconds": round(time.monotonic() - start, 2),
    }


def clustering(context: Context) -> list[Stage]:
    """The stages to the clusters, without the scores on the way: no model is asked for them."""
    return [stage for step in ("ingest", "embed", "cluster") for stage in STAGES[step](context)]


def sample(workspace: Pipeline, n: int, seed: int) -> NDArray[np.int64]:
    """Positions of a diverse sample of the usable records, evenly over the clusters, copies left out."""
    import polars as pl

    table = score_table(workspace.store, ["uid", "content_hash", "error", "cluster"]).with_row_index(
        "position"
    )
    usable = table.filter(pl.col("error").is_null()).unique("content_hash", keep="first", maintain_order=True)
    picked = RandomPerCluster().select(usable, min(n, len(usable)), seed)
    return usable["position"].to_numpy()[picked].astype(np.int64)


def rows_of(workspace: Pipeline, positions: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
    """uid, turns and image references of the samples at `positions`, in order, some hundred in memory."""
    store = workspace.store
    paths, sizes = store.paths("samples"), store.manifest("samples").sizes
    for start in range(0, len(positions), ROWS_AT_ONCE):
        shards, rows = located(sizes, positions[start : start + ROWS_AT_ONCE])
        yield from gather(paths, shards, rows, ["uid", "turns", "images"]).to_pylist()


def _asked(
    workspace: Pipeline, endpoint: Endpoint, scorer: Capability, places: NDArray[np.int64]
) -> pa.Table:
    """The labels, by uid. As many requests are under way as the endpoint has slots."""
    waiting: deque[tuple[bytes, Sequence[Future[Reply]]]] = deque()
    uids: list[bytes] = []
    replies: list[list[Reply]] = []
    most = AHEAD * endpoint.concurrency
    with workspace.progress.bar("annotate", len(places), "samples") as bar:

        def take(left: int) -> None:
            while len(waiting) > left:
                uid, futures = waiting.popleft()
                uids.append(uid)
                replies.append([future.result() for future in futures])
                bar.advance(1)

        for row in rows_of(workspace, places):
            waiting.append((row["uid"], submit(endpoint, scorer, row, workspace.config.images.max_pixels)))
            take(most)
        take(0)
    columns = [pa.array(uids, UID.type), *scorer.score(replies).columns]
    return pa.Table.from_arrays(columns, schema=LABELS).sort_by("uid").combine_chunks()


def _keep(workspace: Pipeline, labels: pa.Table, asked: dict[str, Any], scorer: Capability) -> None:
    counts = counted(labels)
    if not counts["n_labelled"]:
        first = next((reason for reason in labels["capability_reason"].to_pylist() if reason), "no samples")
        raise EndpointUnavailable(
            f"none of {counts['n_sampled']} answers of {asked['model']} can be used; the first: {first}"
        )
    stage = {
        "name": TABLE,
        "version": scorer.version,
        "params": {"endpoint": asked, "mode": scorer.mode, "n": counts["n_sampled"]},
    }
    digest = hashlib.blake2b(_encoded(labels, Path("labels.parquet")), digest_size=16).hexdigest()
    ref = workspace.store.commit(TABLE, key_of([stage, digest]), LABELS, labels.to_batches())
    workspace.store.publish(TABLE, stage, [ref])


def counted(labels: pa.Table) -> dict[str, Any]:
    """n_sampled, n_labelled (all capabilities have points), n_null, and the codes of the reasons."""
    whole = np.ones(len(labels), bool)
    for name in CAPABILITY_COLUMNS:
        whole &= labels[name].is_valid().to_numpy()
    codes: dict[str, int] = {}
    for reason in labels["capability_reason"].drop_null().to_pylist():
        code = reason.partition(":")[0]
        codes[code] = codes.get(code, 0) + 1
    n = int(whole.sum())
    return {"n_sampled": len(labels), "n_labelled": n, "n_null": len(labels) - n, "null": codes}


def _target(out: Path | str | None) -> Path | None:
    if out is None:
        return None
    path = Path(out).expanduser()
    if is_url(str(out)) or path.suffix not in (".parquet", ".jsonl"):
        raise ConfigError(f"--out is {out}; name a file of this machine that ends in .parquet or .jsonl")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--out is {out}; there is no folder {path.absolute().parent}")
    return path


def _encoded(labels: pa.Table, target: Path) -> bytes:
    hexed = pa.array([uid.hex() for uid in labels["uid"].to_pylist()], pa.string())
    shown = labels.set_column(0, pa.field("uid", pa.string(), nullable=False), hexed)
    if target.suffix == ".jsonl":
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in shown.to_pylist())
        return "".join(lines).encode()
    sink = io.BytesIO()
    pq.write_table(shown, sink, compression="zstd")
    return sink.getvalue()
