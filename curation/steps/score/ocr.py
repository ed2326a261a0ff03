"""`image_text`: the text of each distinct image, read once (`--ocr`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.models.ocr import Line, Ocr
from curation.steps.ingest.images import Decoded, DistinctImages
from schemas.columns import ERROR, ERROR_MESSAGE, SHA256
from schemas.errors import STAGE_FAILED
from scorers.hygiene import count_words

EDGES = ("left", "top", "right", "bottom")  # shares of width and height
LINE = pa.struct([("text", pa.string()), ("confidence", pa.float32()), *((e, pa.float32()) for e in EDGES)])
IMAGE_TEXT = pa.schema(
    [
        SHA256,
        pa.field("lines", pa.list_(LINE)),  # from top to bottom; empty without text, null where none was read
        pa.field("n_words", pa.int32()),
        pa.field("text_share", pa.float32()),  # of the area that lines take up, [0, 1]
        ERROR,
        ERROR_MESSAGE,
    ]
)


@dataclass(frozen=True)
class ReadImages:
    """`image_text`: lines with boxes and confidences, or why an image could not be read."""

    source: DistinctImages
    reader: Ocr

    name: ClassVar[str] = "image_text"
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = IMAGE_TEXT

    def params(self) -> dict[str, Any]:
        return {"reader": self.reader.key, "max_pixels": self.source.max_pixels}

    def prepare(self, piece: Decoded) -> dict[str, Any]:
        """A row. It is read here, a picture in each of the engine's threads."""
        if piece.image is None:
            assert piece.error is not None
            return _unread(piece, piece.error.code, str(piece.error))
        reader = self.reader.load()
        try:
            lines = reader.lines(piece.image)
        except Exception as error:
            # The boundary of one image, here as well: stages that share the decoded image are not to fail.
            return _unread(piece, STAGE_FAILED, f"the reader failed: {type(error).__name__}: {error}")
        return {
            "sha256": piece.sha256,
            "lines": [_row(line) for line in lines],
            "n_words": sum(count_words(line.text) for line in lines),
            "text_share": min(1.0, sum(_area(line.corners) for line in lines)),
        }

    def finish(self, rows: pa.RecordBatch, prepared: Sequence[dict[str, Any]]) -> pa.RecordBatch:
        self.reader.load()  # raises where a worker lacks it, which of a single image would only be noted
        return pa.RecordBatch.from_pylist(list(prepared), schema=IMAGE_TEXT)


def _unread(piece: Decoded, code: str, message: str) -> dict[str, Any]:
    return {"sha256": piece.sha256, "error": code, "error_message": message}


def _row(line: Line) -> dict[str, Any]:
    box = (*line.corners.min(axis=0).tolist(), *line.corners.max(axis=0).tolist())
    return {"text": line.text, "confidence": line.confidence, **dict(zip(EDGES, box, strict=True))}


def _area(corners: NDArray[np.float64]) -> float:
    """The area inside (n, 2) corners in order, by the shoelace formula."""
    x, y = corners.T
    return float(abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2)
