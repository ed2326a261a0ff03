"""The built-in model as a folder in open_clip's hub layout: towers from packages, heads of our own.

It is put together once on a machine, in the user's cache, so that the code that loads big models loads it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from curation.models.towers import TEXT_PARTS, TEXTS, image_weights, text_weights
from schemas.errors import ModelUnavailable

CONFIG, WEIGHTS, SUM = "open_clip_config.json", "open_clip_model.safetensors", "model.sha256"


def assembled(heads: Path) -> Path:
    """The folder of the model whose config and heads are in `heads`, made where it is not there yet.

    Raises:
        ModelUnavailable: a tower's package is missing or damaged, or nothing can be written.
    """
    digest = hashlib.sha256((heads / "model.safetensors").read_bytes()).hexdigest()
    places = [place / f"builtin-{digest[:16]}" for place in caches()]
    for place in places:
        if _whole(place):
            return place
    failures = []
    for place in places:
        try:
            _make(heads, place)
        except OSError as error:
            failures.append(f"{place.parent} ({error.strerror or error})")
        else:
            return place
    tried = " or ".join(failures) or "a folder that nobody else may write to"
    raise ModelUnavailable(
        f"the built-in model cannot be put together in {tried}: set XDG_CACHE_HOME to a "
        "folder with 250 MB free, or take --model builtin:tiny"
    )


def caches() -> list[Path]:
    """Where it may lie: $XDG_CACHE_HOME/curate, by default ~/.cache/curate; else among temporary files.

    The second is for workers of a cluster, whose user often has no home.
    """
    temporary = Path(tempfile.gettempdir()) / f"curate-{os.getuid()}"
    places = [temporary] if _ours(temporary) else []
    with suppress(RuntimeError):  # the user has no home
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        places.insert(0, Path(cache) / "curate")
    return places


def _ours(folder: Path) -> bool:
    """Whether nobody else can have put something there: among temporary files everybody makes folders."""
    if not folder.exists():
        return True
    facts = folder.stat()
    return facts.st_uid == os.getuid() and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _make(heads: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        made = Path(scratch, "model")
        write_model(heads, made, place)
        if place.exists() and not _whole(place):
            shutil.rmtree(place)
        try:
            made.rename(place)
        except OSError:
            if not _whole(place):  # else another process was faster
                raise


def write_model(heads: Path, made: Path, final: Path | None = None) -> None:
    """Write the model with these heads into the folder `made`, which will be moved to `final`."""
    from safetensors.torch import load_file, save_file

    final = final or made
    made.mkdir()
    for part in TEXT_PARTS:
        (made / part).write_bytes(TEXTS.part(part))
    config: dict[str, Any] = json.loads((heads / CONFIG).read_text(encoding="utf-8"))
    config["model_cfg"]["text_cfg"] |= {"hf_model_name": str(final), "hf_tokenizer_name": str(final)}
    (made / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    tensors = {name: tensor.float() for name, tensor in load_file(heads / "model.safetensors").items()}
    tensors |= {f"visual.trunk.{name}": tensor for name, tensor in image_weights().items()}
    tensors |= {f"text.transformer.{name}": tensor for name, tensor in text_weights().items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, made / WEIGHTS)
    (made / SUM).write_text(_sum(made / WEIGHTS) + "\n", encoding="utf-8")


def _whole(folder: Path) -> bool:
    """Whether the folder is there with the weights that were written."""
    if not (folder / SUM).is_file() or not (folder / WEIGHTS).is_file():
        return False
    return (folder / SUM).read_text(encoding="utf-8").strip() == _sum(folder / WEIGHTS)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
