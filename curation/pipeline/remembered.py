"""The settings that the last selection was made with: flags stand in no curate.toml."""

from __future__ import annotations

import json

from curation.storage.files import put
from curation.storage.store import Store
from schemas.config import Config, parse
from schemas.settings import Run

FILE = "selected.json"


def shareable(config: Config) -> Config:
    """`config` without what is of a machine or a secret: of [run] only what changes a result stays."""
    run = Run(seed=config.run.seed, shard_rows=config.run.shard_rows)
    return config.model_copy(
        update={"run": run, "endpoint": config.endpoint.model_copy(update={"key_file": None})}
    )


def remember(store: Store, config: Config) -> None:
    """Write them beside the tables, with the key of the selection that they belong to."""
    selection = store.manifest("selection")
    tree = {"key": selection.shards[0].key, "config": shareable(config).model_dump(mode="json")}
    text = json.dumps(tree, indent=1, sort_keys=True)
    if _read(store) != text:
        put(store.root / FILE, text.encode())


def remembered(store: Store) -> Config | None:
    """Those of the selection that is there; None where they are not known."""
    selection, text = store.find("selection"), _read(store)
    if selection is None or not text:
        return None
    tree = json.loads(text)
    return parse(tree["config"]) if tree["key"] == selection.shards[0].key else None


def _read(store: Store) -> str:
    try:
        return (store.root / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
