"""Vision-language models: the built-in one, a local folder or the hub, through transformers' Auto classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curation.models.spec import BUILTIN, VLM
from curation.models.weights import demand_repository, verify_builtin
from schemas.errors import ModelUnavailable

TOO_LONG = "sequence-length-is-longer-than-the-specified-maximum"
ADAPTER = "adapter_config.json"
VLM_CHOICE = "`--vlm builtin` needs no download."


def load_vlm(name: str, device: str = "cpu", dtype: str = "float32") -> tuple[Any, Any]:
    """Return (model in eval mode, processor).

    Args:
        name: `builtin`, a folder in transformers' layout or of an adapter of peft, or ORG/NAME on the hub
            (`hf-hub:` may stand before it). Weights must be safetensors, and no code of the model's is run.
        device: where the model goes, as torch names it.
        dtype: of the weights as they run: float32, bfloat16 or float16.

    Raises:
        ModelUnavailable: not found, not reachable, not of an architecture that transformers knows as image-
            text-to-text, or the built-in weights do not match their checksum.
    """
    import torch
    import transformers

    auto: Any = transformers  # some of its functions have no types
    where = _where(name)
    auto.utils.logging.disable_progress_bar()  # a run has its own
    adapter = Path(where) / ADAPTER
    if adapter.is_file():
        return _adapted(adapter, device, dtype)
    try:
        processor = auto.AutoProcessor.from_pretrained(where, trust_remote_code=False)
        model = auto.AutoModelForImageTextToText.from_pretrained(
            where, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelUnavailable(
            f"the vision-language model {name!r} did not load: {why}. {VLM_CHOICE}"
        ) from error
    # It would warn of prompts over the tokenizer's maximum, which are cut to --max-tokens afterwards.
    processor.tokenizer.deprecation_warnings[TOO_LONG] = True
    return model.to(device=device, dtype=getattr(torch, dtype)).eval(), processor


def _adapted(config: Path, device: str, dtype: str) -> tuple[Any, Any]:
    """The base model that an adapter of `peft` names, with the adapter's layers in it."""
    from peft import PeftModel

    base = json.loads(config.read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not base:
        raise ModelUnavailable(f"{config} names no base model (base_model_name_or_path)")
    model, processor = load_vlm(base, device, dtype)
    return PeftModel.from_pretrained(model, str(config.parent)).get_base_model().eval(), processor


def demand_vlm(name: str) -> None:
    """Refuse a model of the hub that cannot be had, before anything is computed. Downloads nothing.

    Raises:
        ModelUnavailable: it is neither cached nor reachable.
    """
    if name != BUILTIN and not Path(name).is_dir():
        demand_repository(_where(name), ("config.json", ADAPTER), VLM_CHOICE)


def _where(name: str) -> str:
    if name == BUILTIN:
        verify_builtin(VLM)
        return str(VLM)
    if name.startswith("hf-hub:"):
        return name.removeprefix("hf-hub:")
    if not Path(name).is_dir() and (name.count("/") != 1 or name.startswith((".", "/", "~"))):
        raise ModelUnavailable(
            f"{name!r} is neither builtin, nor a folder, nor ORG/NAME on the hub. {VLM_CHOICE}"
        )
    return name
