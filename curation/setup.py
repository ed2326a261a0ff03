"""`curate init`: write curate.toml, or add datasets to it. What people wrote there stays as it is."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.files import Remote, put
from schemas.config import NAME
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from curation.files import Location

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


def parse_dataset(argument: str, taken: set[str]) -> tuple[str, str]:
    """`[NAME=]DATA` as (name, path); without a name the file's, made unique among `taken`.

    Raises:
        ConfigError: what stands before the sign is no name, or nothing stands behind it.
    """
    name, equals, path = argument.partition("=")
    if equals and not path:
        raise ConfigError(f"{argument} names no data; write NAME=DATA")
    if equals and Path(path).exists() and not Path(argument).exists() and not re.fullmatch(NAME, name):
        raise ConfigError(f"{name!r} is no name: take letters, digits, dots, dashes and underscores only")
    if equals and re.fullmatch(NAME, name) and not Path(argument).exists():
        return name, path
    return dataset_name(Path(argument), taken), argument


def write_config(
    folder: Location,
    datasets: Mapping[str, str | Path],
    *,
    images: Sequence[str | Path] = (),
    model: str | None = None,
    format: str = "auto",
) -> None:
    """Create or extend `folder`/curate.toml. `images` and `format` hold for the datasets that are added.

    Raises:
        ConfigError: a dataset's name is taken, its path does not exist, or a setting is there already.
    """
    path = folder / CONFIG
    before = path.read_text(encoding="utf-8") if path.exists() else HEADER
    held, text = tomllib.loads(before), before.rstrip("\n") + "\n"
    for name, data in datasets.items():
        if name in held.get("datasets", {}):
            raise ConfigError(
                f"{CONFIG} has a dataset {name!r} already; choose another: curate init NAME={data}"
            )
        if not Path(data).expanduser().exists():
            raise ConfigError(f"{data} does not exist")
    for folder_of_images in images:
        if not Path(folder_of_images).expanduser().is_dir():
            raise ConfigError(f"--images {folder_of_images}: there is no such folder")
    if model is not None:
        text = _set_model(text, held, model)
    for name, data in datasets.items():
        header = _quote(name) if "." in name else name
        text += f"\n[datasets.{header}]\npath = {_quote(relative(data, folder))}\n"
        if format != "auto":
            text += f"format = {_quote(format)}\n"
        if images:
            text += (
                f"images = {json.dumps([relative(root, folder) for root in images], ensure_ascii=False)}\n"
            )
    put(path, text.encode())


def set_keys(folder: Location, section: str, values: Mapping[str, Any]) -> None:
    """Set keys of `section` in `folder`/curate.toml; everything else there stays as it is.

    Raises:
        ConfigError: the section is written in a way that cannot be changed line by line.
    """
    path = folder / CONFIG
    text = path.read_text(encoding="utf-8")
    held = tomllib.loads(text)
    wanted = {**held.get(section, {}), **values}
    if section not in held:
        text = f"{text.rstrip()}\n\n[{section}]\n"
    for name, value in values.items():
        line = f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
        start = re.search(rf"(?m)^\[{section}\]\s*?\n", text)
        if start is None:
            break
        end = re.compile(r"(?m)^\[").search(text, start.end())
        body = text[start.end() : end.start() if end else len(text)]
        body = re.sub(rf"(?m)^{name}\s*=.*\n", "", body)
        text = text[: start.end()] + line + body + text[end.start() if end else len(text) :]
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        written = {}
    if written != {**held, section: wanted}:
        lines = ", ".join(f"{name} = {json.dumps(value)}" for name, value in values.items())
        raise ConfigError(f"[{section}] in {path} cannot be changed here; write there: {lines}")
    put(path, text.encode())


def _set_model(text: str, held: dict[str, dict[str, object]], model: str) -> str:
    present = held.get("embed", {}).get("model")
    if present == model:
        return text
    if present is not None:
        raise ConfigError(f"{CONFIG} says embed.model = {present!r} already; change it there")
    line = f"model = {_quote(model)}\n"
    if "embed" in held:
        return re.sub(r"(?m)^\[embed\]\n", lambda match: match.group(0) + line, text, count=1)
    return f"{text}\n[embed]\n{line}"


def relative(path: str | Path, folder: Location) -> str:
    """Relative paths are written relative to curate.toml, absolute where it lies at a URL; others stay."""
    given = Path(path).expanduser()
    if given.is_absolute():
        return str(given)
    if isinstance(folder, Remote):
        return os.path.abspath(given)  # noqa: PTH100  # links stay, as in what is absolute already
    return Path(os.path.relpath(given, folder)).as_posix()


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
