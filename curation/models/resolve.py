"""Decide once, on the driver, how a model runs. Kept in the workspace, so that torch stays out of reruns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation.models.encoder import OpenClip
from curation.models.encoders import bf16_cosine, kind_of, resolve_environment
from curation.models.environment import resolve_vlm_environment
from curation.models.resolved import Model, Vlm
from curation.models.spec import vlm_identity
from curation.models.weights import demand
from curation.storage.files import Location, put
from schemas.errors import ConfigError, ModelUnavailable
from schemas.protocols import Progress
from schemas.settings import Vlm as VlmSection
from schemas.tables import key_of

# bf16 weights are used where the smallest cosine to fp32 reaches this (DESIGN §7).
AGREES = 0.999


def resolve_model(spec: str, device: str, root: Location, progress: Progress) -> Model:
    """The model as stages hold it. The first call for a model and environment loads it, later ones a file.

    Raises:
        ModelUnavailable: the weights are neither cached nor reachable.
    """
    environment = resolve_environment(spec, device)
    identity = kind_of(spec).identity(spec)
    key = key_of([spec, identity, environment])
    path = root / "models" / f"{key}.json"
    try:
        measured: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        if isinstance(kind_of(spec), OpenClip):
            demand(spec)
        progress.note(f"loading {spec}")
        measured = _measure(spec, environment)
        put(path, (json.dumps(measured, sort_keys=True) + "\n").encode())
    facts = _facts(spec, {**environment, "dtype": measured["dtype"]}, identity)
    return Model(**facts, dim=measured["dim"])


def _facts(spec: str, environment: dict[str, str], identity: dict[str, str]) -> dict[str, Any]:
    """The fields of `Resolved`."""
    runs = {name: environment[name] for name in ("device", "dtype")}
    rest = sorted(item for item in environment.items() if item[0] not in runs)
    return {"spec": spec, **runs, "identity": tuple(sorted(identity.items())), "environment": tuple(rest)}


def resolve_vlm(settings: VlmSection, device: str) -> Vlm:
    """The vision-language model as stages hold it. Loads nothing.

    Raises:
        ConfigError: no model is named.
        ModelUnavailable: the model's path is wrong.
    """
    if settings.model is None:
        raise ConfigError("name a vision-language model: --vlm builtin, a folder, or ORG/NAME of the hub")
    environment = resolve_vlm_environment(settings.model, device)
    facts = _facts(settings.model, environment, vlm_identity(settings.model))
    return Vlm(**facts, blind=settings.blind, most=settings.max_tokens, batch=settings.batch)


def resolve_checkpoints(
    settings: VlmSection, checkpoints: Sequence[str], device: str
) -> list[tuple[Vlm, float]]:
    """The model at each `PATH[:LEARNING_RATE]` with its weight, or alone with weight 1.

    Raises:
        ConfigError: a learning rate is no positive number; otherwise as `resolve_vlm`.
        ModelUnavailable: there is nothing at a path.
    """
    if not checkpoints:
        return [(resolve_vlm(settings, device), 1.0)]
    found = []
    for checkpoint in checkpoints:
        path, colon, rate = checkpoint.rpartition(":")
        try:
            weight = float(rate) if colon else 1.0
        except ValueError:
            path, colon, weight = checkpoint, "", 1.0
        if not weight > 0:
            raise ConfigError(f"{checkpoint!r}: the learning rate must be above 0")
        named = path if colon else checkpoint
        if not Path(named).is_dir():
            raise ModelUnavailable(f"there is no folder {named} to read a checkpoint from")
        found.append((resolve_vlm(settings.model_copy(update={"model": named}), device), weight))
    return found


def _measure(spec: str, environment: dict[str, str]) -> dict[str, Any]:
    dtype, cosine = environment["dtype"], None
    if dtype == "bfloat16":
        cosine = bf16_cosine(spec)
        dtype = "bfloat16" if cosine >= AGREES else "float32"
    encoder = kind_of(spec).load(spec, device=environment["device"], dtype=dtype)
    return {"dim": encoder.dim, "dtype": dtype, "bf16_cosine": cosine}
