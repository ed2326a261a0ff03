"""`own`: the columns that `curate scores --add` brought, a row a sample."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.catalog import ADDED, OWN, own_columns
from curation.plugins import plugin_columns
from curation.steps.context import Context
from curation.steps.score.scored import Scored
from curation.storage.ids import sortable
from curation.storage.rows import ShardRows
from curation.storage.store import Store, read_shard
from schemas.errors import ConfigError
from schemas.stages import Stage, Task, Whole


def own_stages(context: Context) -> list[Stage]:
    """The stage of the table `own`; none where nothing was added.

    Raises:
        ConfigError: a head or a plug-in writes a column of the same name.
    """
    store = Store(context.root)
    names = own_columns(store)
    if not names:
        return []
    score = context.config.score
    written = [column for name, head in score.heads.items() for column in head.columns or (name,)]
    taken = next((name for name in (*written, *plugin_columns(score.plugins)) if name in names), None)
    if taken:
        raise ConfigError(
            f"{taken} is a column that you added, and one that a scorer writes; give the scorer's another "
            f"name, or take yours away with `curate scores --drop {taken}`"
        )
    columns = pa.schema([field for field in store.schema(ADDED) if field.name in names])
    return [Scored(OWN, 1, columns, SOURCE, _as_they_are)]


def found(task: Task, rows: pa.RecordBatch) -> pa.RecordBatch:
    """What was added of the samples of `rows`, null where nothing was."""
    uids, values = _added(task.artefact(ADDED))
    wanted = sortable(rows["uid"])
    at = np.searchsorted(uids, wanted).clip(max=len(uids) - 1)
    return values.take(pa.array(at, mask=uids[at] != wanted))


SOURCE = ShardRows((("checked", ("uid",)),), further=(Whole(ADDED),), made=found)


def _as_they_are(piece: pa.RecordBatch) -> pa.RecordBatch:
    return piece


@lru_cache(maxsize=1)
def _added(path: str) -> tuple[NDArray[np.bytes_], pa.RecordBatch]:
    """Ascending uids, and the columns beside them. The file is named by its content."""
    table = read_shard(path).combine_chunks()
    (values,) = table.drop_columns("uid").to_batches()
    return sortable(table["uid"]), values
