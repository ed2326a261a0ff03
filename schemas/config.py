"""curate.toml: every setting, its default and its meaning. What is unknown or wrong is refused by name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Protocol, get_args

from pydantic import BaseModel, Field, ValidationError

from schemas import settings
from schemas.errors import ConfigError
from schemas.settings import NAME, Section


class Config(Section):
    """The whole of curate.toml."""

    datasets: dict[Annotated[str, Field(pattern=NAME)], settings.Dataset] = Field(default_factory=dict)
    images: settings.Images = settings.Images()
    read: settings.Read = settings.Read()
    run: settings.Run = settings.Run()
    embed: settings.Embed = settings.Embed()
    vlm: settings.Vlm = settings.Vlm()
    gradient: settings.Gradient = settings.Gradient()
    score: settings.Score = settings.Score()
    capability: settings.Capability = settings.Capability()
    endpoint: settings.Endpoint = settings.Endpoint()
    cluster: settings.Cluster = settings.Cluster()
    prune: settings.Prune = settings.Prune()
    decontaminate: settings.Decontaminate = settings.Decontaminate()
    select: settings.Select = settings.Select()

    def override(self, values: Mapping[str, Any]) -> Config:
        """A copy with `{"embed.model": "builtin", ...}` set. None leaves a key as it is.

        Raises:
            ConfigError: a value is not allowed.
        """
        tree = self.model_dump()
        for dotted, value in values.items():
            section, key = dotted.split(".")
            if value is not None:
                tree[section][key] = value
        return parse(tree)


def parse(tree: Mapping[str, Any], text: str = "", where: str = "") -> Config:
    """A checked `Config` from a tree of plain values.

    Raises:
        ConfigError: naming each wrong key, its line in `text`, and what is allowed.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        problems: dict[str, list[str]] = {}
        for item in error.errors():
            place, message = _problem(item["loc"], item["msg"], item["type"], text)
            problems.setdefault(place, []).append(message)
        # Of a value that may be one of several kinds, what each kind says.
        said = [f"{place}: {', or '.join(dict.fromkeys(each))}" for place, each in problems.items()]
        raise ConfigError((f"{where}: " if where else "") + "; ".join(said)) from None


class Readable(Protocol):
    """A file, here or on an object store."""

    @property
    def name(self) -> str: ...

    def read_text(self, encoding: str) -> str: ...


def load(path: Readable) -> Config:
    """Read curate.toml.

    Raises:
        ConfigError: it is no TOML, or a key or value is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path.name} is not UTF-8; save it as UTF-8") from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name}: {error}") from None
    return parse(tree, text, path.name)


def _problem(location: tuple[int | str, ...], message: str, kind: str, text: str) -> tuple[str, str]:
    """The key, with its line, and what is wrong with it."""
    names = [
        str(part)
        for part in location
        if isinstance(part, str) and not part.startswith(("constrained", "literal"))
    ]
    names = [name for name in names if name not in {"int", "[key]"}]
    line = _line_of(names, text)
    at = f" (line {line})" if line else ""
    dotted = ".".join(names)
    if kind == "extra_forbidden":
        return f"unknown key {dotted}{at}; allowed here", ", ".join(_allowed(names[:-1]))
    message = message.removeprefix("Value error, ").partition(", unable to parse")[0]
    if kind == "string_pattern_mismatch":
        message = "a name has letters, digits, dots, dashes and underscores only"
    return f"{dotted}{at}", f"{message[0].lower()}{message[1:]}"


def _allowed(path: list[str]) -> list[str]:
    model: type[BaseModel] = Config
    for name in path:
        if name in model.model_fields:  # else a name that the user gave, such as a dataset's
            annotation = model.model_fields[name].annotation
            inner = [item for item in (annotation, *get_args(annotation)) if isinstance(item, type)]
            model = next((item for item in inner if issubclass(item, BaseModel)), model)
    return list(model.model_fields)


def _line_of(names: list[str], text: str) -> int | None:
    """The line of `section.key` in TOML text as people write it: a [section] line, then `key = …`."""
    if not names:
        return None
    section, key = ".".join(names[:-1]), names[-1]
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[([^\]]+)\]", line)
        if header:
            current = header.group(1).replace('"', "").strip()
            if current == ".".join(names):
                return number
        elif current == section and re.match(rf'\s*"?{re.escape(key)}"?\s*=', line):
            return number
    return None


def parse_bytes(text: str) -> int:
    """`3GB`, `500MB`, `1.5GiB` or a plain number of bytes. Decimal units are powers of 1000.

    Raises:
        ConfigError: it is none of these.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(i?)B?\s*", text, re.IGNORECASE)
    if not match:
        raise ConfigError(f"{text!r} is not a size: write 3GB, 500MB or 2GiB")
    number, unit, binary = match.groups()
    base = 1024 if binary else 1000
    return int(float(number) * base ** " KMGT".index(unit.upper() or " "))
