"""The benchmarks that the settings name: where they are, bringing them up to date, the stages that compare.

Each is a workspace of its own in the pool's folder, with the pool's encoder and limits. So it is computed
once, resumed where it was stopped, and looked at like any other (`curate -C .curate/benchmarks/NAME status`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from curation.benchmark import Benchmark
from curation.files import Remote, put
from curation.setup import CONFIG, parse_dataset
from curation.sources import resolved
from curation.stages.leaks import FindImages, FindTexts, Leaks
from curation.store import Store
from schemas.errors import ConfigError, ReadError, TooManyErrors

if TYPE_CHECKING:
    from pathlib import Path

    from curation.files import Location
    from curation.keys import Stage
    from curation.workspace import Workspace
    from schemas.config import Config

FOLDER = "benchmarks"  # in the workspace's own folder
SECTION = "decontaminate"
# Settings that decide what a vector or a hash is: those of a benchmark are the pool's.
SHARED = ("images", "run", "embed")


def prepare(workspace: Workspace) -> None:
    """Read and embed every benchmark that the settings name, as far as that is not done.

    Raises:
        CurateError: one does not exist, is of no known format, or holds no good record.
    """
    from curation.workspace import Workspace as Own

    config, base = workspace.config, workspace.base
    shared = {
        f"{section}.{key}": value for section in SHARED for key, value in config.model_dump()[section].items()
    }
    shared["run.engine"] = "local"  # a benchmark is small, and vectors are the same on every engine
    for name, path in benchmark_paths(config, base).items():
        folder = workspace.store.root / FOLDER / name
        _write_config(folder, name, path, [str(resolved(base, root)) for root in config.decontaminate.images])
        try:
            Own(folder, shared, workspace.progress).run("embed")
        except (ReadError, TooManyErrors) as error:
            sentence = str(error).replace("`curate status", f"`curate -C {folder} status")
            raise type(error)(f"benchmark {name}: {sentence}") from None


def leak_stages(config: Config, root: Location | None) -> list[Stage]:
    """The stages that find leaks; none where no benchmark is named. They follow those that embed.

    `root` is the pool's store: the benchmarks are as `prepare` left them there.
    """
    settings = config.decontaminate
    if not settings.against or root is None:
        return []
    found = tuple(Benchmark.of(name, store_of(root, name)) for name in benchmark_paths(config, root.parent))
    return [
        FindImages(found, settings.levels, settings.bits, settings.cosine),
        FindTexts(found, settings.levels, settings.ngram, settings.overlap),
        Leaks(found),
    ]


def benchmark_paths(config: Config, base: Location) -> dict[str, Path]:
    """The benchmarks by name, in order.

    Raises:
        ConfigError: one does not exist, or two have the same name.
    """
    found: dict[str, Path] = {}
    for text in config.decontaminate.against:
        name, path = parse_dataset(text, set(found))
        if name in found:
            raise ConfigError(
                f"two benchmarks are called {name!r}; give one another name: --against NAME={path}"
            )
        found[name] = existing(text, base)
    return found


def existing(text: str, base: Location) -> Path:
    """Where the benchmark `[NAME=]DATA` lies. `base` is the folder of curate.toml.

    Raises:
        ConfigError: there is nothing.
    """
    path = resolved(base, parse_dataset(text, set())[1])
    if not path.exists():
        raise ConfigError(
            f"--against {text}: {path} does not exist; give a dataset or a folder of images, or take it out "
            f"of [{SECTION}] in {CONFIG}"
        )
    return path


def store_of(root: Location, name: str) -> Store:
    """The tables of a benchmark; `root` is the pool's store."""
    from curation.workspace import FOLDER as OWN

    return Store(root / FOLDER / name / OWN)


def _write_config(folder: Location, name: str, path: Path, images: list[str]) -> None:
    """curate.toml of a benchmark's workspace. What it says besides is what the pool's settings say."""
    header = json.dumps(name) if "." in name else name
    lines = [
        "# Written by `curate decontaminate`.",
        f"[datasets.{header}]",
        f"path = {json.dumps(str(path), ensure_ascii=False)}",
    ]
    lines += [f"images = {json.dumps(images, ensure_ascii=False)}"] if images else []
    text = "\n".join(lines) + "\n"
    if not isinstance(folder, Remote):
        folder.mkdir(parents=True, exist_ok=True)
    put(folder / CONFIG, text.encode())
