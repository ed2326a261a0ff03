"""A model as a stage holds it: what identifies it, how it runs, and the encoder itself once a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

from clustering.processor import has_bf16_instructions
from curation.models.encoder import load_encoder
from curation.models.environment import resolve_environment, resolve_vlm_environment
from curation.models.vision_language import Blind, VisionLanguageModel
from curation.models.vlm import load_vlm
from schemas.errors import EngineUnavailable
from schemas.protocols import Encoder

_loading = Lock()


@dataclass(frozen=True)
class Model:
    """Small and picklable: weights never travel with it. `environment` is decided once, on the driver."""

    spec: str
    dim: int
    device: str
    dtype: str
    identity: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]

    @property
    def key(self) -> dict[str, object]:
        """What stands in the keys of the stages that use it."""
        return {
            "device": self.device,
            "dtype": self.dtype,
            "identity": dict(self.identity),
            "environment": dict(self.environment),
        }

    def encoder(self) -> Encoder:
        """The encoder, loaded at the first call in this process."""
        # The lock keeps two decode threads from loading the weights twice.
        with _loading:
            return _load(self)


@dataclass(frozen=True)
class Vlm:
    """A vision-language model as a stage holds it; small and picklable like `Model`."""

    spec: str
    device: str
    dtype: str
    blind: Blind
    most: int
    batch: int
    identity: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]

    @property
    def key(self) -> dict[str, object]:
        """What stands in the keys of the stages that use it."""
        return {
            "device": self.device,
            "dtype": self.dtype,
            "blind": self.blind,
            "most": self.most,
            "batch": self.batch,
            "identity": dict(self.identity),
            "environment": dict(self.environment),
        }

    def load(self) -> VisionLanguageModel:
        """The model, loaded at the first call in this process."""
        with _loading:
            return _load_vlm(self)


@lru_cache(maxsize=2)
def _load_vlm(vlm: Vlm) -> VisionLanguageModel:
    _require(dict(vlm.environment), resolve_vlm_environment(vlm.spec, vlm.device), vlm.dtype, vlm.device)
    model, processor = load_vlm(vlm.spec, vlm.device, vlm.dtype)
    return VisionLanguageModel(model, processor, blind=vlm.blind, most=vlm.most, batch=vlm.batch)


@lru_cache(maxsize=2)
def _load(model: Model) -> Encoder:
    here = resolve_environment(model.spec, model.device)
    _require(dict(model.environment), here, model.dtype, model.device)
    return load_encoder(model.spec, device=model.device, dtype=model.dtype)


def _require(decided: dict[str, str], here: dict[str, str], dtype: str, device: str) -> None:
    """Refuse to compute where the libraries or the processor are not those that stand in the shards' keys.

    Raises:
        EngineUnavailable: naming what differs here from what the driver decided.
    """
    differs = [f"{name} {here[name]}, not {value}" for name, value in decided.items() if here[name] != value]
    if dtype == "bfloat16" and device == "cpu" and not has_bf16_instructions():
        differs.append("a processor without bf16 instructions")
    if differs:
        raise EngineUnavailable(
            f"a worker has {'; '.join(differs)}; give every worker the environment of the driver"
        )
