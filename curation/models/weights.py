"""Where a model's files are: cached, on the hub within a time limit, or an error that says what to do."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from curation.models.assembly import assembled
from curation.models.spec import (
    BUILTIN,
    OFFLINE_CHOICE,
    ModelSpec,
    builtin_sha256,
    close_matches,
    parse_spec,
)
from curation.models.tags import places
from schemas.errors import ModelUnavailable

PATIENCE = 4.0  # seconds until the hub counts as unreachable: a wrong name is refused within 5
CONFIG_NAME = "open_clip_config.json"
WEIGHT_NAMES = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors",
    "open_clip_pytorch_model.bin",
)  # fmt: skip


def demand(model: str) -> None:
    """Refuse a model that cannot be had, before anything heavy is imported. Downloads nothing.

    Raises:
        ModelUnavailable: no such weights, or they are neither cached nor reachable.
    """
    spec = parse_spec(model)
    if spec.form == "hub":
        demand_repository(spec.where, (CONFIG_NAME,))
    if spec.form != "tag" or not places():
        return
    tags = places().get(spec.arch, {})
    place = tags.get(spec.where.lower().replace("-", "_")) or tags.get(spec.where)
    if place is None:
        raise ModelUnavailable(_no_such_tag(spec, list(tags)))
    if place.hub:
        repository, _, name = place.hub.rpartition("/")
        demand_repository(repository, preferred(name))
    elif not downloaded(place.url).is_file():
        _within_patience(lambda: _head(place.url), f"{place.url}, not in {downloaded(place.url).parent}")


def _no_such_tag(spec: ModelSpec, tags: Sequence[str]) -> str:
    near = f"there are {close_matches(spec.where, tags)}" if tags else "nobody offers any"
    return f"{spec.arch} has no weights {spec.where!r}; {near}. {OFFLINE_CHOICE}"


def checkpoint(spec: ModelSpec) -> str:
    """Return the path of the weights of a `tag` or `file` spec, downloaded if need be.

    Raises:
        ModelUnavailable: neither cached nor reachable, or no such tag.
    """
    if spec.form == "file":
        return spec.where
    from open_clip.pretrained import (
        download_pretrained_from_url,
        get_pretrained_cfg,
        list_pretrained_tags_by_model,
    )

    config = get_pretrained_cfg(spec.arch, spec.where)
    if not config:
        raise ModelUnavailable(_no_such_tag(spec, list_pretrained_tags_by_model(spec.arch)))
    if config.get("hf_hub"):
        repository, _, name = config["hf_hub"].rpartition("/")
        return fetch(repository, preferred(name))
    url = config["url"]
    target = downloaded(url)
    if not target.is_file():
        _within_patience(lambda: _head(url), f"{url}, not in {target.parent}")
    return str(download_pretrained_from_url(url))


def downloaded(url: str) -> Path:
    """Return where open_clip keeps what it downloads from a URL."""
    return Path.home() / ".cache" / "clip" / url.rpartition("/")[2]


def preferred(name: str) -> tuple[str, ...]:
    """Return the weight files to look for, safetensors first."""
    if not name:
        return WEIGHT_NAMES
    return (f"{name.rpartition('.')[0]}.safetensors", name)


def folder(spec: ModelSpec) -> Path:
    """Return the folder (config, weights, tokenizer) of a `builtin`, `folder` or `hub` spec.

    Raises:
        ModelUnavailable: neither cached nor reachable; the builtin's weights do not match their checksum, or
            a package with its towers is missing; or the config asks for code from the model's repository.
    """
    if spec.form == "hub":
        found = Path(fetch(spec.where, (CONFIG_NAME,))).parent
        _refuse_code(found / CONFIG_NAME)
        fetch(spec.where, WEIGHT_NAMES)
        return found
    if spec.form == "builtin":
        verify_builtin(Path(spec.where))
        if spec.text == BUILTIN:
            return assembled(Path(spec.where))
    _refuse_code(Path(spec.where) / CONFIG_NAME)
    return Path(spec.where)


def verify_builtin(where: Path) -> None:
    """Check a built-in model's weights in `where` against the sha256 that stands beside them.

    Raises:
        ModelUnavailable: they are absent or differ.
    """
    path = where / "model.safetensors"
    if not path.is_file():
        raise ModelUnavailable(f"the builtin model's weights are missing at {path}: reinstall curate")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != builtin_sha256(where):
        raise ModelUnavailable(
            f"the builtin model's weights at {path} are damaged (sha256 {found}): reinstall curate"
        )


def _refuse_code(path: Path) -> None:
    if "trust_remote_code" in path.read_text(encoding="utf-8"):
        raise ModelUnavailable(
            f"{path} asks to run code from the model's repository, which curate never does"
        )


def require_text_parts(config: dict[str, Any]) -> None:
    """Fetch what the text tower takes from other repositories: tokenizer, language model config."""
    text = config["text_cfg"]
    for key, names in (
        ("hf_model_name", ("config.json",)),
        ("hf_tokenizer_name", ("tokenizer_config.json", "tokenizer.json")),
    ):
        if text.get(key):
            fetch(text[key], names)


def fetch(repository: str, names: Sequence[str]) -> str:
    """Return the local path of the first of `names` that the repository has: cached, else downloaded.

    Raises:
        ModelUnavailable: none is cached, and the hub does not answer in time or has none of them.
    """
    from huggingface_hub import hf_hub_download

    cached, name = demand_repository(repository, names)
    if cached is not None:
        return cached
    tried = _tried(repository)
    try:
        return str(hf_hub_download(repository, name))
    except OSError as error:
        raise ModelUnavailable(f"{tried}: the download failed ({_short(error)}). {OFFLINE_CHOICE}") from error


def demand_repository(
    repository: str, names: Sequence[str], choice: str = OFFLINE_CHOICE
) -> tuple[str | None, str]:
    """The path of the first of `names` that is cached, else None and that which the hub has.

    Raises:
        ModelUnavailable: none is cached, and the hub does not answer in time or has none of them.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    for name in names:
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return cached, name
    tried = _tried(repository)
    if constants.is_offline_mode():
        raise ModelUnavailable(f"{tried}, and HF_HUB_OFFLINE forbids a download. {choice}")
    return None, _within_patience(lambda: _on_hub(repository, names), tried, choice)


def _tried(repository: str) -> str:
    from huggingface_hub import constants

    return f"huggingface.co/{repository} is not in the cache {constants.HF_HUB_CACHE}"


def _on_hub(repository: str, names: Sequence[str]) -> str:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    for name in names:
        try:
            get_hf_file_metadata(hf_hub_url(repository, name), timeout=PATIENCE / 2)
        except EntryNotFoundError:
            continue
        return name
    raise FileNotFoundError(f"the repository has no {' or '.join(names)}")


def _head(url: str) -> str:
    from urllib.request import Request, urlopen

    with urlopen(Request(url, method="HEAD"), timeout=PATIENCE / 2):
        return url


def _within_patience(ask: Callable[[], str], tried: str, choice: str = OFFLINE_CHOICE) -> str:
    """Return what `ask` returns, or give up after PATIENCE seconds (a name server may hang for minutes)."""
    answers: list[str] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            answers.append(ask())
        except Exception as error:  # a network boundary: whatever the client raises means "not reachable"
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if answers:
        return answers[0]
    why = _short(failures[0]) if failures else f"no answer within {PATIENCE:.0f} s"
    raise ModelUnavailable(f"{tried}, and not reachable ({why}). {choice}")


def _short(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:160] if text else type(error).__name__


def preprocess_of_tag(spec: ModelSpec) -> dict[str, Any]:
    """Return the preprocessing (mean, std, resize mode) that open_clip lists for a tag, else nothing."""
    if spec.form != "tag":
        return {}
    from open_clip.pretrained import get_pretrained_cfg
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    return dict(merge_preprocess_dict(PreprocessCfg(), get_pretrained_cfg(spec.arch, spec.where)))


def config_of(name: str) -> dict[str, Any]:
    """Return open_clip's model config of an architecture or of a `local-dir:` folder."""
    if name.startswith("local-dir:"):
        path = Path(name.removeprefix("local-dir:")) / CONFIG_NAME
        return dict(json.loads(path.read_text(encoding="utf-8"))["model_cfg"])
    from open_clip import get_model_config

    return dict(get_model_config(name))
