"""The benchmarks that the settings name: where they are, and the stages that compare.

Each is a workspace of its own in the pool's folder, with the pool's encoder and limits. So it is computed
once, resumed where it was stopped, and looked at like any other (`curate -C .curate/benchmarks/NAME status`).
"""

from __future__ import annotations

from pathlib import Path

from curation.readers.sources import parse_dataset, resolved
from curation.steps.context import Context
from curation.steps.decontaminate.benchmark import Benchmark
from curation.steps.decontaminate.leaks import EMBEDDING, FindImages, FindTexts, Leaks
from curation.storage.files import CONFIG_FILE, FOLDER, Location
from curation.storage.store import Store
from schemas.config import Config
from schemas.errors import ConfigError
from schemas.stages import Stage

BENCHMARKS = "benchmarks"  # in the workspace's own folder
SECTION = "decontaminate"


def leak_stages(context: Context) -> list[Stage]:
    """The stages that find leaks; none where no benchmark is named. They follow those up to `needed`.

    The benchmarks are as the pipeline left them in the pool's folder.
    """
    settings = context.config.decontaminate
    if not settings.against:
        return []
    paths = benchmark_paths(context.config, context.base)
    embedded = needed(context.config) == "embed"
    found = tuple(Benchmark.of(name, store_of(context.root, name), embedded=embedded) for name in paths)
    return [
        FindImages(found, settings.levels, settings.bits, settings.cosine),
        FindTexts(found, settings.levels, settings.ngram, settings.overlap),
        Leaks(found),
    ]


def needed(config: Config) -> str:
    """The step up to which pool and benchmarks must be computed: embed where vectors are compared."""
    return "embed" if EMBEDDING in config.decontaminate.levels else "ingest"


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
            f"of [{SECTION}] in {CONFIG_FILE}"
        )
    return path


def store_of(root: Location, name: str) -> Store:
    """The tables of a benchmark; `root` is the pool's store."""
    return Store(root / BENCHMARKS / name / FOLDER)
