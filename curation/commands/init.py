"""`curate init`: which datasets the arguments name, and what stands in curate.toml then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation.pipeline.config_file import write_config
from curation.pipeline.pipeline import Pipeline
from curation.readers.sources import parse_dataset, resolved
from curation.storage.files import CONFIG_FILE, locate
from schemas.config import load
from schemas.errors import ConfigError


def initialise(
    folder: str,
    data: Sequence[str],
    images: Sequence[str] = (),
    format_: str = "auto",
    model: str | None = None,
) -> dict[str, Any]:
    """Write or extend `folder`/curate.toml by `[NAME=]DATA` each, and say what it names.

    Raises:
        ConfigError: a name is taken, or a path does not exist.
        ReadError: there is no such format.
    """
    base = locate(folder)
    path = base / CONFIG_FILE
    held = load(path).datasets if path.exists() else {}
    places = {resolved(base, dataset.path): name for name, dataset in held.items()}
    named: dict[str, str] = {}
    for argument in data:
        name, where = parse_dataset(argument, {*held, *named})
        if name in named:
            raise ConfigError(f"two datasets are called {name!r}; a name stands in every sample's id")
        place = Path(where).resolve()
        if place in places:
            raise ConfigError(f"{where} is in {CONFIG_FILE} already, as dataset {places[place]!r}")
        named[name] = where
    write_config(base, named, images=images, model=model, format=format_)
    config = Pipeline(base).config
    return {
        "config": str(path),
        "datasets": {name: dataset.model_dump() for name, dataset in config.datasets.items()},
        "model": config.embed.model,
    }
