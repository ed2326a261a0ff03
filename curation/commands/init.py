"""`curate init`: which datasets the arguments name, and what stands in curate.toml then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation.commands.init_images import looked_for
from curation.pipeline.config_file import relative, set_images, write_config
from curation.pipeline.pipeline import Pipeline
from curation.readers.sources import parse_dataset, resolved, roots_of, source_of
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

    With `images`, data that it names already is looked up there from now on.

    Raises:
        ConfigError: a name is taken, or a path does not exist.
        ReadError: there is no such format, or the data is of none that is known, or cannot be read.
    """
    base = locate(folder)
    path = base / CONFIG_FILE
    held = load(path).datasets if path.exists() else {}
    places = {_place(dataset.path, base): name for name, dataset in held.items()}
    named: dict[str, str] = {}
    corrected: dict[str, str] = {}
    for argument in data:
        known = places.get(_place(argument.rpartition("=")[2], Path())) if images else None
        if known is not None and argument.rpartition("=")[0] in ("", known):
            corrected[known] = argument.rpartition("=")[2]
            continue
        name, where = parse_dataset(argument, {*held, *named})
        if name in named:
            raise ConfigError(f"two datasets are called {name!r}; a name stands in every sample's id")
        place = _place(where, Path())
        if place in places:
            raise ConfigError(f"{where} is in {CONFIG_FILE} already, as dataset {places[place]!r}")
        named[name] = where
    sources = {}
    for name, where in named.items():
        added = Dataset(path=relative(where, base), format=format_, image_key=image_key, text_key=text_key)
        sources[name] = source_of(name, added, base, progress)
        sources[name].try_out()
    write_config(
        base,
        named,
        images=images,
        model=model,
        format=format_,
        image_key=image_key,
        text_key=text_key,
    )
    for name in corrected:
        set_images(base, name, images)
    config = Pipeline(base).config
    for name in corrected:
        sources[name] = source_of(name, config.datasets[name], base, progress)
    found = {
        name: {
            "reader": source.told.name,
            "told_by": source.told.how,
            "n_files": len(source.files),
            "passed_over": [str(file.relative_to(source.folder)) for file in source.told.passed],
            "given": {**named, **corrected}[name],
            "looked_for": looked_for(source, roots_of(source, config.datasets[name], base), config),
        }
        for name, source in sources.items()
    }
    return {
        "config": str(path),
        "corrected": list(corrected),
        "datasets": {
            name: {**dataset.model_dump(), **found.get(name, {})} for name, dataset in config.datasets.items()
        },
        "model": config.embed.model,
    }


def _place(path: str, base: Location) -> str:
    """Where data lies: one name for each place."""
    return path.rstrip("/") if is_url(path) else str(resolved(base, path))
