"""`curate init`: write curate.toml, or add datasets to it. Text is appended, so what people wrote there stays."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIG = "curate.toml"
HEADER = """\
# curate.toml: what this workspace works on. `curate run` does what it says; flags win over it.
"""


def dataset_name(path: Path, taken: set[str]) -> str:
    """A name for the dataset at `path`: its file name, made unique."""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", path.name.split(".")[0]).strip("_.-") or "data"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    return name


def write_config(
    folder: Path,
    datasets: Mapping[str, str | Path],
    *,
    images: Sequence[str | Path] = (),
    model: str | None = None,
    format: str = "auto",
) -> None:
    """Create or extend `folder/curate.toml`. Paths are written as given, relative ones to the working folder.

    Raises:
        ConfigError: a dataset's name is taken, its path does not exist, or a setting is there already.
    """
    path = folder / CONFIG
    held = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    text = path.read_text(encoding="utf-8").rstrip("\n") + "\n" if path.exists() else HEADER
    for name, data in datasets.items():
        if name in held.get("datasets", {}):
            raise ConfigError(f"{CONFIG} has a dataset {name!r} already; choose another: curate init NAME={data}")
        if not Path(data).expanduser().exists():
            raise ConfigError(f"{data} does not exist")
    for folder_of_images in images:
        if not Path(folder_of_images).expanduser().is_dir():
            raise ConfigError(f"--images {folder_of_images}: there is no such folder")
    if images:
        text = _set(text, held, "images", "roots", [_relative(root, folder) for root in images])
    if model is not None:
        text = _set(text, held, "embed", "model", model)
    for name, data in datasets.items():
        text += f"\n[datasets.{json.dumps(name) if '.' in name else name}]\npath = {_quote(_relative(data, folder))}\n"
        if format != "auto":
            text += f"format = {_quote(format)}\n"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _set(text: str, held: dict[str, dict[str, object]], section: str, key: str, value: object) -> str:
    """Text with `[section] key = value` added; roots are joined to those that are there."""
    present = held.get(section, {}).get(key)
    if present == value:
        return text
    if isinstance(value, list) and isinstance(present, list):
        value = [*present, *[item for item in value if item not in present]]
        return re.sub(rf"(?m)^{key}\s*=.*$", lambda _: f"{key} = {json.dumps(value, ensure_ascii=False)}", text, count=1)
    if present is not None:
        raise ConfigError(f"{CONFIG} says {section}.{key} = {present!r} already; change it there")
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
    if section in held:
        return re.sub(rf"(?m)^\[{section}\]\n", lambda match: match.group(0) + line, text, count=1)
    return f"{text}\n[{section}]\n{line}"


def _relative(path: str | Path, folder: Path) -> str:
    """Relative paths are written relative to curate.toml; absolute ones stay."""
    given = Path(path).expanduser()
    if given.is_absolute():
        return str(given)
    import os

    return Path(os.path.relpath(given, folder)).as_posix()


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
