"""Unit vectors: how rows are normalised, joined and compared. Arrays only: no models, no files.

Two ways to compute a cosine live here. A float32 matrix product is fast, and its last bits depend on the
shape of the blocks, on the number of threads and on the processor. So it only proposes; what it proposes
within `margin` of a decision is computed again by `cosines`, which is exact: unit rows rounded to multiples
of 2^-25 have products that are multiples of 2^-50 and sums below 2, which float64 holds without rounding,
whatever the order of the additions. Decisions are therefore the same bits everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GRID = 2.0**25
# Rows gathered at once by `cosines`: two float64 copies of 256 x 1,024 stay in the cache.
GATHERED_ROWS = 256
# A pair costs about as much to gather as 64 pairs cost inside a matrix product.
DENSE_SHARE = 64
# How far a squared length may be from 1: closer than the first, a row is taken as it is; closer than the
# second, it is normalised again.
AS_IS = 1e-5
NEARLY_UNIT = 1e-2


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale rows to length 1: (n, d) of any float -> (n, d) float32. A zero row stays zero.

    Raises:
        ValueError: a row holds NaN or infinity.
    """
    wide = rows.astype(np.float64)
    peak = np.abs(wide).max(axis=1, initial=0.0, keepdims=True)
    if not np.isfinite(peak).all():
        bad = int(np.flatnonzero(~np.isfinite(peak[:, 0]))[0])
        raise ValueError(f"row {bad} holds NaN or infinity and cannot be normalised")
    # Dividing by the peak first keeps the squares of tiny and huge rows inside float64.
    wide /= np.where(peak > 0, peak, 1.0)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    wide /= np.where(norms > 0, norms, 1.0)
    return wide.astype(np.float32)


def joint(
    image: NDArray[np.float32] | None,
    text: NDArray[np.float32] | None,
    *,
    has_image: NDArray[np.bool_] | None = None,
    has_text: NDArray[np.bool_] | None = None,
    image_weight: float = 0.5,
) -> NDArray[np.float32]:
    """Image and text side by side, weighted: (n, d) and (n, d) -> (n, 2d) float32 unit rows.

    Where both are present, the inner product of two rows is
    `image_weight * cos(images) + (1 - image_weight) * cos(texts)`. An absent modality is zeros and the
    other one carries the whole row; a row with neither is zero. For clustering only: whether two samples
    are duplicates is decided modality by modality (`neighbours.near_pairs`).

    Args:
        image: (n, d), or None where no row has an image; then it counts as (n, d) zeros.
        text: (n, d), or None where no row has a text.
        has_image: (n,) False where the row of `image` is to be ignored, whatever it holds.
        has_text: (n,) the same for `text`.
        image_weight: in [0, 1].

    Raises:
        ValueError: the weight is outside [0, 1], both sides are None, or they differ in their rows.
    """
    if not 0.0 <= image_weight <= 1.0:
        raise ValueError(f"image_weight is {image_weight}; it must lie in [0, 1]")
    given = image if image is not None else text
    if given is None:
        raise ValueError("joint vectors need images, texts or both; both are None")
    left = _present(image, has_image, given) * np.float32(np.sqrt(image_weight))
    right = _present(text, has_text, given) * np.float32(np.sqrt(1.0 - image_weight))
    if len(left) != len(right):
        raise ValueError(f"{len(left)} image rows and {len(right)} text rows; they must be the same samples")
    return unit(np.concatenate([left, right], axis=1))


def cosines(
    left: NDArray[np.float32], right: NDArray[np.float32], i: NDArray[np.int64], j: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Cosines of the pairs left[i], right[j]: unit rows (p, d), (q, d), and (m,), (m,) -> (m,) float64.

    The rows are rounded to multiples of 2^-25 first (the cosine moves by less than sqrt(d) * 2^-25); from
    there the products are exact, and so the bits depend on nothing but the two rows. Equal rows have cosine
    1.0, whatever rounding did to their lengths; a zero row has cosine 0.0 with every row.
    """
    if len(i) * DENSE_SHARE > len(left) * len(right):
        down, across = _on_grid(left), _on_grid(right)
        return _over_lengths((down @ across.T)[i, j], _squares(down)[i], _squares(across)[j])
    out = np.empty(len(i), np.float64)
    for start in range(0, len(i), GATHERED_ROWS):
        part = slice(start, start + GATHERED_ROWS)
        down, across = _on_grid(left[i[part]]), _on_grid(right[j[part]])
        products = np.einsum("ij,ij->i", down, across)
        out[part] = _over_lengths(products, _squares(down), _squares(across))
    return out


def margin(d: int) -> np.float32:
    """How far a float32 cosine of unit rows of `d` numbers can lie from the exact one, at most.

    The bound of a dot product in any order is d * 2^-24 * sum |a b| (Higham, Accuracy and Stability of
    Numerical Algorithms, 3.1), and sum |a b| <= 1; doubled, with slack for the grid and for lengths that
    are 1 only up to rounding.
    """
    return np.float32((2 * d + 512) * 2.0**-24)


def checked(rows: NDArray[np.floating], name: str) -> NDArray[np.float32]:
    """`rows` as contiguous float32, after a check that each has length 1 or 0.

    A row that is unit only to half precision is normalised again.

    Raises:
        ValueError: not two-dimensional, or a row's squared length is neither 0 nor 1 (within 1 %).
    """
    if rows.ndim != 2:
        raise ValueError(f"{name} has shape {rows.shape}; it must be (n, d)")
    out = np.ascontiguousarray(rows, dtype=np.float32)
    squares = np.einsum("ij,ij->i", out, out, dtype=np.float64)
    away = np.where(squares == 0.0, 0.0, np.abs(squares - 1.0))
    bad = ~(away <= NEARLY_UNIT)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"row {row} of {name} has squared length {squares[row]}; it must be a unit row or zero"
        )
    rough = away > AS_IS
    if rough.any():
        out = out.copy()
        out[rough] = unit(out[rough])
    return out


def _on_grid(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    wide *= GRID
    np.rint(wide, out=wide)
    wide /= GRID
    return wide


def _squares(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", rows, rows)
    return squares


def _over_lengths(
    products: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Products over the lengths, given squared. For equal rows sqrt(x * x) is x, exactly."""
    lengths = np.sqrt(left * right)
    return products / np.where(lengths > 0, lengths, 1.0)


def _present(
    rows: NDArray[np.float32] | None, mask: NDArray[np.bool_] | None, like: NDArray[np.float32]
) -> NDArray[np.float32]:
    if rows is None:
        return np.zeros(like.shape, np.float32)
    kept = rows if mask is None else np.where(mask[:, None], rows, np.float32(0))
    return unit(kept)
