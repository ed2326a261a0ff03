"""What `--model` may say, and what identifies a model in a shard's key. Imports no torch."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from schemas.errors import ModelUnavailable

SHIPPED = Path(__file__).parent / "builtin"
BUILTIN, TINY = "builtin", "builtin:tiny"
CLIPS = {BUILTIN: SHIPPED / "clip", TINY: SHIPPED / "tiny"}
"""What ships for a name: of `builtin` the heads, whose towers packages bring, of `builtin:tiny` the model."""
VLM = SHIPPED / "vlm"
OFFLINE_CHOICE = "`--model builtin` needs no download."
OFFLINE_VLM = "`--vlm builtin` needs no download."
PROBE = 1 << 20  # bytes read at the start, the middle and the end of a large file


@dataclass(frozen=True)
class ModelSpec:
    """`--model`, understood.

    form: builtin | tag (open_clip's ARCH/PRETRAINED) | random (ARCH/random, seeded weights for benchmarks)
    | hub (hf-hub:ORG/NAME) | file (ARCH@PATH) | folder (open_clip's hub layout on disk).
    """

    text: str  # as given
    form: Literal["builtin", "tag", "random", "hub", "file", "folder"]
    arch: str = ""  # open_clip's name of the architecture (tag, random, file)
    where: str = ""  # tag, repository, or path


def parse_spec(model: str) -> ModelSpec:
    """Understand `--model`.

    Raises:
        ModelUnavailable: it is none of the known forms, names an unknown architecture, or a path is absent.
    """
    if model in CLIPS:
        return ModelSpec(model, "builtin", where=str(CLIPS[model]))
    if model.startswith(f"{BUILTIN}:"):
        raise ModelUnavailable(f"there is no model {model!r}; built in are {' and '.join(CLIPS)}")
    if model.startswith("hf-hub:"):
        repository = model.removeprefix("hf-hub:")
        if repository.count("/") != 1:
            raise ModelUnavailable(f"{model!r} is not of the form hf-hub:ORG/NAME. {OFFLINE_CHOICE}")
        return ModelSpec(model, "hub", where=repository)
    if Path(model).is_dir():
        if not (Path(model) / "open_clip_config.json").is_file():
            raise ModelUnavailable(f"the folder {model} holds no open_clip_config.json. {OFFLINE_CHOICE}")
        return ModelSpec(model, "folder", where=model)
    if "@" in model:
        arch, _, path = model.partition("@")
        if not Path(path).is_file():
            raise ModelUnavailable(f"{model!r}: there is no checkpoint file {path}. {OFFLINE_CHOICE}")
        return ModelSpec(model, "file", _known(arch, model), path)
    arch, slash, tag = model.rpartition("/")
    if not slash:
        _known(model, model)
        raise ModelUnavailable(f"{model!r} lacks its weights: say {model}/PRETRAINED. {OFFLINE_CHOICE}")
    return ModelSpec(model, "random" if tag == "random" else "tag", _known(arch, model), tag)


def model_identity(model: str) -> dict[str, str]:
    """Return what stands for the model in a shard's key: its spec and the fingerprint of local weights.

    Local weights are hashed whole up to 3 MiB a file, above that by size and three probes of 1 MiB. The
    figure of a built-in one is the sha256 of what ships of its weights, which `load_encoder` verifies.

    Raises:
        ModelUnavailable: as `parse_spec`.
    """
    spec = parse_spec(model)
    identity = {"model": model}
    if spec.form == "builtin":
        identity["sha256"] = builtin_sha256(Path(spec.where))
    elif spec.form == "file":
        identity["fingerprint"] = fingerprint([Path(spec.where)])
    elif spec.form == "folder":
        identity["fingerprint"] = fingerprint(path for path in Path(spec.where).rglob("*") if path.is_file())
    return identity


def vlm_identity(vlm: str) -> dict[str, str]:
    """Return what stands for a vision-language model in a shard's key, as `model_identity` does.

    Raises:
        ModelUnavailable: a path that is not there.
    """
    if vlm == BUILTIN:
        return {"model": vlm, "sha256": builtin_sha256(VLM)}
    if Path(vlm).is_dir():
        files = (path for path in Path(vlm).rglob("*") if path.is_file())
        return {"model": vlm, "fingerprint": fingerprint(files)}
    if vlm.startswith((".", "/", "~")):
        raise ModelUnavailable(f"there is no folder {vlm}. {OFFLINE_VLM}")
    return {"model": vlm}


def builtin_sha256(where: Path) -> str:
    """Return the sha256 (hex) that the weights of the built-in model in a folder must have."""
    return (where / "model.sha256").read_text(encoding="utf-8").split()[0]


def fingerprint(paths: Iterable[Path]) -> str:
    """Return a 128-bit hex digest over the files' names, sizes and (probed) contents."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(paths):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= 3 * PROBE:
                digest.update(file.read())
                continue
            for at in (0, size // 2, size - PROBE):
                file.seek(at)
                digest.update(file.read(PROBE))
    return digest.hexdigest()


def architectures() -> list[str]:
    """Return the names of open_clip's architectures, read from its config files without importing it."""
    found = find_spec("open_clip")
    folders = [] if found is None else found.submodule_search_locations or []
    return sorted(path.stem for folder in folders for path in Path(folder).glob("model_configs/*.json"))


def _known(arch: str, model: str) -> str:
    if arch.startswith((".", "/", "~")) or not arch:
        raise ModelUnavailable(f"there is no folder {model}. {OFFLINE_CHOICE}")
    names = architectures()
    if arch in names:
        return arch
    close = close_matches(arch, names)
    raise ModelUnavailable(
        f"open_clip has no architecture {arch!r}; the closest are {close}. {OFFLINE_CHOICE}"
    )


def close_matches(name: str, names: Iterable[str]) -> str:
    """Return the five names most like `name`, separated by commas."""
    lowered = {known.lower(): known for known in names}
    matches = difflib.get_close_matches(name.lower(), list(lowered), n=5, cutoff=0.0)
    return ", ".join(lowered[match] for match in matches)
