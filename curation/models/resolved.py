"""A model as a stage holds it: what identifies it, how it runs, and the encoder itself once a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

from schemas.errors import EngineUnavailable

if TYPE_CHECKING:
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


@lru_cache(maxsize=2)
def _load(model: Model) -> Encoder:
    from curation.models.encoder import load_encoder

    _require_same(model)
    return load_encoder(model.spec, device=model.device, dtype=model.dtype)


def _require_same(model: Model) -> None:
    """Refuse to compute where the libraries or the processor are not those that stand in the shards' keys.

    Raises:
        EngineUnavailable: naming what differs here from what the driver decided.
    """
    from curation.models.environment import has_bf16_instructions, resolve_environment

    decided = dict(model.environment)
    here = resolve_environment(model.spec, model.device)
    differs = [f"{name} {here[name]}, not {value}" for name, value in decided.items() if here[name] != value]
    if model.dtype == "bfloat16" and model.device == "cpu" and not has_bf16_instructions():
        differs.append("a processor without bf16 instructions")
    if differs:
        raise EngineUnavailable(
            f"a worker has {'; '.join(differs)}; give every worker the environment of the driver"
        )
