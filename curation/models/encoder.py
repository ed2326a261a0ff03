"""The one wrapper around open_clip: uint8 pixels and token ids in, unit float32 vectors out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.models import weights
from curation.models.convolutions import AT_ONCE, quickened
from curation.models.spec import BUILTIN, OFFLINE_CHOICE, ModelSpec, model_identity, parse_spec
from curation.models.tokens import Tokens
from curation.models.weights import config_of, preprocess_of_tag
from schemas.errors import ModelUnavailable

if TYPE_CHECKING:
    from PIL.Image import Image

PRECISIONS = {"float32": "fp32", "bfloat16": "bf16"}
RANDOM_SEED = 0  # of the weights of ARCH/random


@dataclass(eq=False)
class OpenClipEncoder:
    """An open_clip model as `schemas.protocols.Encoder`. Vectors are rows of unit length, float32."""

    name: str  # the spec it was loaded from
    dim: int  # of the vectors
    context_length: int  # tokens, special ones included
    image_size: tuple[int, int]  # height, width in px
    device: str
    dtype: str  # of the weights: float32 or bfloat16
    model: Any
    tokens: Tokens
    resize: Callable[[Image], Image]  # PIL part of open_clip's own preprocessing
    mean: tuple[float, ...]  # of the channels, in units of [0, 1]
    std: tuple[float, ...]
    at_once: int | None = None  # pictures a pass through the tower; None: as many as are given

    def preprocess(self, image: Image) -> NDArray[np.uint8]:
        """Return (3, H, W) uint8: resized and cropped by open_clip's own transforms. Thread-safe."""
        return np.ascontiguousarray(np.asarray(self.resize(image), dtype=np.uint8).transpose(2, 0, 1))

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, d) unit vectors of (n, 3, H, W) uint8 pixels. Not for several threads at once."""
        import torch

        step = self.at_once or max(1, len(pixels))
        with torch.inference_mode():
            parts = [
                self._encoded(torch.from_numpy(some))
                for some in np.split(pixels, range(step, len(pixels), step))
            ]
        return np.concatenate(parts)

    def _encoded(self, pixels: Any) -> NDArray[np.float32]:
        return self._unit(self.model.encode_image(self._normalised(pixels.to(self.device))))

    def count_tokens(self, text: str) -> int:
        """Return the tokens of `text` with the special ones, not truncated."""
        return self.tokens.count(text)

    def split(self, text: str) -> list[str]:
        """Return pieces of `text` that each fit the context; every word is kept, blank text has no piece."""
        return self.tokens.split(text)

    def tokenize(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return (n, context_length) token ids, truncated where a text was not `split`. Thread-safe."""
        return self.tokens.encode(texts)

    def used_lengths(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return (n,) how many leading tokens of each row its vector follows from: up to the end token.

        In a causal text tower what stands behind the end token changes nothing, in one that masks padding no
        padding does; in any other, and where it cannot be told, it is the whole context.
        """
        padding = self._padding()
        if padding is not None:
            places = np.arange(1, tokens.shape[1] + 1)
            ends: NDArray[np.int64] = np.where(tokens != padding, places, 1).max(axis=1)
            return ends
        text = self._causal_text()
        if text is None:
            return np.full(len(tokens), tokens.shape[1], np.int64)
        last = text.eos_id if text.pool_type == "eos" else tokens.max(axis=1, keepdims=True)
        at_end: NDArray[np.bool_] = tokens == last
        used: NDArray[np.int64] = np.where(at_end.any(axis=1), at_end.argmax(axis=1) + 1, tokens.shape[1])
        return used

    def _padding(self) -> int | None:
        """Return the id of padding where the text tower is transformers', which open_clip masks it in."""
        from open_clip.hf_model import HFTextEncoder

        text = getattr(self.model, "text", None)
        return text.config.pad_token_id if isinstance(text, HFTextEncoder) else None

    def _causal_text(self) -> Any:
        """Return the text tower if a text's vector is that of its end token, which sees no later one."""
        from open_clip.transformer import TextTransformer

        text = getattr(self.model, "text", None)
        if not isinstance(text, TextTransformer) or text.attn_mask is None:
            return None
        masked = text.cls_emb is not None or text.use_pad_mask
        return text if text.pool_type in ("eos", "argmax") and not masked else None

    def encode_texts(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (n, d) unit vectors of (n, length) token ids. Not for several threads at once.

        `length` is the context length, or less where `used_lengths` allows it.
        """
        import torch

        batch = torch.from_numpy(np.ascontiguousarray(tokens)).to(self.device)
        with torch.inference_mode():
            if tokens.shape[1] == self.context_length or self._padding() is not None:
                return self._unit(self.model.encode_text(batch))
            # open_clip does not cut its causal mask to a shorter text.
            text, mask = self.model.text, self.model.text.attn_mask
            text.attn_mask = mask[: tokens.shape[1], : tokens.shape[1]]
            try:
                return self._unit(self.model.encode_text(batch))
            finally:
                text.attn_mask = mask

    def _normalised(self, pixels: Any) -> Any:
        """Return what ToTensor and Normalize make of uint8 pixels, in the dtype of the weights."""
        import torch

        mean = torch.tensor(self.mean, dtype=torch.float32, device=pixels.device).view(-1, 1, 1)
        std = torch.tensor(self.std, dtype=torch.float32, device=pixels.device).view(-1, 1, 1)
        x = pixels.to(torch.float32).div_(255).sub_(mean).div_(std)
        return x.to(torch.bfloat16) if self.dtype == "bfloat16" else x

    def _unit(self, features: Any) -> NDArray[np.float32]:
        import torch

        found: NDArray[np.float32] = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
        return found


def load_encoder(model: str, *, device: str, dtype: str) -> OpenClipEncoder:
    """Load a model for inference.

    `model` is `builtin`, `builtin:tiny`, `ARCH/PRETRAINED`, `ARCH/random`, `hf-hub:ORG/NAME`, `ARCH@PATH`
    or a folder in open_clip's hub layout. `device` is a torch device, `dtype` that of the weights: float32 or
    bfloat16.

    Raises:
        ModelUnavailable: unknown, damaged, or neither cached nor reachable (known within 20 seconds).
        ValueError: another dtype.
    """
    if dtype not in PRECISIONS:
        raise ValueError(f"dtype is {dtype!r}: take one of {', '.join(PRECISIONS)}")
    # Before torch is imported. OpenMP's idle threads spin by default, on cores that decode threads need:
    # asleep they make the embed stage 1.3 times as fast alone, and 10 times beside other busy processes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    spec = parse_spec(model)
    name, weights = _located(spec)
    try:
        return _assembled(spec, name, weights, device, dtype)
    except Exception as error:
        if _is_bug(error):
            raise
        raise ModelUnavailable(
            f"{model}: the weights cannot be loaded ({_reason(error)}). {OFFLINE_CHOICE}"
        ) from error


def _is_bug(error: Exception) -> bool:
    """Say whether an error while loading is ours rather than the files'."""
    from safetensors import SafetensorError

    files = (RuntimeError, KeyError, ValueError, OSError, EOFError, UnpicklingError, SafetensorError)
    return not isinstance(error, files)


def _reason(error: Exception) -> str:
    if isinstance(error, UnpicklingError):  # torch's own message advises to load it unsafely
        return "the file holds more than tensors, or is no checkpoint"
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _located(spec: ModelSpec) -> tuple[str, str | None]:
    """Return open_clip's name of the model and the path of its weights, all files being on disk."""
    if spec.form in ("builtin", "hub", "folder"):
        where = weights.folder(spec)
        if spec.form == "hub":
            weights.require_text_parts(weights.config_of(f"local-dir:{where}"))
        return f"local-dir:{where}", None
    weights.require_text_parts(weights.config_of(spec.arch))
    return spec.arch, None if spec.form == "random" else weights.checkpoint(spec)


def _assembled(spec: ModelSpec, name: str, weights: str | None, device: str, dtype: str) -> OpenClipEncoder:
    import open_clip
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        model = open_clip.create_model(
            name,
            pretrained=weights,
            precision=PRECISIONS[dtype],
            device=device,
            force_preprocess_cfg=preprocess_of_tag(spec),
            pretrained_text=False,
            force_custom_text=True,
            require_pretrained=spec.form != "random",
            weights_only=True,
        ).eval()
    at_once = None
    if spec.text == BUILTIN:
        quickened(model.visual)
        at_once = AT_ONCE if device == "cpu" else None
    tokenizer = open_clip.get_tokenizer(f"hf-hub:{spec.where}" if spec.form == "hub" else name)
    resize, mean, std = _preprocessing(model)
    height, width = open_clip.utils.to_2tuple(model.visual.image_size)
    dim = int(config_of(name)["embed_dim"])
    tokens = Tokens(tokenizer, int(tokenizer.context_length))
    length, extent = tokens.context_length, (int(height), int(width))
    return OpenClipEncoder(
        spec.text, dim, length, extent, device, dtype, model, tokens, resize, mean, std, at_once
    )


def _preprocessing(model: Any) -> tuple[Callable[[Image], Image], tuple[float, ...], tuple[float, ...]]:
    """Return open_clip's validation transforms up to the RGB picture, and the normalisation that follows."""
    from open_clip.transform import MaybeToTensor, PreprocessCfg, image_transform_v2
    from torchvision.transforms import Compose, Normalize

    steps = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False).transforms
    if not (isinstance(steps[-2], MaybeToTensor) and isinstance(steps[-1], Normalize)):
        raise TypeError(f"open_clip's transforms do not end with tensor and normalisation: {steps}")
    return Compose(steps[:-2]), tuple(steps[-1].mean), tuple(steps[-1].std)


@dataclass(frozen=True)
class OpenClip:
    """What `--model` names of open_clip: see `load_encoder`."""

    packages: ClassVar[tuple[str, ...]] = ("torch", "open_clip_torch", "transformers", "pillow")

    def identity(self, model: str) -> dict[str, str]:
        return model_identity(model)

    def load(self, model: str, *, device: str, dtype: str) -> OpenClipEncoder:
        return load_encoder(model, device=device, dtype=dtype)
