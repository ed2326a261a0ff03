"""`curate init`: which datasets the arguments name, and what stands in curate.toml then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation.pipeline.config_file import relative, write_config
from curation.pipeline.pipeline import Pipeline
from curation.readers.sources import parse_dataset, resolved, source_of
from curation.storage.files import CONFIG_FILE, Location, is_url, locate
from schemas.config import load
from schemas.errors import ConfigError
from schemas.protocols import Progress
from schemas.settings import Dataset


def initialise(
    folder: str,
    data: Sequence[str],
    images: Sequence[str] = (),
    format_: str = "auto",
    model: str | None = None,
    image_key: str | None = None,
    text_key: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write or extend `folder`/curate.toml by `[NAME=]DATA` each, and say what it names, and of what format.

    Raises:
        ConfigError: a name is taken, or a path does not exist.
        ReadError: there is no such format, or the data is of none that is known, or cannot be read.
    """
    base = locate(folder)
    path = base / CONFIG_FILE
    held = load(path).datasets if path.exists() else {}
    places = {_place(dataset.path, base): name for name, dataset in held.items()}
    named: dict[str, str] = {}
    for argument in data:
        name, where = parse_dataset(argument, {*held, *named})
        if name in named:
            raise ConfigError(f"two datasets are called {name!r}; a name stands in every sample's id")
        place = _place(where, Path())
        if place in places:
            raise ConfigError(f"{where} is in {CONFIG_FILE} already, as dataset {places[place]!r}")
        named[name] = where
    found = {}
    for name, where in named.items():
        added = Dataset(path=relative(where, base), format=format_, image_key=image_key, text_key=text_key)
        source = source_of(name, added, base, progress)
        source.try_out()
        found[name] = {
            "reader": source.told.name,
            "told_by": source.told.how,
            "n_files": len(source.files),
            "passed_over": [str(file.relative_to(source.folder)) for file in source.told.passed],
        }
    write_config(
        base,
        named,
        images=images,
        model=model,
        format=format_,
        image_key=image_key,
        text_key=text_key,
    )
    config = Pipeline(base).config
    return {
        "config": str(path),
        "datasets": {
            name: {**dataset.model_dump(), **found.get(name, {})} for name, dataset in config.datasets.items()
        },
        "model": config.embed.model,
    }


def _place(path: str, base: Location) -> str:
    """Where data lies: one name for each place."""
    return path.rstrip("/") if is_url(path) else str(resolved(base, path))
