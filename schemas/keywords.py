"""The keywords of the methods of `Workspace`: the flags of their commands. Written by `make docs`.

None leaves a setting as curate.toml says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict


class ResourcesKeywords(TypedDict, total=False):
    """Settings of [run]."""

    engine: str | None
    """What runs the stages."""

    master: str | None
    """Spark's master, such as local[2] or spark://…"""

    spark_conf: Mapping[str, str] | Sequence[str] | None
    """A setting of Spark; repeats."""

    partitions: int | None
    """Spark partitions a stage; one a shard by default."""

    memory: str | None
    """Memory to stay inside, such as 3GB (all processes)."""

    workers: int | None
    """Processes to compute with."""

    max_errors: str | None
    """Stop when more records than this are bad."""


class IngestKeywords(ResourcesKeywords, total=False):
    """What it inherits, and settings of [images], [read], [run], [embed]."""

    follow_links: bool | None
    """Follow links that leave an image folder."""

    allow_remote: bool | None
    """Fetch images that are URLs."""

    max_pixels: int | None
    """Refuse larger images undecoded."""

    image_token: Literal["strict", "insert"] | None
    """Insert <image> before the first question of records without."""

    roles: Literal["strict", "merge", "drop"] | None
    """Merge neighbouring turns of one role, or drop turns that do not alternate."""

    spelling: Literal["any", "exact"] | None
    """Look for missing images by other spellings of their paths too, or not."""

    shard_rows: int | None
    """Records a shard: the unit of resuming."""

    batch: int | None
    """Images or texts a forward pass."""


class EmbedKeywords(IngestKeywords, total=False):
    """What it inherits, and settings of [run], [embed]."""

    device: Literal["auto", "cpu", "cuda"] | None
    """Where the model runs."""

    model: str | Path | None
    """builtin, builtin:tiny, ARCH/PRETRAINED of open_clip, hf-hub:ORG/NAME, or a local checkpoint."""


class ScoreKeywords(EmbedKeywords, total=False):
    """What it inherits, and settings of [embed], [vlm], [score], [capability], [endpoint]."""

    phrases: bool | None
    """Also ground noun phrases in regions of the images."""

    vlm: str | Path | None
    """builtin, or an image-text-to-text checkpoint."""

    blind: Literal["drop", "zero", "noise", "other"] | None
    """What stands for no image: no image tokens, zero pixels, noise, another sample's image."""

    vlm_batch: int | None
    """Prompts a forward pass."""

    max_tokens: int | None
    """Cut longer prompts at their end."""

    gamma: float | None
    """Of the TaiLr weight, 0 to 1."""

    dominance: bool | None
    """Also the modality dominance index, which is slow."""

    head: Mapping[str, str | Path] | Sequence[str] | None
    """A linear head on image (or text) embeddings, as safetensors; writes column NAME. Repeats."""

    scorer: str | Sequence[str] | None
    """A scorer of another package (docs/plugin-example); repeats."""

    ocr: bool | None
    """Also read the text in the images, and how much of what is said stands there."""

    ocr_side: int | None
    """Longer side that images are shrunk to before they are read."""

    capability: Literal["none", "builtin", "probe", "endpoint"] | None
    """What scores capabilities and styles."""

    probe: str | Path | None
    """The trained scorer; else what train-scorer left."""

    judge: bool | None
    """Also ask the endpoint for relevance, plausibility, clarity and diversity."""

    endpoint_url: str | None
    """An OpenAI-compatible chat endpoint, with its /v1; else OPENAI_BASE_URL."""

    endpoint_model: str | None
    """The model to ask; else OPENAI_MODEL."""

    api_key_file: str | Path | None
    """File that holds the key; else OPENAI_API_KEY. The key itself is never stored."""

    endpoint_mode: Literal["joint", "each"] | None
    """One request a sample, or a short one a capability."""

    structured: Literal["auto", "schema", "object", "none"] | None
    """How answers are held to JSON; auto asks the endpoint what it can do."""

    image_side: int | None
    """Longer side of images sent."""

    concurrency: int | None
    """Requests under way at once."""

    max_rate: float | None
    """Requests a second at most."""

    timeout: float | None
    """For one attempt."""

    attempts: int | None
    """At a request that fails."""


class ClusterKeywords(ScoreKeywords, total=False):
    """What it inherits, and settings of [run], [gradient], [cluster]."""

    seed: int | None
    """Seed of whatever is drawn at random."""

    gradient_layers: str | None
    """Linear layers whose gradients are taken: last-block, lora, or names."""

    dims: int | None
    """Dimensions of a gradient vector."""

    checkpoint: str | Path | Sequence[str | Path] | None
    """A state of the model, or an adapter, with its learning rate; repeats."""

    vectors: str | None
    """What is clustered: embedding, gradient or activation (of --vlm), or file:PATH (npy, Parquet)."""

    clusters: Literal["auto", "root"] | int | None
    """Number of skill clusters; root of half the samples, or the knee of the curve (auto)."""

    iterations: int | None
    """Rounds of k-means."""

    points: int | None
    """Samples a centroid that it is fitted on."""

    max_cluster_size: int | None
    """Larger clusters are split."""

    image_weight: float | None
    """Weight of the image against the text, 0 to 1."""


class PruneKeywords(ClusterKeywords, total=False):
    """What it inherits, and settings of [prune]."""

    key: Literal["joint", "image", "text", "vectors"] | None
    """What samples are compared by: joint (of image and text), image, text or vectors."""

    semantic: bool | None
    """Look for near-duplicates by cosine."""

    eps: Literal["auto"] | float | None
    """Samples with a cosine of at least 1 - E are looked at again; auto: as measured in each group of
    clusters, on copies of its own images.
    """

    exact: Literal["bytes", "pixels"] | None
    """What two equal images share: their file, or their pixels in whatever file (always goes)."""

    text_eps: float | None
    """Texts of near-duplicates that are not equal have a cosine of at least 1 - E, and no other number, name
    or negation.
    """

    redundant: Literal["off"] | float | None
    """Leave out as well what is no copy but has a cosine of at least 1 - E (SemDeDup)."""

    linkage: Literal["leader", "chain", "component"] | None
    """leader (none that stay are near each other), chain (SemDeDup) or component."""

    keep: str | None
    """Of duplicates: first in the pool, best:COLUMN, hard or easy (far from or near to the cluster's centre),
    or random.
    """

    prune_to: str | int | float | None
    """Keep exactly so many, the least similar ones."""

    perceptual: Literal["auto", "off"] | int | None
    """Also look at samples whose images have perceptual hashes that differ in at most so many bits; auto: 16
    of 64 where texts must be equal, else 8.
    """

    hash_bits: Literal[64, 256] | None
    """The width of these hashes."""

    flip: bool | None
    """Also mirrored images, by these hashes."""

    min_similarity: float | None
    """Neighbours below it are not remembered; --eps can be changed down to it in seconds."""

    neighbours: int | None
    """Neighbours of a sample to remember."""

    probes: Literal["auto"] | int | None
    """Further clusters that a sample is compared in; auto: until --recall is reached."""

    recall: float | None
    """Of near pairs to find, measured."""


class AgainstKeywords(TypedDict, total=False):
    """Settings of [decontaminate]."""

    against: str | Path | Sequence[str | Path] | None
    """A benchmark that must not leak: a dataset as for init, or a folder of images; repeats."""

    against_images: str | Path | Sequence[str | Path] | None
    """Where the benchmarks' image paths start; repeats."""

    tag: bool | None
    """Only say what leaks; select leaves it in."""

    leak_level: (
        Literal["image", "perceptual", "embedding", "text"]
        | Sequence[Literal["image", "perceptual", "embedding", "text"]]
        | None
    )
    """What counts as a leak: equal bytes, hashes, embeddings of images, n-grams; repeats."""

    leak_bits: int | None
    """Perceptual hashes of 64 bits may differ in so many."""

    leak_cosine: float | None
    """From this cosine on images are the same by their embeddings."""

    ngram: int | None
    """Words of an n-gram."""

    overlap: float | None
    """Share of a benchmark text's n-grams that makes a leak."""


class PickKeywords(PruneKeywords, AgainstKeywords, total=False):
    """What it inherits, and settings of [select]."""

    mix: str | None
    """How much of each source (or COLUMN:, capability:, style:): sqrt, proportional, uniform, power=P,
    a=0.3,b=0.7 or @FILE.
    """

    where: str | Sequence[str] | None
    """A condition over columns, such as 'n_tokens < 4096 and alignment > 0'; repeats."""

    default_filters: bool | None
    """Leave out empty answers, black images and their like."""

    min_auc: float | None
    """alignment leaves samples out only in groups where it tells true pairs from mismatched ones with at
    least this area under the ROC curve (lower end of its 95 % interval).
    """

    max_loss: float | None
    """Of the right pairs of such a group, that it may leave out."""

    at_least: str | Sequence[str] | None
    """Picks that must be of a kind, such as source:ocr=2000; VALUE * is each; repeats."""

    at_most: str | Sequence[str] | None
    """Picks that may be of a kind, such as cluster:*=5%; repeats."""

    must_keep: str | Path | None
    """Ids that must be kept, a line each."""

    must_drop: str | Path | None
    """Ids to leave out, a line each."""

    target: str | None
    """Choose what resembles this dataset."""


class SelectKeywords(PickKeywords, total=False):
    """What it inherits, and settings of [select]."""

    budget: str | int | float | None
    """How much to keep: 30%, 0.3, 200000 (samples), 50Mtok (tokens), 2GB (bytes of images) or COLUMN=N (its
    sum). Several, as in 10%,30%, give nested subsets.
    """

    strategy: str | None
    """How to choose: balanced, random, top:COLUMN, adapt, … (docs/selection.md)."""


class DecontaminateKeywords(EmbedKeywords, AgainstKeywords, total=False):
    """What it inherits."""


class SearchKeywords(TypedDict, total=False):
    """Settings of [run], [embed]."""

    device: Literal["auto", "cpu", "cuda"] | None
    """Where the model runs."""

    model: str | Path | None
    """builtin, builtin:tiny, ARCH/PRETRAINED of open_clip, hf-hub:ORG/NAME, or a local checkpoint."""


class ConvertKeywords(TypedDict, total=False):
    """Settings of [images], [read]."""

    follow_links: bool | None
    """Follow links that leave an image folder."""

    allow_remote: bool | None
    """Fetch images that are URLs."""

    max_pixels: int | None
    """Refuse larger images undecoded."""

    image_token: Literal["strict", "insert"] | None
    """Insert <image> before the first question of records without."""

    roles: Literal["strict", "merge", "drop"] | None
    """Merge neighbouring turns of one role, or drop turns that do not alternate."""

    spelling: Literal["any", "exact"] | None
    """Look for missing images by other spellings of their paths too, or not."""


class ValidateKeywords(ConvertKeywords, total=False):
    """What it inherits, and settings of [embed]."""

    model: str | Path | None
    """builtin, builtin:tiny, ARCH/PRETRAINED of open_clip, hf-hub:ORG/NAME, or a local checkpoint."""
