"""The reader of text in pictures (`--ocr`): PP-OCRv6 small, by RapidOCR, whose wheel carries the models.

Nothing is ever downloaded: RapidOCR is given the paths of both models, whose sums are checked before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.models.resolved import Resolved
from schemas.errors import ModelUnavailable

if TYPE_CHECKING:
    from PIL import Image

PACKAGES = ("onnxruntime", "opencv-python-headless", "pillow", "rapidocr")
INSTALL = "pip install 'curate[ocr]'"
# What finds lines of text, and what reads one. Apache-2.0, of PaddleOCR.
MODELS = {
    "det": ("PP-OCRv6_det_small.onnx", "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f"),
    "rec": ("PP-OCRv6_rec_small.onnx", "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884"),
}
# A line is read by itself, so that its text does not depend on the others, and is filled up to twice its
# height: on short words, as in charts, a third of the time that the usual 320 pixels and 6 lines take.
LINE = (3, 48, 96)
_loading = Lock()


@dataclass(frozen=True)
class Line:
    """A line of text in a picture."""

    text: str
    confidence: float  # [0, 1]
    corners: NDArray[np.float64]  # (4, 2) clockwise, shares of width and height


class TextReader:
    """Both models, loaded; one thread a call. Threads may share it: a call changes nothing in it."""

    def __init__(self, side: int, paths: dict[str, Path]) -> None:
        import cv2
        from rapidocr import RapidOCR

        cv2.setNumThreads(1)
        self.side = side
        self.engine = RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,  # of upright text it turns more lines wrongly than rightly
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "Det.model_path": str(paths["det"]),
                "Det.limit_type": "max",
                "Det.limit_side_len": side,
                "Rec.model_path": str(paths["rec"]),
                "Rec.rec_img_shape": list(LINE),
                "Rec.rec_batch_num": 1,
            }
        )

    def lines(self, image: Image.Image) -> list[Line]:
        """The lines of an RGB picture, from top to bottom; a larger one is shrunk to `side` first."""
        small = image.copy()
        small.thumbnail((self.side, self.side))
        found = self.engine(np.asarray(small)[:, :, ::-1])  # it takes blue first
        if not found.txts:
            return []
        corners = np.asarray(found.boxes, np.float64) / small.size
        rows = zip(found.txts, found.scores, np.clip(corners, 0, 1), strict=True)
        return [Line(text, float(score), box) for text, score, box in rows]


@dataclass(frozen=True)
class Ocr(Resolved):
    """The reader as a stage holds it, and the longer side in pixels that pictures are shrunk to."""

    side: int

    @property
    def key(self) -> dict[str, object]:
        return {**super().key, "side": self.side}

    def load(self) -> TextReader:
        """The reader, loaded at the first call in this process."""
        with _loading:
            return _load(self)


def resolve_ocr(side: int) -> Ocr:
    """The reader as stages hold it, decided once on the driver. Loads nothing.

    Raises:
        ModelUnavailable: a package is not installed, or carries other models.
    """
    return Ocr("rapidocr", "cpu", "float32", _identity(), _environment(), side)


@lru_cache(maxsize=2)
def _load(ocr: Ocr) -> TextReader:
    ocr.require(dict(_environment()))
    return TextReader(ocr.side, {task: _path(file) for task, (file, _) in MODELS.items()})


def _environment() -> tuple[tuple[str, str], ...]:
    try:
        return tuple((name, version(name)) for name in PACKAGES)
    except PackageNotFoundError as error:
        raise ModelUnavailable(f"--ocr needs the package {error.name}: {INSTALL}") from None


def _identity() -> tuple[tuple[str, str], ...]:
    """Sums of the models, as they are."""
    for file, known in MODELS.values():
        digest = hashlib.sha256(_path(file).read_bytes()).hexdigest()
        if digest != known:
            raise ModelUnavailable(
                f"{_path(file)} is not the model that curate knows (sha256 {digest}): "
                "pip install --force-reinstall rapidocr"
            )
    return tuple((task, known) for task, (_, known) in MODELS.items())


def _path(file: str) -> Path:
    spec = find_spec("rapidocr")
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (Path(folder) / "models" / file).is_file():
            return Path(folder) / "models" / file
    raise ModelUnavailable(f"--ocr reads with {file}, which the installed rapidocr does not carry: {INSTALL}")
