"""A model as a stage holds it: what identifies it, how it runs, and the encoder itself once a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

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
            return _load(self.spec, self.device, self.dtype)


@lru_cache(maxsize=2)
def _load(spec: str, device: str, dtype: str) -> Encoder:
    from curation.models.encoder import load_encoder

    return load_encoder(spec, device=device, dtype=dtype)
