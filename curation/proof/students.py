"""Students: from what is seen of a question to a vector of its answer. Small, the same for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Student = Callable[[Floats, Floats, Floats, int], Floats]  # x, y, unseen x, seed -> answers to these

PENALTY = 3.0  # of the ridge, times the mean square of a feature; fixed on a split of its own
HIDDEN, BATCH, RATE = 256, 256, 2e-3
STEPS = 200


@dataclass(frozen=True)
class Pace:
    """How long a student learns: `steps` whatever it learns from, or as many as make `epochs` of its rows."""

    steps: int = STEPS
    epochs: float | None = None

    def of(self, n_rows: int, batch: int) -> int:
        """Steps of `batch` rows, at least one."""
        return self.steps if self.epochs is None else max(1, round(self.epochs * n_rows / batch))


def ridge(x: Floats, y: Floats, unseen: Floats, seed: int) -> Floats:
    """Linear, in closed form; the seed has no influence. Features are scaled by the rows it learns from."""
    mean, scale = x.mean(0), x.std(0) + 1e-6
    z = np.hstack([(x - mean) / scale, np.ones((len(x), 1), np.float32)]).astype(np.float64)
    gram = z.T @ z + PENALTY * len(x) / z.shape[1] * np.eye(z.shape[1])
    weights = np.linalg.solve(gram, z.T @ y)
    u = np.hstack([(unseen - mean) / scale, np.ones((len(unseen), 1), np.float32)])
    return (u @ weights).astype(np.float32)


def mlp(x: Floats, y: Floats, unseen: Floats, seed: int, pace: Pace = Pace()) -> Floats:
    """One hidden layer, `pace` steps of Adam towards the answers' directions, each on BATCH rows by chance.

    On one thread: its products are so small that threads would wait for each other most of the time.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _trained(x, y, unseen, seed, pace.of(len(x), BATCH))
    finally:
        torch.set_num_threads(threads)


def _trained(x: Floats, y: Floats, unseen: Floats, seed: int, steps: int) -> Floats:
    import torch

    generator = torch.Generator().manual_seed(seed)
    mean, scale = x.mean(0), x.std(0) + 1e-6
    seen, said = torch.from_numpy(((x - mean) / scale).astype(np.float32)), torch.from_numpy(y)
    sizes = (seen.shape[1], HIDDEN, said.shape[1])
    layers = [
        torch.empty(a, b).normal_(std=(2 / a) ** 0.5, generator=generator).requires_grad_()
        for a, b in pairwise(sizes)
    ]
    biases = [torch.zeros(b, requires_grad=True) for b in sizes[1:]]
    adam = torch.optim.Adam([*layers, *biases], lr=RATE)

    def answers(rows: torch.Tensor) -> torch.Tensor:
        return torch.relu(rows @ layers[0] + biases[0]) @ layers[1] + biases[1]

    for _ in range(steps):
        batch = torch.randint(len(seen), (BATCH,), generator=generator)
        loss = 1 - torch.cosine_similarity(answers(seen[batch]), said[batch]).mean()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    with torch.no_grad():
        out: Floats = answers(torch.from_numpy(((unseen - mean) / scale).astype(np.float32))).numpy()
    return out


SEEDLESS = frozenset({"ridge"})
STUDENTS: dict[str, Student] = {"ridge": ridge, "mlp": mlp}


def student_at(name: str, pace: Pace) -> Student:
    """The student that learns at a pace, where it takes steps."""
    return partial(mlp, pace=pace) if name == "mlp" else STUDENTS[name]
