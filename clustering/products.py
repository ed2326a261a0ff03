"""Products of blocks of unit rows, and how far from the cosines they lie at most. Arrays only.

A product only proposes pairs, and exact cosines decide (`clustering.vectors`), so it may be coarse as long as
its error is known. A processor with bfloat16 instructions multiplies several times as many numbers of that
kind in a second as float32 ones.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from clustering.processor import has_bf16_instructions
from clustering.vectors import margin

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

Precision = Literal["auto", "float32", "bfloat16"]

# Of fewer rows float32 products take no time, and what torch prepares for each shape of a block takes memory.
FEW = 4096
# A few groups of so many rows save the time that the import of torch takes, and large ones rarely come alone.
WORTH_AN_IMPORT = 16384
# How far a number can be moved when it is rounded to bfloat16's 8 bits, as a share of it.
ROUNDING = np.float32(2.0**-8)
CONVERTED_ROWS = 256
# Below every cosine, and what products are compared with.
LOWEST = np.float32(-2)


class Products(Protocol):
    """Products of the rows of some views, least over the views, as codes that are ordered as they are.

    Attributes:
        nothing: a code below that of every product.
    """

    nothing: ClassVar[float]

    def block(self, top: slice, left: slice) -> NDArray[Any]:
        """(p, q) codes of the products of two runs of rows."""
        ...

    def reaching(self, cosines: Floats) -> NDArray[Any]:
        """The least codes of pairs with at least these cosines."""
        ...

    def surely(self, codes: NDArray[Any]) -> Floats:
        """The least cosines of pairs with these codes."""
        ...


def products(views: Sequence[Floats], order: Ints, precision: Precision = "auto") -> Products:
    """Of the rows of `views`, each (n, d) unit rows or zeros, in an order.

    `auto` is bfloat16 where the processor has instructions for it and the rows are many.
    """
    if precision == "auto":
        least = FEW if "torch" in sys.modules else WORTH_AN_IMPORT
        precision = "bfloat16" if len(order) >= least and has_bf16_instructions() else "float32"
    return Coarse(views, order) if precision == "bfloat16" else Fine(views, order)


class Fine:
    """Products in float32; a code is the product."""

    nothing: ClassVar[float] = float(LOWEST - 1)

    def __init__(self, views: Sequence[Floats], order: Ints) -> None:
        self._views, self._order = views, order
        self._error = margin(max(view.shape[1] for view in views))

    def block(self, top: slice, left: slice) -> Floats:
        """See `Products`."""
        one, two = self._order[top], self._order[left]
        least: Floats = self._views[0][one] @ self._views[0][two].T
        for view in self._views[1:]:
            np.minimum(least, view[one] @ view[two].T, out=least)
        return least

    def reaching(self, cosines: Floats) -> Floats:
        """See `Products`."""
        return cosines - self._error

    def surely(self, codes: Floats) -> Floats:
        """See `Products`."""
        return codes - self._error


class Coarse:
    """Products in bfloat16, summed in float32; a code is a product's bits as int16, 0 where it is negative.

    With e the greatest distance of a row from its bfloat16 copy, the product of two copies lies within
    2 e + e^2 of that of the rows (Cauchy and Schwarz), and is rounded once.
    """

    nothing: ClassVar[float] = -1

    def __init__(self, views: Sequence[Floats], order: Ints) -> None:
        import torch

        self._copies = [torch.empty((len(order), view.shape[1]), dtype=torch.bfloat16) for view in views]
        farthest = 0.0
        for view, copy in zip(views, self._copies, strict=True):
            for start in range(0, len(order), CONVERTED_ROWS):
                rows = torch.from_numpy(view[order[start : start + CONVERTED_ROWS]])
                part = copy[start : start + CONVERTED_ROWS]
                part.copy_(rows)
                farthest = max(farthest, float((rows - part).square_().sum(dim=1).max().sqrt()))
        error = 2 * farthest + farthest**2 + margin(max(view.shape[1] for view in views))
        self._error = np.float32(error * 1.001)  # it is computed in float32 itself

    def block(self, top: slice, left: slice) -> NDArray[np.int16]:
        """See `Products`."""
        import torch

        least = None
        for copy in self._copies:
            codes = torch.mm(copy[top], copy[left].T).view(torch.int16).numpy()
            # Bits of positive numbers are ordered as the numbers are; those with a sign, -0 too, become 0.
            np.maximum(codes, 0, out=codes)
            least = codes if least is None else np.minimum(least, codes, out=least)
        assert least is not None
        return least

    def reaching(self, cosines: Floats) -> NDArray[np.int16]:
        """See `Products`. Rounding keeps the order, and cutting off bits rounds to less."""
        least = np.maximum(cosines - self._error, np.float32(0))
        codes: NDArray[np.int16] = (least.view(np.uint32) >> 16).astype(np.int16)
        return codes

    def surely(self, codes: NDArray[np.int16]) -> Floats:
        """See `Products`."""
        values = (np.maximum(codes, 0).astype(np.uint32) << 16).view(np.float32)
        least: Floats = np.where(codes > 0, values * (1 - ROUNDING) - self._error, LOWEST)
        return least
