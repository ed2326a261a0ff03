"""Sketches of long vectors: fewer dimensions, the same dot products on average.

A count sketch (Charikar et al. 2002) gives each coordinate a random sign and a random place among D, and
what shares a place is added up: <Sx, Sy> is <x, y> on average, with the variance of a dense Rademacher
projection to as many dimensions (Weinberger et al. 2009), at the cost of one addition a coordinate, not D.

Places are drawn for D coordinates together: a run of D coordinates is turned by one random shift. Coordinates
of one run then never share a place, those of two runs do with probability 1/D as before, and adding up is a
few additions of whole arrays.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class CountSketch:
    """A map from `n` coordinates to `dims`, drawn from a name and a seed: the same on every machine.

    Args:
        name: what is sketched, such as a layer; others have maps of their own.
        n: coordinates.
        dims: D.
        seed: of the whole run.
    """

    name: str
    n: int
    dims: int
    seed: int

    def draw(self) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
        """Signs (n,) and shifts, one a run of `dims` coordinates, in [0, dims)."""
        digest = hashlib.blake2b(f"{self.name}\0{self.seed}".encode(), digest_size=16).digest()
        rng = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
        bits = np.unpackbits(np.frombuffer(rng.bytes((self.n + 7) // 8), np.uint8), count=self.n)
        runs = -(-self.n // self.dims)
        return bits.astype(np.int8) * 2 - 1, rng.integers(0, self.dims, runs)


class Sketcher:
    """A count sketch on a device.

    Args:
        drawn: the map.
        device: as torch names it.
    """

    def __init__(self, drawn: CountSketch, device: torch.device | str = "cpu") -> None:
        import torch

        signs, shifts = drawn.draw()
        self.dims = drawn.dims
        self.shifts: list[int] = shifts.tolist()
        self.signs = torch.from_numpy(signs).to(device)

    def add(self, rows: torch.Tensor, out: torch.Tensor) -> None:
        """Add the sketches of `rows` (b, n) float32, which are overwritten, to `out` (b, dims) float32."""
        n, dims = rows.shape[1], self.dims
        rows.mul_(self.signs)
        for run, shift in enumerate(self.shifts):
            start, end = run * dims, min(n, (run + 1) * dims)
            straight = min(end, start + dims - shift)  # up to here a place is the coordinate's plus the shift
            out[:, shift : shift + straight - start] += rows[:, start:straight]
            if straight < end:
                out[:, : end - straight] += rows[:, straight:end]
