"""A model as a stage holds it: what identifies it, how it runs, and the model itself once a process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

from clustering.processor import has_bf16_instructions
from curation.models.encoders import kind_of, resolve_environment
from curation.models.environment import resolve_vlm_environment
from curation.models.vision_language import Blind, VisionLanguageModel
from curation.models.vlm import load_vlm
from schemas.errors import EngineUnavailable
from schemas.protocols import Encoder

# It keeps two decode threads from loading the weights twice.
_loading = Lock()


@dataclass(frozen=True)
class Resolved:
    """Small and picklable: weights never travel with it. `environment` is decided once, on the driver."""

    spec: str
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

    def require(self, here: Mapping[str, str]) -> None:
        """Refuse to compute where libraries or processor are not those that stand in the shards' keys.

        Raises:
            EngineUnavailable: naming what differs `here` from what the driver decided.
        """
        decided = dict(self.environment).items()
        differs = [f"{name} {here[name]}, not {value}" for name, value in decided if here[name] != value]
        if self.dtype == "bfloat16" and self.device == "cpu" and not has_bf16_instructions():
            differs.append("a processor without bf16 instructions")
        if differs:
            raise EngineUnavailable(
                f"a worker has {'; '.join(differs)}; give every worker the environment of the driver"
            )


@dataclass(frozen=True)
class Model(Resolved):
    """An encoder, and how many numbers its vectors have."""

    dim: int

    def encoder(self) -> Encoder:
        """The encoder, loaded at the first call in this process."""
        with _loading:
            return _load(self)


@dataclass(frozen=True)
class Vlm(Resolved):
    """A vision-language model: what stands for no image, tokens of a prompt at most, prompts a pass."""

    blind: Blind
    most: int
    batch: int

    @property
    def key(self) -> dict[str, object]:
        return {**super().key, "blind": self.blind, "most": self.most, "batch": self.batch}

    def load(self) -> VisionLanguageModel:
        """The model, loaded at the first call in this process."""
        with _loading:
            return _load_vlm(self)


@lru_cache(maxsize=2)
def _load(model: Model) -> Encoder:
    model.require(resolve_environment(model.spec, model.device))
    return kind_of(model.spec).load(model.spec, device=model.device, dtype=model.dtype)


@lru_cache(maxsize=2)
def _load_vlm(vlm: Vlm) -> VisionLanguageModel:
    vlm.require(resolve_vlm_environment(vlm.spec, vlm.device))
    model, processor = load_vlm(vlm.spec, vlm.device, vlm.dtype)
    return VisionLanguageModel(model, processor, blind=vlm.blind, most=vlm.most, batch=vlm.batch)
