"""curate.toml: every setting, its default and its meaning. What is unknown or wrong is refused by name."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

# What TOML or Python give as a number, where a text such as 30% is meant; and one text where a list is.
Number = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) in (int, float) else value)]
Texts = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class Section(BaseModel):
    """A part of curate.toml. Frozen; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Dataset(Section):
    """One dataset of the pool. Its name stands in every uid, so it is fixed once."""

    path: str
    format: str = "auto"
    images: Texts = ()  # folders that the records' image paths are relative to; default: beside the data


class Images(Section):
    """What is refused of the images that records name."""

    follow_links: bool = False
    allow_remote: bool = False
    max_pixels: Annotated[int, Field(ge=1)] = 100_000_000


class Run(Section):
    """How a run behaves. Only `seed`, `shard_rows` and `device` change a result."""

    engine: Literal["local", "spark"] = "local"
    master: str | None = None  # of Spark; None: what spark-submit or spark-defaults say
    spark_conf: dict[str, str] = {}
    partitions: Annotated[int, Field(ge=1)] | None = None  # Spark partitions a stage; None: one a shard
    seed: int = 0
    shard_rows: Annotated[int, Field(ge=16, le=65536)] = 1024
    memory: str = "3GB"
    workers: Annotated[int, Field(ge=1)] = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    max_errors: str = "50%"


class Embed(Section):
    """The encoder. `batch` is part of the result: it decides the shape of every forward pass."""

    model: str = "ViT-B-32/laion2b_s34b_b79k"
    batch: Annotated[int, Field(ge=1, le=4096)] = 32
    phrases: bool = False  # also ground noun phrases in regions: six crops an image


class Vlm(Section):
    """The vision-language model that scores answers; without one these scores are not computed."""

    model: str | None = None
    blind: Literal["drop", "zero", "noise", "other"] = "drop"  # what stands for "without the image"
    batch: Annotated[int, Field(ge=1, le=1024)] = 8  # prompts a forward pass; part of the result
    max_tokens: Annotated[int, Field(ge=16)] = 2048  # of a prompt; what is longer is cut at its end
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.8  # of the TaiLr weight
    dominance: bool = False  # also the modality dominance index: slower, with eager attention


class Head(Section):
    """A linear head on stored embeddings: a safetensors file with `weight` (k, d) or (d,), and `bias`."""

    path: str
    on: Literal["image", "text"] = "image"
    columns: tuple[Annotated[str, Field(pattern=NAME)], ...] = ()  # one an output; default: the head's name


class Score(Section):
    """What is scored besides alignment, hygiene and synthetic quality."""

    heads: dict[Annotated[str, Field(pattern=NAME)], Head] = {}
    plugins: tuple[str, ...] = ()  # scorers of other packages: names of entry points `curation.scorers`


class Capability(Section):
    """Who scores the 14 capabilities and 9 styles (`curation.steps.score.capability.BACKENDS`); none: nobody."""

    backend: Literal["none", "builtin", "probe", "endpoint"] = "builtin"
    probe: str | None = None  # folder of the scorer that `probe` takes; None: what train-scorer left here


class Endpoint(Section):
    """An OpenAI-compatible chat endpoint that sees images. Its key is no setting: see `key_file`."""

    url: str | None = None  # None: OPENAI_BASE_URL
    model: str | None = None  # None: OPENAI_MODEL
    key_file: str | None = None  # a file that holds the key; None: OPENAI_API_KEY
    mode: Literal["joint", "each"] = "joint"  # one request a sample, or a short one a capability
    judge: bool = False  # also ask for relevance, plausibility, clarity and diversity
    side: Annotated[int, Field(ge=16, le=4096)] = 512  # px; the longer side of what is sent of an image
    structured: Literal["auto", "schema", "object", "none"] = "auto"  # how answers are held to JSON
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16  # requests under way at once, of all local workers
    rate: Annotated[float, Field(gt=0)] | None = None  # requests a second at most
    timeout: Annotated[float, Field(gt=0)] = 120.0  # seconds that one attempt may take
    attempts: Annotated[int, Field(ge=1, le=100)] = 10  # at a request that fails for a while


class Gradient(Section):
    """Gradient vectors: what a sample's answers would change in the vision-language model."""

    layers: str = "last-block"  # or lora, or a regular expression over names of linear layers
    dims: Annotated[int, Field(ge=16, le=65536)] = 8192
    checkpoints: tuple[str, ...] = ()  # PATH[:LEARNING_RATE], models or adapters; () is the model alone


class Cluster(Section):
    """Spherical k-means over a vector a sample."""

    vectors: str = "embedding"  # or gradient, or file:PATH (docs/clusters.md)
    k: Literal["auto", "root"] | Annotated[int, Field(ge=1)] = "root"  # root: of half the samples
    iterations: Annotated[int, Field(ge=1)] = 20
    points: Annotated[int, Field(ge=1)] = 256  # samples a centroid that it is fitted on
    max_size: Annotated[int, Field(ge=2)] = 32_768  # samples; larger clusters are split
    image_weight: Annotated[float, Field(ge=0, le=1)] = 0.5  # of embeddings: of the image against the text


def _keep_rule(text: str) -> str:
    if text not in ("first", "hard", "easy", "random") and not re.fullmatch("best:.+", text):
        raise ValueError(f"{text!r} is no rule; there are first, best:COLUMN, hard, easy and random")
    return text


class Prune(Section):
    """Which samples another makes superfluous. Exact copies always go (docs/prune.md)."""

    key: Literal["joint", "image", "text", "vectors"] = "joint"  # what two samples are compared by
    exact: Literal["bytes", "pixels"] = "pixels"  # what two images share if they are equal
    semantic: bool = True  # also samples whose cosine is at least 1 - eps
    eps: Annotated[float, Field(ge=0, le=0.5)] = 0.08
    text_eps: Annotated[float, Field(ge=0, le=0.5)] = 0.01  # by key joint: texts must be as near as this, too
    linkage: Literal["leader", "chain", "component"] = "leader"
    keep: Annotated[str, AfterValidator(_keep_rule)] = "first"  # which of duplicates stays
    to: Number | None = None  # how many samples stay, as 80% or a number, whatever eps says
    perceptual: Literal["off"] | Annotated[int, Field(ge=0, le=128)] = 12  # bits that hashes may differ by
    hash_bits: Literal[64, 256] = 64
    flip: bool = False  # also mirrored images, by their hashes
    min_similarity: Annotated[float, Field(gt=0, le=1)] = 0.9  # of the neighbours that are remembered
    neighbours: Annotated[int, Field(ge=1)] = 64  # of a sample that are remembered
    probes: Literal["auto"] | Annotated[int, Field(ge=0, le=16)] = (
        "auto"  # other clusters a sample is compared in
    )
    recall: Annotated[float, Field(gt=0, le=1)] = 0.99  # of near pairs, which `auto` probes reach


class Decontaminate(Section):
    """Benchmarks that must not leak into a subset, and what counts as a leak (docs/decontaminate.md)."""

    against: Texts = ()  # [NAME=]DATA each: what a dataset can be, such as a folder of images
    images: Texts = ()  # folders that their image paths are relative to; default: beside the data
    tag: bool = False  # leaks stay candidates; else none of them is selected
    levels: tuple[Literal["image", "perceptual", "embedding", "text"], ...] = (
        "image",
        "perceptual",
        "embedding",
        "text",
    )
    bits: Annotated[int, Field(ge=0, le=16)] = 8  # of 64, by which hashes of images may differ
    cosine: Annotated[float, Field(gt=0, le=1)] = 0.998  # of image embeddings, from which on it is a leak
    ngram: Annotated[int, Field(ge=8, le=64)] = 13  # words
    overlap: Annotated[float, Field(gt=0, le=1)] = 0.5  # share of a benchmark text's n-grams


class Select(Section):
    """How many to keep, and which."""

    budget: Number | None = None
    strategy: str = "adapt"
    where: Texts = ()  # conditions over columns, as SQL
    default_filters: bool = True  # leave out empty answers, black images and their like
    at_least: Texts = ()  # COLUMN:VALUE=N or %: picks that must be of a kind
    at_most: Texts = ()  # COLUMN:VALUE=N or %: picks that may be of a kind
    must_keep: str | None = None  # a file of ids that must be kept, a line each
    must_drop: str | None = None  # a file of ids to leave out, a line each
    target: str | None = None  # a dataset of the pool that `less` aims at; it is no candidate


class Config(Section):
    """The whole of curate.toml."""

    datasets: dict[Annotated[str, Field(pattern=NAME)], Dataset] = {}
    images: Images = Images()
    run: Run = Run()
    embed: Embed = Embed()
    vlm: Vlm = Vlm()
    gradient: Gradient = Gradient()
    score: Score = Score()
    capability: Capability = Capability()
    endpoint: Endpoint = Endpoint()
    cluster: Cluster = Cluster()
    prune: Prune = Prune()
    decontaminate: Decontaminate = Decontaminate()
    select: Select = Select()

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
