"""What `--model` and `--vlm` can name: built in, cached on this machine, or open_clip's list on the hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from curation.models.spec import BUILTIN, CLIPS, VLM
from curation.models.tags import Place, places
from curation.models.towers import TOWERS
from curation.models.weights import downloaded, preferred


@dataclass(frozen=True)
class Listed:
    """One model: its name as `--model` (clip) or `--vlm` (vlm) takes it, and where its weights are."""

    name: str
    kind: str  # clip or vlm
    where: Literal["built in", "cached", "hub"]
    n_bytes: int | None = None  # of the weights on this machine; None where they are not here


def catalogue(pattern: str = "*") -> list[Listed]:
    """Return the models whose name matches `pattern` (as file names do, case ignored), nearest first."""
    found = {listed.name: listed for listed in (*_hub(), *_cached_repositories())}
    order = {"built in": 0, "cached": 1, "hub": 2}
    models = sorted((*_built_in(), *found.values()), key=lambda model: (order[model.where], model.name))
    wanted = pattern.lower() if set("*?[") & set(pattern) else f"*{pattern.lower()}*"
    return [model for model in models if fnmatch(model.name.lower(), wanted)]


def _built_in() -> Iterator[Listed]:
    for name, folder in CLIPS.items():
        towers = sum(tower.n_bytes for tower in TOWERS) if name == BUILTIN else 0
        yield Listed(name, "clip", "built in", towers + _bytes(folder))
    yield Listed(BUILTIN, "vlm", "built in", _bytes(VLM))


def _bytes(folder: Path) -> int:
    return (folder / "model.safetensors").stat().st_size


def _hub() -> Iterator[Listed]:
    for arch, tags in places().items():
        for tag, place in tags.items():
            size = _cached_bytes(place)
            yield Listed(f"{arch}/{tag}", "clip", "hub" if size is None else "cached", size)


def _cached_bytes(place: Place) -> int | None:
    from huggingface_hub import try_to_load_from_cache

    if not place.hub:
        path = downloaded(place.url)
        return path.stat().st_size if path.is_file() else None
    repository, _, name = place.hub.rpartition("/")
    for candidate in preferred(name):
        found = try_to_load_from_cache(repository, candidate)
        if isinstance(found, str):
            return Path(found).stat().st_size
    return None


def _cached_repositories() -> Iterator[Listed]:
    """Repositories in Hugging Face's cache that hold a model of open_clip or one for image and text."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return
    for repository in repositories:
        names = {file.file_name: file for revision in repository.revisions for file in revision.files}
        if not any(name.endswith((".safetensors", ".bin")) for name in names):
            continue
        if "open_clip_config.json" in names:
            yield Listed(f"hf-hub:{repository.repo_id}", "clip", "cached", repository.size_on_disk)
        elif "config.json" in names:
            from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

            config = json.loads(Path(names["config.json"].file_path).read_text(encoding="utf-8"))
            if config.get("model_type") in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
                yield Listed(repository.repo_id, "vlm", "cached", repository.size_on_disk)
