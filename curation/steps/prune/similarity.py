"""What two samples are compared by: `prune.key`. Which of them may be compared, and as which rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.steps.cluster.source import ClusterVectors
from curation.storage.rows import vectors

# Each key: whether images and texts are compared.
KEYS: dict[str, tuple[bool, bool]] = {
    "joint": (True, True),
    "image": (True, False),
    "text": (False, True),
    "vectors": (False, False),
}
# The column of `checked` that equal samples share, by what equal images share: their file or their pixels.
WHOLE = {"bytes": "content_hash", "pixels": "shown_hash"}
IDENTITY: dict[str, dict[str, str]] = {
    "joint": WHOLE,
    "image": {"bytes": "images_hash", "pixels": "pixels_hash"},
    "text": {"bytes": "text_hash", "pixels": "text_hash"},
    "vectors": WHOLE,
}


@dataclass(frozen=True)
class Likeness:
    """How similar two samples are, by `key`.

    joint: the lesser of the cosines of their images and of their texts (DESIGN §3). image, text: of one of
    them, so all questions on one image are alike. vectors: of what was clustered (`--vectors`). Samples with
    several images are compared image by image, in order. Two images are equal by their `exact`.
    """

    key: str
    clustered: ClusterVectors
    exact: str = "pixels"

    @property
    def table(self) -> str:
        """Where the vectors are."""
        return self.clustered.table if self.key == "vectors" else "vectors"

    @property
    def identity(self) -> str:
        """The column of `checked` that equal samples share; null where there is nothing to compare."""
        return IDENTITY[self.key][self.exact]

    def by_angle(self, n_images: NDArray[np.int32]) -> NDArray[np.bool_]:
        """(n,) Whether samples are never more similar to others than the rows that were clustered.

        Joint rows are: a weighted mean of two cosines is no less than the lesser one. But those of several
        images hold a mean of them, and two such means may lie farther apart than any two of the images.
        """
        if self.key == "joint" and self.clustered.table == "vectors":
            return n_images <= 1
        return np.full(len(n_images), self.key == "vectors")

    def params(self) -> dict[str, Any]:
        """What stands in the keys of stages."""
        return {"key": self.key, "table": self.table}

    def groups(self, members: pa.Table) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The kinds of samples, and the positions of each: only samples of one kind may be compared.

        They have equally many images, and all a text or none. `members` has the columns of `table`, and
        `n_images`.
        """
        image, text = KEYS[self.key]
        kind = np.zeros(len(members), np.int64)
        if image:
            kind += 2 * members["n_images"].to_numpy()
        if text:
            kind += members["text"].is_valid().to_numpy()
        for value in np.unique(kind):
            if value or not (image or text):
                yield int(value), np.flatnonzero(kind == value)

    def views(self, members: pa.Table) -> list[NDArray[np.float32]]:
        """One (n, d) array an image, in order, and one for the text; of samples of one group."""
        image, text = KEYS[self.key]
        if not (image or text):
            return [self.clustered.rows(members)]
        n_images = members["n_images"][0].as_py() if image else 0
        found = []
        if n_images == 1:
            found.append(vectors(members["image"]))
        elif n_images > 1:
            flat = vectors(members["images"].combine_chunks().flatten())
            stacked = flat.reshape(len(members), n_images, -1)
            found.extend(np.ascontiguousarray(stacked[:, place]) for place in range(n_images))
        if text and members["text"][0].is_valid:
            found.append(vectors(members["text"]))
        return found
