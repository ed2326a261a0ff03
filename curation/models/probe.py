"""A trained scorer of capabilities as a folder (safetensors + JSON), and the samples that it is fitted to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from curation.models.spec import BUILTIN, SHIPPED, TINY
from curation.storage.files import Location, put
from schemas.errors import ConfigError, ModelUnavailable
from schemas.tables import key_of
from scorers.probe import OUTPUTS, Weights, names

FOLDER = "probe"  # in `.curate`: where `curate train-scorer` leaves what the backend `probe` takes
PROBES = {BUILTIN: SHIPPED / "capability", TINY: SHIPPED / "capability_tiny"}
"""The scorers that ship, by the built-in CLIP that each belongs to."""
WEIGHTS, DESCRIPTION = "probe.safetensors", "probe.json"
FORMAT = 1


@dataclass(frozen=True)
class StoredProbe:
    """A trained scorer: the text of its JSON and the bytes of its weights. Small, so it travels whole."""

    description: str
    data: bytes

    @property
    def facts(self) -> dict[str, Any]:
        """Its JSON."""
        found: dict[str, Any] = json.loads(self.description)
        return found

    @property
    def identity(self) -> str:
        """What stands in the keys of the shards that it scores: what scores follow from, not its figures."""
        facts = self.facts
        return key_of([FORMAT, facts["sha256"], facts["features"]])

    @property
    def weights(self) -> Weights:
        return _weights(self.data)

    def require(self, encoder: Mapping[str, str]) -> None:
        """Check that vectors of `encoder` are what it was trained on.

        Raises:
            ConfigError: they are not; the message names both.
        """
        trained: dict[str, str] = self.facts["encoder"]
        if trained != dict(encoder):
            raise ConfigError(
                f"the scorer was trained on vectors of {_spelled(trained)}, and these are of "
                f"{_spelled(encoder)}; train one for them with `curate train-scorer`, or take that --model"
            )


@lru_cache(maxsize=4)
def _weights(data: bytes) -> Weights:
    from safetensors.numpy import load

    tensors = load(data)
    return Weights(*(tensors[name] for name in ("centre", "scale", "weight", "bias")))


def _spelled(encoder: Mapping[str, str]) -> str:
    marks = [f"{name} {value[:12]}" for name, value in encoder.items() if name != "model"]
    return f"{encoder['model']} ({', '.join(marks)})" if marks else encoder["model"]


def read_probe(folder: Location) -> StoredProbe | None:
    """The scorer in a folder; None where there is none.

    Raises:
        ModelUnavailable: its files do not belong together, or are of another version of curate.
    """
    try:
        text = (folder / DESCRIPTION).read_text(encoding="utf-8")
        data = (folder / WEIGHTS).read_bytes()
    except FileNotFoundError:
        return None
    probe = StoredProbe(text, data)
    facts = probe.facts
    if hashlib.sha256(data).hexdigest() != facts.get("sha256"):
        raise ModelUnavailable(
            f"{folder / WEIGHTS} is not the file that {DESCRIPTION} describes; train it anew"
        )
    same = facts["format"] == FORMAT and tuple(facts["outputs"]) == OUTPUTS
    if not same or tuple(facts["features"]) != names(facts["dim"]):
        raise ModelUnavailable(
            f"the scorer in {folder} was trained by another version of curate, whose features were others; "
            "train it anew with `curate train-scorer`"
        )
    return probe


def write_probe(
    folder: Location, weights: Weights, encoder: Mapping[str, str], dim: int, about: Mapping[str, Any]
) -> StoredProbe:
    """Write a scorer. `about` is what else its JSON says: labels, figures.

    The JSON is written last: a folder that has both is whole, or its checksum tells.
    """
    from safetensors.numpy import save

    data = save(
        {
            "centre": weights.centre,
            "scale": weights.scale,
            "weight": np.ascontiguousarray(weights.weight),
            "bias": weights.bias,
        }
    )
    facts = {
        "format": FORMAT,
        "sha256": hashlib.sha256(data).hexdigest(),
        "encoder": dict(encoder),
        "dim": dim,
        **about,
        "outputs": list(OUTPUTS),
        "features": list(names(dim)),
    }
    text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
    put(folder / WEIGHTS, data)
    put(folder / DESCRIPTION, text.encode())
    return StoredProbe(text, data)
