"""What a model stage depends on besides its input: model, device, dtype, versions. Imports no torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from clustering.processor import has_bf16_instructions
from curation.models.spec import vlm_identity
from schemas.errors import ConfigError

VLM_PACKAGES = ("torch", "transformers", "tokenizers", "pillow")


def resolve_vlm_environment(vlm: str, device: str = "auto") -> dict[str, str]:
    """Return `vlm_identity` with device ("cpu" or "cuda"), dtype and the packages' versions.

    Raises:
        ConfigError: as `environment`.
        ModelUnavailable: the model's name or path is wrong.
    """
    return {**vlm_identity(vlm), **environment(device, VLM_PACKAGES)}


def environment(device: str, packages: tuple[str, ...]) -> dict[str, str]:
    """Return the device that `device` (auto, cpu or cuda) stands for, its dtype, and versions of packages.

    Raises:
        ConfigError: the device is unknown, or cuda is asked for and no GPU is visible.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device is {device!r}: take auto, cpu or cuda")
    visible = device != "cpu" and has_gpu()
    if device == "cuda" and not visible:
        raise ConfigError(
            "device is cuda, but no GPU is visible: take --device cpu, or check CUDA_VISIBLE_DEVICES"
        )
    dtype = "bfloat16" if visible or has_bf16_instructions() else "float32"
    found = {"device": "cuda" if visible else "cpu", "dtype": dtype}
    return found | {name: version(name) for name in packages}


def has_gpu() -> bool:
    """Say whether an NVIDIA GPU is visible to this process, honouring CUDA_VISIBLE_DEVICES."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return True
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.stdout.startswith("GPU ")
