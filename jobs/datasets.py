"""`curate init`: what the arguments name, and what stands in curate.toml then."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def initialise(
    folder: str, data: tuple[str, ...], images: tuple[str, ...], format_: str, model: str | None
) -> dict[str, Any]:
    """Write or extend `folder`/curate.toml and say what it names.

    Raises:
        ConfigError: a name is taken, or a path does not exist.
    """
    from curation.files import locate
    from curation.setup import parse_dataset
    from curation.sources import resolved
    from curation.workspace import CONFIG, Workspace
    from schemas.config import load
    from schemas.errors import ConfigError

    base = locate(folder)
    path = base / CONFIG
    held = load(path).datasets if path.exists() else {}
    places = {resolved(base, dataset.path): name for name, dataset in held.items()}
    named: dict[str, str] = {}
    for argument in data:
        name, where = parse_dataset(argument, {*held, *named})
        if name in named:
            raise ConfigError(f"two datasets are called {name!r}; a name stands in every sample's id")
        place = Path(where).resolve()
        if place in places:
            raise ConfigError(f"{where} is in {CONFIG} already, as dataset {places[place]!r}")
        named[name] = where
    config = Workspace.init(folder, named, images=images, model=model, format=format_).config
    return {
        "config": str(path),
        "datasets": {name: dataset.model_dump() for name, dataset in config.datasets.items()},
        "model": config.embed.model,
    }
