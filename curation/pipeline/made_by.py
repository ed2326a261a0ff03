"""What made the tables, as it may be shown to others: settings, stages, model and versions."""

from __future__ import annotations

import platform
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from curation.storage.store import Store
from schemas.config import Config


def shown(config: Config) -> Config:
    """Paths as curate.toml spells them, but of absolute ones the last part: they tell about this machine."""

    def short(path: str) -> str:
        return Path(path).name if Path(path).is_absolute() else path

    datasets = {
        name: dataset.model_copy(
            update={"path": short(dataset.path), "images": tuple(short(folder) for folder in dataset.images)}
        )
        for name, dataset in config.datasets.items()
    }
    return config.model_copy(update={"datasets": datasets})


def made_by(store: Store) -> dict[str, Any]:
    """The stages with their parameters, the model, and versions of what reads and writes."""
    stages = {}
    for table in store.tables():
        stages[table] = dict(store.manifest(table).stage)
    model = stages.get("image_vectors", {}).get("params", {}).get("model", {})
    own = packages_distributions().get("curation", [])
    packages = ["datasets", "pillow", "pyarrow"]
    versions = {"curate": version(own[0])} if own else {}
    versions |= {"python": platform.python_version(), **{name: version(name) for name in packages}}
    environment, identity = model.get("environment", {}), model.get("identity", {})
    versions |= {name: value for name, value in environment.items() if name not in {**versions, **identity}}
    return {"stages": stages, "model": model, "versions": versions}
