"""The sections of curate.toml: every setting, its default, its limits, and the flag that sets it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

# What TOML or Python give as a number, where a text such as 30% is meant; and one text where a list is.
Number = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) in (int, float) else value)]
Texts = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


def setting(default: object, flag: str, help: str, **limits: Any) -> Any:
    """A setting with the flag that sets it, such as `--eps E`, and what `--help` says of that."""
    return Field(default, description=help, json_schema_extra={"flag": flag}, **limits)


class Section(BaseModel):
    """A part of curate.toml. Frozen; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Dataset(Section):
    """One dataset of the pool. Its name stands in every uid, so it is fixed once."""

    path: str
    format: str = "auto"
    images: Texts = ()  # folders that the records' image paths are relative to; default: beside the data
    image_key: str | None = None  # what the image is called: a column, a key in JSON, or members of a tar
    text_key: str | None = None  # what the caption is called


class Images(Section):
    """What is refused of the images that records name."""

    follow_links: bool = setting(False, "--follow-links", "Follow links that leave an image folder.")
    allow_remote: bool = setting(False, "--allow-remote", "Fetch images that are URLs.")
    max_pixels: int = setting(100_000_000, "--max-pixels N", "Refuse larger images undecoded.", ge=1)


class Read(Section):
    """What is repaired of records that trainers crash on. Whatever is repaired is counted, and marked."""

    image_token: Literal["strict", "insert"] = setting(
        "strict", "--image-token", "Insert <image> before the first question of records without."
    )
    roles: Literal["strict", "merge", "drop"] = setting(
        "strict", "--roles", "Merge neighbouring turns of one role, or drop turns that do not alternate."
    )
    spelling: Literal["any", "exact"] = setting(
        "any", "--spelling", "Look for missing images by other spellings of their paths too, or not."
    )


class Run(Section):
    """How a run behaves. Only `seed`, `shard_rows` and `device` change a result."""

    engine: str = setting("local", "--engine [local|spark]", "What runs the stages.")
    # None: what spark-submit or spark-defaults say.
    master: str | None = setting(None, "--master URL", "Spark's master, such as local[2] or spark://…")
    spark_conf: dict[str, str] = setting({}, "--spark-conf KEY=VALUE", "A setting of Spark; repeats.")
    partitions: int | None = setting(
        None, "--partitions N", "Spark partitions a stage; one a shard by default.", ge=1
    )
    memory: str = setting("3GB", "--memory SIZE", "Memory to stay inside, such as 3GB (all processes).")
    workers: int = setting(1, "--workers N", "Processes to compute with.", ge=1)
    max_errors: str = setting("50%", "--max-errors N|%", "Stop when more records than this are bad.")
    seed: int = setting(0, "--seed N", "Seed of whatever is drawn at random.")
    shard_rows: int = setting(
        1024, "--shard-rows N", "Records a shard: the unit of resuming.", ge=16, le=65536
    )
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "--device", "Where the model runs.")


class Embed(Section):
    """The encoder. `batch` is part of the result: it decides the shape of every forward pass."""

    model: str = setting(
        "ViT-B-32/laion2b_s34b_b79k",
        "--model MODEL",
        "builtin, builtin:tiny, ARCH/PRETRAINED of open_clip, hf-hub:ORG/NAME, or a local checkpoint.",
    )
    batch: int = setting(32, "--batch N", "Images or texts a forward pass.", ge=1, le=4096)
    # Six crops an image.
    phrases: bool = setting(False, "--phrases", "Also ground noun phrases in regions of the images.")


class Vlm(Section):
    """The vision-language model that scores answers; without one these scores are not computed."""

    model: str | None = setting(None, "--vlm MODEL", "builtin, or an image-text-to-text checkpoint.")
    blind: Literal["drop", "zero", "noise", "other"] = setting(
        "drop",
        "--blind",
        "What stands for no image: no image tokens, zero pixels, noise, another sample's image.",
    )
    batch: int = setting(8, "--vlm-batch N", "Prompts a forward pass.", ge=1, le=1024)  # part of the result
    max_tokens: int = setting(2048, "--max-tokens N", "Cut longer prompts at their end.", ge=16)
    gamma: float = setting(0.8, "--gamma G", "Of the TaiLr weight, 0 to 1.", gt=0, le=1)
    # With eager attention.
    dominance: bool = setting(False, "--dominance", "Also the modality dominance index, which is slow.")


class Gradient(Section):
    """Gradient vectors: what a sample's answers would change in the vision-language model."""

    layers: str = setting(
        "last-block",
        "--gradient-layers REGEX",
        "Linear layers whose gradients are taken: last-block, lora, or names.",
    )
    dims: int = setting(8192, "--dims D", "Dimensions of a gradient vector.", ge=16, le=65536)
    checkpoints: tuple[str, ...] = setting(
        (), "--checkpoint PATH[:LR]", "A state of the model, or an adapter, with its learning rate; repeats."
    )


class Head(Section):
    """A linear head on stored embeddings: a safetensors file with `weight` (k, d) or (d,), and `bias`."""

    path: str
    on: Literal["image", "text"] = "image"
    columns: tuple[Annotated[str, Field(pattern=NAME)], ...] = ()  # one an output; default: the head's name


class Score(Section):
    """What is scored besides alignment, hygiene and synthetic quality."""

    heads: dict[Annotated[str, Field(pattern=NAME)], Head] = setting(
        {},
        "--head NAME[@text]=FILE",
        "A linear head on image (or text) embeddings, as safetensors; writes column NAME. Repeats.",
    )
    plugins: tuple[str, ...] = setting(
        (), "--scorer NAME", "A scorer of another package (docs/plugin-example); repeats."
    )
    ocr: bool = setting(
        False, "--ocr", "Also read the text in the images, and how much of what is said stands there."
    )
    # As slow as the area; text of 8 pixels is hardly read.
    ocr_side: int = setting(
        960, "--ocr-side PX", "Longer side that images are shrunk to before they are read.", ge=64, le=4096
    )


class Capability(Section):
    """Who scores the 14 capabilities and 9 styles (`curation.steps.score.capability.BACKENDS`)."""

    backend: Literal["none", "builtin", "probe", "endpoint"] = setting(
        "builtin", "--capability", "What scores capabilities and styles."
    )
    probe: str | None = setting(None, "--probe DIR", "The trained scorer; else what train-scorer left.")


class Endpoint(Section):
    """An OpenAI-compatible chat endpoint that sees images. Its key is no setting: see `key_file`."""

    judge: bool = setting(
        False, "--judge", "Also ask the endpoint for relevance, plausibility, clarity and diversity."
    )
    url: str | None = setting(
        None, "--endpoint-url URL", "An OpenAI-compatible chat endpoint, with its /v1; else OPENAI_BASE_URL."
    )
    model: str | None = setting(None, "--endpoint-model NAME", "The model to ask; else OPENAI_MODEL.")
    key_file: str | None = setting(
        None,
        "--api-key-file FILE",
        "File that holds the key; else OPENAI_API_KEY. The key itself is never stored.",
    )
    mode: Literal["joint", "each"] = setting(
        "joint", "--endpoint-mode", "One request a sample, or a short one a capability."
    )
    structured: Literal["auto", "schema", "object", "none"] = setting(
        "auto", "--structured", "How answers are held to JSON; auto asks the endpoint what it can do."
    )
    side: int = setting(512, "--image-side PX", "Longer side of images sent.", ge=16, le=4096)
    # Of all local workers together.
    concurrency: int = setting(16, "--concurrency N", "Requests under way at once.", ge=1, le=1024)
    rate: float | None = setting(None, "--max-rate N", "Requests a second at most.", gt=0)
    timeout: float = setting(120.0, "--timeout SECONDS", "For one attempt.", gt=0)
    attempts: int = setting(10, "--attempts N", "At a request that fails.", ge=1, le=100)


class Cluster(Section):
    """Spherical k-means over a vector a sample (docs/clusters.md)."""

    vectors: str = setting(
        "embedding",
        "--vectors NAME",
        "What is clustered: embedding, gradient or activation (of --vlm), or file:PATH (npy, Parquet).",
    )
    k: Literal["auto", "root"] | Annotated[int, Field(ge=1)] = setting(
        "root",
        "--clusters N|root|auto",
        "Number of skill clusters; root of half the samples, or the knee of the curve (auto).",
    )
    iterations: int = setting(20, "--iterations N", "Rounds of k-means.", ge=1)
    points: int = setting(256, "--points N", "Samples a centroid that it is fitted on.", ge=1)
    max_size: int = setting(32_768, "--max-cluster-size N", "Larger clusters are split.", ge=2)
    image_weight: float = setting(
        0.5, "--image-weight SHARE", "Weight of the image against the text, 0 to 1.", ge=0, le=1
    )


def _keep_rule(text: str) -> str:
    if text not in ("first", "hard", "easy", "random") and not re.fullmatch("best:.+", text):
        raise ValueError(f"{text!r} is no rule; there are first, best:COLUMN, hard, easy and random")
    return text


class Prune(Section):
    """Which samples another makes superfluous. Exact copies always go (docs/prune.md)."""

    key: Literal["joint", "image", "text", "vectors"] = setting(
        "joint",
        "--key KEY",
        "What samples are compared by: joint (of image and text), image, text or vectors.",
    )
    semantic: bool = setting(True, "--semantic", "Look for near-duplicates by cosine.")
    eps: Literal["auto"] | Annotated[float, Field(ge=0, le=0.5)] = setting(
        "auto",
        "--eps E|auto",
        "Samples with a cosine of at least 1 - E are looked at again; auto: as measured in each group of "
        "clusters, on copies of its own images.",
    )
    exact: Literal["bytes", "pixels"] = setting(
        "pixels",
        "--exact bytes|pixels",
        "What two equal images share: their file, or their pixels in whatever file (always goes).",
    )
    text_eps: float = setting(
        0.01,
        "--text-eps E",
        "Texts of near-duplicates that are not equal have a cosine of at least 1 - E, and no other number, "
        "name or negation.",
        ge=0,
        le=0.5,
    )
    redundant: Literal["off"] | Annotated[float, Field(ge=0, le=0.5)] = setting(
        "off",
        "--redundant E|off",
        "Leave out as well what is no copy but has a cosine of at least 1 - E (SemDeDup).",
    )
    linkage: Literal["leader", "chain", "component"] = setting(
        "leader",
        "--linkage HOW",
        "leader (none that stay are near each other), chain (SemDeDup) or component.",
    )
    keep: Annotated[str, AfterValidator(_keep_rule)] = setting(
        "first",
        "--keep RULE",
        "Of duplicates: first in the pool, best:COLUMN, hard or easy (far from or near to the cluster's "
        "centre), or random.",
    )
    # As 80% or a number, whatever eps says.
    to: Number | None = setting(None, "--prune-to N|%", "Keep exactly so many, the least similar ones.")
    perceptual: Literal["auto", "off"] | Annotated[int, Field(ge=0, le=128)] = setting(
        "auto",
        "--perceptual BITS|auto|off",
        "Also look at samples whose images have perceptual hashes that differ in at most so many bits; auto: "
        "16 of 64 where texts must be equal, else 8.",
    )
    hash_bits: Literal[64, 256] = setting(64, "--hash-bits 64|256", "The width of these hashes.")
    flip: bool = setting(False, "--flip", "Also mirrored images, by these hashes.")
    min_similarity: float = setting(
        0.9,
        "--min-similarity COSINE",
        "Neighbours below it are not remembered; --eps can be changed down to it in seconds.",
        gt=0,
        le=1,
    )
    neighbours: int = setting(64, "--neighbours N", "Neighbours of a sample to remember.", ge=1)
    probes: Literal["auto"] | Annotated[int, Field(ge=0, le=16)] = setting(
        "auto",
        "--probes N|auto",
        "Further clusters that a sample is compared in; auto: until --recall is reached.",
    )
    recall: float = setting(0.99, "--recall SHARE", "Of near pairs to find, measured.", gt=0, le=1)


class Decontaminate(Section):
    """Benchmarks that must not leak into a subset, and what counts as a leak (docs/decontaminate.md)."""

    against: Texts = setting(
        (),
        "--against [NAME=]DATA",
        "A benchmark that must not leak: a dataset as for init, or a folder of images; repeats.",
    )
    images: Texts = setting((), "--against-images DIR", "Where the benchmarks' image paths start; repeats.")
    tag: bool = setting(False, "--tag", "Only say what leaks; select leaves it in.")
    levels: tuple[Literal["image", "perceptual", "embedding", "text"], ...] = setting(
        ("image", "perceptual", "embedding", "text"),
        "--leak-level",
        "What counts as a leak: equal bytes, hashes, embeddings of images, n-grams; repeats.",
    )
    bits: int = setting(
        8, "--leak-bits BITS", "Perceptual hashes of 64 bits may differ in so many.", ge=0, le=16
    )
    cosine: float = setting(
        0.998, "--leak-cosine C", "From this cosine on images are the same by their embeddings.", gt=0, le=1
    )
    ngram: int = setting(13, "--ngram N", "Words of an n-gram.", ge=8, le=64)
    overlap: float = setting(
        0.5, "--overlap SHARE", "Share of a benchmark text's n-grams that makes a leak.", gt=0, le=1
    )


STRATEGY = "balanced"  # where none is named


class Select(Section):
    """How many to keep, and which."""

    budget: Number | None = setting(
        None,
        "--budget BUDGET",
        "How much to keep: 30%, 0.3, 200000 (samples), 50Mtok (tokens), 2GB (bytes of images) or "
        "COLUMN=N (its sum). Several, as in 10%,30%, give nested subsets.",
    )
    strategy: str = setting(
        STRATEGY,
        "--strategy NAME[:ARG]",
        "How to choose: balanced, random, top:COLUMN, adapt, … (docs/selection.md).",
    )
    mix: str | None = setting(
        None,
        "--mix MIX",
        "How much of each source (or COLUMN:, capability:, style:): sqrt, proportional, uniform, power=P, "
        "a=0.3,b=0.7 or @FILE.",
    )
    where: Texts = setting(
        (), "--where SQL", "A condition over columns, such as 'n_tokens < 4096 and alignment > 0'; repeats."
    )
    default_filters: bool = setting(
        True, "--default-filters", "Leave out empty answers, black images and their like."
    )
    min_auc: float = setting(
        0.8,
        "--min-auc AUC",
        "alignment leaves samples out only in groups where it tells true pairs from mismatched ones with at "
        "least this area under the ROC curve (lower end of its 95 % interval).",
        ge=0.5,
        le=1,
    )
    max_loss: float = setting(
        0.01, "--max-loss SHARE", "Of the right pairs of such a group, that it may leave out.", ge=0, le=0.5
    )
    at_least: Texts = setting(
        (),
        "--at-least COL:VALUE=N|%",
        "Picks that must be of a kind, such as source:ocr=2000; VALUE * is each; repeats.",
    )
    at_most: Texts = setting(
        (), "--at-most COL:VALUE=N|%", "Picks that may be of a kind, such as cluster:*=5%; repeats."
    )
    must_keep: str | None = setting(None, "--must-keep FILE", "Ids that must be kept, a line each.")
    must_drop: str | None = setting(None, "--must-drop FILE", "Ids to leave out, a line each.")
    target: str | None = setting(None, "--target DATASET", "Choose what resembles this dataset.")
