"""Writing curate.toml: new, or with more in it. What people wrote there stays as it is, comments too."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from curation.readers import reader
from curation.readers.inputs import inputs
from curation.storage.files import CONFIG_FILE, Location, Remote, is_url, put
from schemas.errors import ConfigError, ReadError

HEADER = """\
# curate.toml: what this workspace works on. `curate run` does what it says; flags win over it.
"""


def write_config(
    folder: Location,
    datasets: Mapping[str, str | Path],
    *,
    images: Sequence[str | Path] = (),
    model: str | None = None,
    format: str = "auto",
    image_key: str | None = None,
    text_key: str | None = None,
    anew: bool = False,
) -> None:
    """Create or extend `folder`/curate.toml. All but `model` hold for the datasets that are added.

    `anew`: forget what is there.

    Raises:
        ConfigError: a dataset's name is taken, its path does not exist, or a setting is there already.
        ReadError: there is no such format.
    """
    if format != "auto":
        reader(format)
    path = folder / CONFIG_FILE
    tree = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() and not anew else HEADER)
    held = tree.setdefault("datasets", tomlkit.table(is_super_table=True))
    for name, data in datasets.items():
        if name in held:
            raise ConfigError(
                f"{CONFIG_FILE} has a dataset {name!r} already; choose another: curate init NAME={data}"
            )
    _demand_there(datasets, images)
    if model is not None:
        _set_model(tree, model)
    for name, data in datasets.items():
        added: dict[str, Any] = {
            "path": relative(data, folder),
            **({} if format == "auto" else {"format": format}),
            **({} if image_key is None else {"image_key": image_key}),
            **({} if text_key is None else {"text_key": text_key}),
        }
        if images:
            added["images"] = [relative(root, folder) for root in images]
        held[name] = added
    put(path, tomlkit.dumps(tree).encode())


def _demand_there(datasets: Mapping[str, str | Path], images: Sequence[str | Path]) -> None:
    """Refuse paths that do not exist. What is at a URL is looked at where it is copied."""
    for data in datasets.values():
        try:
            if not is_url(str(data)):
                inputs(Path(data).expanduser())
        except ReadError as error:
            raise ConfigError(str(error)) from None
    for root in images:
        if not is_url(str(root)) and not Path(root).expanduser().is_dir():
            raise ConfigError(f"--images {root}: there is no such folder")


def set_images(folder: Location, name: str, images: Sequence[str | Path]) -> None:
    """Say anew where the images of the dataset `name` lie.

    Raises:
        ConfigError: there is no such folder.
    """
    _demand_there({}, images)
    path = folder / CONFIG_FILE
    tree: Any = tomlkit.parse(path.read_text(encoding="utf-8"))
    tree["datasets"][name]["images"] = [relative(root, folder) for root in images]
    put(path, tomlkit.dumps(tree).encode())


def set_keys(folder: Location, section: str, values: Mapping[str, Any]) -> None:
    """Set keys of `section` in `folder`/curate.toml; everything else there stays as it is."""
    path = folder / CONFIG_FILE
    tree = tomlkit.parse(path.read_text(encoding="utf-8"))
    tree.setdefault(section, tomlkit.table()).update(values)
    put(path, tomlkit.dumps(tree).encode())


def _set_model(tree: tomlkit.TOMLDocument, model: str) -> None:
    embed = tree.setdefault("embed", tomlkit.table())
    if embed.setdefault("model", model) != model:
        raise ConfigError(f"{CONFIG_FILE} says embed.model = {embed['model']!r} already; change it there")


def relative(path: str | Path, folder: Location) -> str:
    """Relative paths are written relative to curate.toml, absolute where it lies at a URL; others stay."""
    if is_url(str(path)):
        return str(path)
    given = Path(path).expanduser()
    if given.is_absolute():
        return str(given)
    if isinstance(folder, Remote):
        return os.path.abspath(given)  # noqa: PTH100  # links stay, as in what is absolute already
    return Path(os.path.relpath(given, folder)).as_posix()
