"""The flags, each spelled once. A flag with a key sets that key of curate.toml for this command."""

from __future__ import annotations

import click

from jobs.flags import heads, mode, pairs, setting
from schemas.stages import STEPS

SPEAKING = (
    mode("as_json", "--json", help="Print one JSON object on stdout; everything else goes to stderr."),
    mode("quiet", "--quiet", help="No progress on stderr."),
    mode("debug", "--debug", help="Log to stderr, and show the traceback of an error."),
)
RESOURCES = (
    setting("run.engine", "--engine", type=click.Choice(["local", "spark"]), help="What runs the stages."),
    setting("run.master", "--master", metavar="URL", help="Spark's master, such as local[2] or spark://…"),
    setting(
        "run.spark_conf",
        "--spark-conf",
        multiple=True,
        metavar="KEY=VALUE",
        parse=pairs,
        help="A setting of Spark; repeats.",
    ),
    setting(
        "run.partitions",
        "--partitions",
        type=int,
        metavar="N",
        help="Spark partitions a stage; one a shard by default.",
    ),
    setting(
        "run.memory", "--memory", metavar="SIZE", help="Memory to stay inside, such as 3GB (all processes)."
    ),
    setting("run.workers", "--workers", type=int, metavar="N", help="Processes to compute with."),
    setting(
        "run.max_errors", "--max-errors", metavar="N|%", help="Stop when more records than this are bad."
    ),
)
RUNNING = (
    *RESOURCES,
    mode("dry_run", "--dry-run", help="Show what would be computed and how long it takes; compute nothing."),
    *SPEAKING,
)

INGEST = (
    setting(
        "run.shard_rows", "--shard-rows", type=int, metavar="N", help="Records a shard: the unit of resuming."
    ),
    setting("embed.batch", "--batch", type=int, metavar="N", help="Images or texts a forward pass."),
    setting(
        "images.follow_links",
        "--follow-links/--no-follow-links",
        help="Follow links that leave an image folder.",
    ),
    setting("images.allow_remote", "--allow-remote/--no-allow-remote", help="Fetch images that are URLs."),
    setting(
        "images.max_pixels", "--max-pixels", type=int, metavar="N", help="Refuse larger images undecoded."
    ),
)
EMBED = (
    setting(
        "embed.model",
        "--model",
        metavar="MODEL",
        help="builtin, ARCH/PRETRAINED of open_clip, hf-hub:ORG/NAME, or a local checkpoint.",
    ),
    setting(
        "run.device", "--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where the model runs."
    ),
    *INGEST,
)
VLM = (
    setting(
        "embed.phrases", "--phrases/--no-phrases", help="Also ground noun phrases in regions of the images."
    ),
    setting("vlm.model", "--vlm", metavar="MODEL", help="builtin, or an image-text-to-text checkpoint."),
    setting(
        "vlm.blind",
        "--blind",
        type=click.Choice(["drop", "zero", "noise", "other"]),
        help="What stands for no image: no image tokens, zero pixels, noise, another sample's image.",
    ),
    setting("vlm.batch", "--vlm-batch", type=int, metavar="N", help="Prompts a forward pass."),
    setting("vlm.max_tokens", "--max-tokens", type=int, metavar="N", help="Cut longer prompts at their end."),
    setting("vlm.gamma", "--gamma", type=float, metavar="G", help="Of the TaiLr weight, 0 to 1."),
    setting(
        "vlm.dominance",
        "--dominance/--no-dominance",
        help="Also the modality dominance index, which is slow.",
    ),
)
CAPABILITY = (
    setting(
        "capability.backend",
        "--capability",
        type=click.Choice(["none", "builtin", "probe", "endpoint"]),
        help="What scores capabilities and styles.",
    ),
    setting(
        "capability.probe", "--probe", metavar="DIR", help="The trained scorer; else what train-scorer left."
    ),
    setting(
        "endpoint.judge",
        "--judge/--no-judge",
        help="Also ask the endpoint for relevance, plausibility, clarity and diversity.",
    ),
)
ENDPOINT = (
    setting(
        "endpoint.url",
        "--endpoint-url",
        metavar="URL",
        help="An OpenAI-compatible chat endpoint, with its /v1; else OPENAI_BASE_URL.",
    ),
    setting(
        "endpoint.model", "--endpoint-model", metavar="NAME", help="The model to ask; else OPENAI_MODEL."
    ),
    setting(
        "endpoint.key_file",
        "--api-key-file",
        metavar="FILE",
        help="File that holds the key; else OPENAI_API_KEY. The key itself is never stored.",
    ),
    setting(
        "endpoint.mode",
        "--endpoint-mode",
        type=click.Choice(["joint", "each"]),
        help="One request a sample, or a short one a capability.",
    ),
    setting(
        "endpoint.structured",
        "--structured",
        type=click.Choice(["auto", "schema", "object", "none"]),
        help="How answers are held to JSON; auto asks the endpoint what it can do.",
    ),
    setting("endpoint.side", "--image-side", type=int, metavar="PX", help="Longer side of images sent."),
    setting(
        "endpoint.concurrency", "--concurrency", type=int, metavar="N", help="Requests under way at once."
    ),
    setting("endpoint.rate", "--max-rate", type=float, metavar="N", help="Requests a second at most."),
    setting("endpoint.timeout", "--timeout", type=float, metavar="SECONDS", help="For one attempt."),
    setting("endpoint.attempts", "--attempts", type=int, metavar="N", help="At a request that fails."),
)
GRADIENT = (
    setting(
        "gradient.layers",
        "--gradient-layers",
        metavar="REGEX",
        help="Linear layers whose gradients are taken: last-block, lora, or names.",
    ),
    setting("gradient.dims", "--dims", type=int, metavar="D", help="Dimensions of a gradient vector."),
    setting(
        "gradient.checkpoints",
        "--checkpoint",
        multiple=True,
        metavar="PATH[:LR]",
        help="A state of the model, or an adapter, with its learning rate; repeats.",
    ),
)
HEADS = (
    setting(
        "score.heads",
        "--head",
        multiple=True,
        metavar="NAME[@text]=FILE",
        parse=heads,
        help="A linear head on image (or text) embeddings, as safetensors; writes column NAME. Repeats.",
    ),
)
PLUGINS = (
    setting(
        "score.plugins",
        "--scorer",
        multiple=True,
        metavar="NAME",
        parse=tuple,
        help="A scorer of another package (docs/plugin-example); repeats.",
    ),
)
SCORE = (*CAPABILITY, *ENDPOINT, *VLM, *HEADS, *PLUGINS, *EMBED)
SEED = setting("run.seed", "--seed", type=int, metavar="N", help="Seed of whatever is drawn at random.")
CLUSTER = (
    setting(
        "cluster.vectors",
        "--vectors",
        metavar="NAME",
        help="What is clustered: embedding, gradient (of --vlm), or file:PATH (npy or Parquet, by id).",
    ),
    setting(
        "cluster.k",
        "--clusters",
        metavar="N|root|auto",
        help="Number of skill clusters; root of half the samples, or the knee of the curve (auto).",
    ),
    setting("cluster.iterations", "--iterations", type=int, metavar="N", help="Rounds of k-means."),
    setting(
        "cluster.points", "--points", type=int, metavar="N", help="Samples a centroid that it is fitted on."
    ),
    setting(
        "cluster.max_size", "--max-cluster-size", type=int, metavar="N", help="Larger clusters are split."
    ),
    setting(
        "cluster.image_weight",
        "--image-weight",
        type=float,
        metavar="SHARE",
        help="Weight of the image against the text, 0 to 1.",
    ),
    SEED,
    *GRADIENT,
    *SCORE,
)
PRUNE = (
    setting(
        "prune.key",
        "--key",
        metavar="KEY",
        help="What samples are compared by: joint (of image and text), image, text or vectors.",
    ),
    setting("prune.semantic", "--semantic/--no-semantic", help="Look for near-duplicates by cosine."),
    setting(
        "prune.eps", "--eps", type=float, metavar="E", help="Near-duplicates have a cosine of at least 1 - E."
    ),
    setting(
        "prune.exact",
        "--exact",
        metavar="bytes|pixels",
        help="What two equal images share: their file, or their pixels in whatever file (always goes).",
    ),
    setting(
        "prune.text_eps",
        "--text-eps",
        type=float,
        metavar="E",
        help="By --key joint their texts have a cosine of at least 1 - E as well.",
    ),
    setting(
        "prune.linkage",
        "--linkage",
        metavar="HOW",
        help="leader (none that stay are near each other), chain (SemDeDup) or component.",
    ),
    setting(
        "prune.keep",
        "--keep",
        metavar="RULE",
        help="Of duplicates: first in the pool, best:COLUMN, hard or easy (far from or near to the cluster's "
        "centre), or random.",
    ),
    setting("prune.to", "--prune-to", metavar="N|%", help="Keep exactly so many, the least similar ones."),
    setting(
        "prune.perceptual",
        "--perceptual",
        metavar="BITS|off",
        help="Also samples whose images have perceptual hashes that differ in at most so many bits.",
    ),
    setting("prune.hash_bits", "--hash-bits", type=int, metavar="64|256", help="The width of these hashes."),
    setting("prune.flip", "--flip/--no-flip", help="Also mirrored images, by these hashes."),
    setting(
        "prune.min_similarity",
        "--min-similarity",
        type=float,
        metavar="COSINE",
        help="Neighbours below it are not remembered; --eps can be changed down to it in seconds.",
    ),
    setting(
        "prune.neighbours", "--neighbours", type=int, metavar="N", help="Neighbours of a sample to remember."
    ),
    setting(
        "prune.probes",
        "--probes",
        metavar="N|auto",
        help="Further clusters that a sample is compared in; auto: until --recall is reached.",
    ),
    setting("prune.recall", "--recall", type=float, metavar="SHARE", help="Of near pairs to find, measured."),
    *CLUSTER,
)
DECONTAMINATE = (
    setting(
        "decontaminate.against",
        "--against",
        multiple=True,
        metavar="[NAME=]DATA",
        help="A benchmark that must not leak: a dataset as for init, or a folder of images; repeats.",
    ),
    setting(
        "decontaminate.images",
        "--against-images",
        multiple=True,
        metavar="DIR",
        help="Where the benchmarks' image paths start; repeats.",
    ),
    setting("decontaminate.tag", "--tag/--no-tag", help="Only say what leaks; select leaves it in."),
    setting(
        "decontaminate.levels",
        "--leak-level",
        multiple=True,
        type=click.Choice(["image", "perceptual", "embedding", "text"]),
        help="What counts as a leak: equal bytes, hashes, embeddings of images, n-grams; repeats.",
    ),
    setting(
        "decontaminate.bits",
        "--leak-bits",
        type=int,
        metavar="BITS",
        help="Perceptual hashes of 64 bits may differ in so many.",
    ),
    setting(
        "decontaminate.cosine",
        "--leak-cosine",
        type=float,
        metavar="C",
        help="From this cosine on images are the same by their embeddings.",
    ),
    setting("decontaminate.ngram", "--ngram", type=int, metavar="N", help="Words of an n-gram."),
    setting(
        "decontaminate.overlap",
        "--overlap",
        type=float,
        metavar="SHARE",
        help="Share of a benchmark text's n-grams that makes a leak.",
    ),
)
SELECT = (
    setting(
        "select.budget",
        "--budget",
        metavar="BUDGET",
        help="How much to keep: 30%, 0.3, 200000 (samples), 50Mtok (tokens), 2GB (bytes of images) or "
        "COLUMN=N (its sum). Several, as in 10%,30%, give nested subsets.",
    ),
    setting(
        "select.strategy",
        "--strategy",
        metavar="NAME[:ARG]",
        help="How to choose: random, top:COLUMN, adapt, mmssr, … (docs/selection.md).",
    ),
    setting(
        "select.where",
        "--where",
        multiple=True,
        metavar="SQL",
        help="A condition over columns, such as 'n_tokens < 4096 and alignment > 0'; repeats.",
    ),
    setting(
        "select.default_filters",
        "--default-filters/--no-default-filters",
        help="Leave out empty answers, black images and their like.",
    ),
    setting(
        "select.at_least",
        "--at-least",
        multiple=True,
        metavar="COL:VALUE=N|%",
        help="Picks that must be of a kind, such as source:ocr=2000; VALUE * is each; repeats.",
    ),
    setting(
        "select.at_most",
        "--at-most",
        multiple=True,
        metavar="COL:VALUE=N|%",
        help="Picks that may be of a kind, such as cluster:*=5%; repeats.",
    ),
    setting("select.must_keep", "--must-keep", metavar="FILE", help="Ids that must be kept, a line each."),
    setting("select.must_drop", "--must-drop", metavar="FILE", help="Ids to leave out, a line each."),
    setting("select.target", "--target", metavar="DATASET", help="Choose what resembles this dataset."),
    *DECONTAMINATE,
    *PRUNE,
)
UNTIL = click.option(
    "--until", type=click.Choice(STEPS), default=STEPS[-1], show_default=True, help="The last step to run."
)
