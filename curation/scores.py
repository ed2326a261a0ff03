"""The score table: every narrow column known of the samples, row by row with the pool. Selectors see it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    import pyarrow as pa

    from curation.store import Store

# Tables with one row a sample, in pool order, and the columns that are not for ranking.
TABLES = (
    "checked",
    "clusters",
    "hygiene",
    "alignment",
    "quality",
    "heads",
    "grounding",
    "phrase_grounding",
    "capability",
    "judgement",
)
FLAGS = {
    "grounding": "--vlm MODEL",
    "phrase_grounding": "--phrases",
    "capability": "--capability BACKEND",
    "judgement": "--judge",
}
PLUGIN = "plugin_"  # how the names of the tables of other packages' scorers begin (curation/plugins.py)
HEADS = "heads"  # its columns are named by curate.toml, so only the table says which there are
HASHES = ("content_hash", "images_hash", "pixels_hash", "shown_hash", "text_hash")
IDS = ("uid", "dataset", "record_id", "file", "line", "error", "error_message", "evidence", *HASHES)


def on_request() -> dict[str, pa.Schema]:
    """Tables that a run makes only where it is told to, and their columns: they may be of an earlier pool."""
    import pyarrow as pa

    from scorers.grounding import Grounding
    from scorers.judgement import Judgement
    from scorers.phrases import PhraseGrounding
    from scorers.taxonomy import WRITES

    return {
        HEADS: pa.schema([]),
        "grounding": Grounding.writes,
        "phrase_grounding": PhraseGrounding.writes,
        "capability": WRITES,
        "judgement": Judgement.writes,
    }


def fixed_columns() -> set[str]:
    """The columns that every pool has or can have: all but those of heads."""
    from curation.stages.samples import CHECKED
    from scorers.alignment import Alignment
    from scorers.hygiene import Hygiene
    from scorers.synthetic import Synthetic

    schemas = (CHECKED, Hygiene.writes, Alignment.writes, Synthetic.writes, *on_request().values())
    return {"cluster", "similarity", *(name for schema in schemas for name in schema.names)}


def tables_for(columns: Sequence[str]) -> tuple[str, ...]:
    """The tables on request that hold one of `columns`; what no other table has is a head's."""
    found = {table for table, schema in on_request().items() if set(columns) & set(schema.names)}
    if not set(columns) <= fixed_columns():
        found.add(HEADS)
    return tuple(table for table in on_request() if table in found)


def demand_tables(store: Store, columns: Sequence[str], made: Sequence[str]) -> None:
    """Refuse to choose by a column of a table that is neither there nor `made` on the way.

    `columns` are those that no map stage on the way writes.

    Raises:
        ConfigError: naming the column and the flag.
    """
    schemas = on_request()
    unknown = [name for name in columns if name not in fixed_columns()]
    if unknown:
        there = sorted(fixed_columns() & set(column_tables(store)) - set(IDS))
        raise ConfigError(unknown_column(unknown[0], there or sorted(fixed_columns() - set(IDS))))
    for table in tables_for(columns):
        if table not in made and table not in current_tables(store):
            raise ConfigError(_not_computed(next(name for name in columns if name in schemas[table].names)))


def _not_computed(column: str) -> str:
    table = next(table for table, schema in on_request().items() if column in schema.names)
    return (
        f"the column {column} is not computed for this pool as it is; {FLAGS[table]} computes it, here or in "
        "`curate score`"
    )


def unknown_column(name: str, known: Sequence[str]) -> str:
    """A sentence on a column that no table of samples has, with those that it may be meant for."""
    if any(name in schema.names for schema in on_request().values()):
        return _not_computed(name)
    alike = [other for other in known if other.endswith(f"_{name}")]
    alike += [other for other in get_close_matches(name, known) if other not in alike]
    more = "`curate explain ID` shows all, docs/data-model.md too"
    if alike:
        return f"samples have no column {name!r}; did you mean {' or '.join(alike[:3])}? ({more})"
    some = f"{', '.join(known[:12])}, … ({more})"
    return f"samples have no column {name!r}, and no head writes one (--head NAME=FILE); there are {some}"


def current_tables(store: Store) -> list[str]:
    """The tables that exist and, where they are made on request, have the uids of the pool as it is."""
    there = []
    for table in all_tables(store):
        manifest = store.manifest(table)
        if manifest is not None and manifest.shards and _is_current(store, table):
            there.append(table)
    return there


def all_tables(store: Store) -> tuple[str, ...]:
    """TABLES, and those of other packages' scorers that were ever made here."""
    return (*TABLES, *(table for table in store.tables() if table.startswith(PLUGIN)))


def may_be_old(table: str) -> bool:
    """Whether not every run makes the table: its manifest says by `pool` which `checked` it is of."""
    return table in on_request() or table.startswith(PLUGIN)


def _is_current(store: Store, table: str) -> bool:
    if not may_be_old(table):
        return True
    manifest, pool = store.manifest(table), store.manifest("checked")
    if manifest is None or pool is None:
        return False
    return bool(manifest.stage.get("pool") == pool.fingerprint)


def column_tables(store: Store) -> dict[str, str]:
    """Each column that exists now, and the table that holds it."""
    found: dict[str, str] = {}
    for table in current_tables(store):
        for name in store.schema(table).names:
            found.setdefault(name, table)
    return found


def score_table(store: Store, columns: Sequence[str]) -> pl.DataFrame:
    """`columns` of every sample, in pool order, bad records included.

    Raises:
        ConfigError: a column does not exist; the message lists those that do.
    """
    import polars as pl

    where = column_tables(store)
    unknown = [name for name in columns if name not in where]
    if unknown:
        raise ConfigError(unknown_column(unknown[0], sorted(set(where) - set(IDS))))
    frames = []
    for table in dict.fromkeys(where[name] for name in columns):
        names = [name for name in columns if where[name] == table]
        frame = pl.from_arrow(store.read(table, names))
        assert isinstance(frame, pl.DataFrame)
        frames.append(frame)
    return pl.concat(frames, how="horizontal").select(columns)
