"""The tables, one row each: what a row is, what it holds, which flag makes it, and what is chosen by.

From here follow the score table, what exports carry, which tables a new dataset makes anew, and
docs/data-model.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from schemas.columns import CHECKED, IMAGES, SAMPLES
from schemas.errors import ConfigError
from schemas.stages import Pool
from scorers import COLUMN_SCORERS
from scorers.alignment import Alignment
from scorers.answers import WRITES as ANSWERS
from scorers.grounding import Grounding
from scorers.hygiene import Hygiene
from scorers.judgement import Judgement
from scorers.phrases import PhraseGrounding
from scorers.picture_agreement import PictureAgreement
from scorers.synthetic import Synthetic
from scorers.taxonomy import WRITES
from scorers.text_agreement import TextAgreement

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Table:
    """A table as everybody but its own stage knows it.

    Args:
        name: as in `.curate/tables`.
        row: what a row is.
        holds: its columns besides `uid`, in words.
        whole_pool: it follows from all samples, so a new dataset makes its stage run again.
        columns: those of a table with a row a sample that samples may be chosen by, with unit, range and
            direction in their metadata; None where it is no part of the score table.
        kind: `facts` stay out of exports, `scores` go into them.
        flag: what makes it; None: every run does. One that is not made again may be of an earlier pool.
    """

    name: str
    row: str
    holds: str
    whole_pool: bool = False
    columns: pa.Schema | None = None
    kind: Literal["facts", "scores"] = "scores"
    flag: str | None = None


PLUGIN = "plugin_"  # how the names of the tables of other packages' scorers begin
HEADS = "heads"  # its columns are named by curate.toml, so only the table says which there are
OWN, ADDED = "own", "added"  # likewise by `curate scores --add`: a row a sample, and what was added, by uid
CLUSTERED = pa.schema([pa.field("cluster", pa.int32()), pa.field("similarity", pa.float32())])
HASHES = (
    "content_hash",
    "images_hash",
    "pixels_hash",
    "shown_hash",
    "text_hash",
    "words_hash",
    "telling_hash",
)
# What nobody chooses by.
IDS = ("uid", "dataset", "record_id", "file", "line", "error", "error_message", "evidence", *HASHES)


def _built_in() -> Iterator[Table]:
    for name, scorer in COLUMN_SCORERS.items():
        says = (scorer.__doc__ or name).partition("\n")[0]
        yield Table(name, "a sample", says, columns=scorer().writes)


def _listed(columns: pa.Schema) -> str:
    return ", ".join(f"`{name}`" for name in columns.names if name != "uid")


# fmt: off
TABLES: dict[str, Table] = {table.name: table for table in (
    Table("samples", "a record, bad ones too",
          f"{_listed(SAMPLES)}; `record` is byte for byte, `images` says where the bytes lie"),
    Table("distinct_images", "a distinct image", "where it is first used", whole_pool=True),
    Table("image_places", "a sample",
          "for each of its images the (shard, row) in `images`", whole_pool=True),
    Table("images", "a distinct image",
          f"{_listed(IMAGES)}; `pixels_hash` is of size and RGB pixels"),
    Table("checked", "a sample", f"{_listed(CHECKED)}; errors of its images too",
          columns=CHECKED, kind="facts"),
    Table("image_vectors", "a distinct image", "`sha256`, `vector`"),
    Table("chunks", "a sample", "its pieces of text that fit the encoder's context, each with a hash"),
    Table("distinct_chunks", "a distinct piece of text", "where it is first used", whole_pool=True),
    Table("chunk_places", "a sample",
          "for each of its pieces the (shard, row) in `chunk_vectors`", whole_pool=True),
    Table("chunk_vectors", "a distinct piece of text", "`vector`"),
    Table("vectors", "a sample",
          "`image`, `text`: mean of its unit vectors, renormalised; `images`: each one where there are "
          "several"),
    Table("builtin_distinct_chunks", "a distinct piece of text",
          "as without the prefix, by the built-in CLIP", whole_pool=True),
    Table("builtin_chunk_places", "a sample",
          "likewise; so are all `builtin_…` tables, which the built-in capability probe needs where "
          "`--model` is another", whole_pool=True),
    Table("clusters", "a sample",
          "`cluster`: that of its nearest centre, or a piece of it where it is too large; `similarity`",
          whole_pool=True, columns=CLUSTERED, kind="facts"),
    Table("cosines", "a sample", "raw image-text cosine"),
    Table("mismatch", "the pool",
          "mean and deviation of the contrast over mismatched pairs", whole_pool=True),
    Table("mismatch_bank", "a sample of at most 1,024",
          "`image`, `text`: its vectors, which all samples are held against", whole_pool=True),
    Table("hygiene", "a sample", "plain figures of text and images", columns=Hygiene.writes),
    Table("alignment", "a sample",
          "how well image and text agree", whole_pool=True, columns=Alignment.writes),
    Table("answer_ridges", "a number that a ridge expects an answer by, fold by fold",
          "`fold` (null: the mean answer), `weights`", whole_pool=True),
    Table("answer_others", "an answer that those of its source are held against",
          "`source`, `answer`", whole_pool=True),
    Table("answer_sources", "a source with eight answers and more",
          "how well its answers are told from others: `n` pairs, `auc` and its 95 % interval `low`, `high`, "
          "`decides` (else its samples have no value in `answers`)", whole_pool=True),
    Table("answers", "a sample",
          "how well its answers follow from what the rest of the pool teaches", whole_pool=True,
          columns=ANSWERS),
    Table("text_flags", "a sample",
          "what `quality` takes from the sample alone: flags, `evidence`, and how its answers begin and "
          "end"),
    Table("openings", "an opening of three words",
          "`count`, `share` of the pool's answers of eight words and more", whole_pool=True),
    Table("words", "a word", "`count` (of at most 32,768 samples)", whole_pool=True),
    Table("quality", "a sample",
          "synthetic quality: flags, parts and one number", whole_pool=True, columns=Synthetic.writes),
    *_built_in(),
    Table(HEADS, "a sample",
          "a column an output of each linear head", columns=pa.schema([]), flag="--head NAME=FILE"),
    Table("grounding", "a sample",
          "what its answers cost a vision-language model with the images and without",
          columns=Grounding.writes, flag="--vlm MODEL"),
    Table("phrase_grounding", "a sample",
          "which noun phrases of its answers find a region of its images",
          columns=PhraseGrounding.writes, flag="--phrases"),
    Table("image_text", "a distinct image",
          "`lines` (each with `text`, `confidence`, `left`, `top`, `right`, `bottom` as shares of width and "
          "height), `n_words`, `text_share`, and why it could not be read: `error`, `error_message`",
          flag="--ocr"),
    Table("text_agreement", "a sample",
          "how much of what it says stands in its images, and what else stands there",
          columns=TextAgreement.writes, flag="--ocr"),
    Table("picture_agreement", "a sample",
          "`alignment` and `text_agreement` in one number", whole_pool=True,
          columns=PictureAgreement.writes, flag="--ocr"),
    Table("capability", "a sample",
          "`cap_…`, `style_…`, `capability_reason`", columns=WRITES, flag="--capability BACKEND"),
    Table("judgement", "a sample",
          "`judge_…`, `judge_reason` ([endpoint.md](endpoint.md))",
          columns=Judgement.writes, flag="--judge"),
    Table("plugin_NAME", "a sample",
          "what a scorer of another package writes ([plugin-example](plugin-example/README.md))",
          flag="--scorer NAME"),
    Table(OWN, "a sample",
          "the columns of `added`, null where it has no row for the sample",
          columns=pa.schema([]), flag="curate scores --add"),
    Table(ADDED, "a sample that you have figures of, by uid",
          "columns of your own ([python.md](python.md))", flag="curate scores --add"),
    Table("labels", "a sample that `curate annotate` asked about, by uid",
          "the columns of `capability`", flag="curate annotate"),
    Table("gradients", "a sample",
          "`vector`: the sketch of its gradient, of unit length; `gradient_norm`, `gradient_reason`",
          flag="--vectors gradient"),
    Table("activations", "a sample",
          "`vector`: the sketch of its activations, of unit length; `bridging`, `neuron`, `hidden_entropy`, "
          "`activation_reason`", flag="--vectors activation"),
    Table("file_vectors", "a sample",
          "`vector`: its row of the file, of unit length; `vector_reason`", flag="--vectors file:PATH"),
    Table("centroids", "a centre", "`centroid`", whole_pool=True),
    Table("nearest", "a sample",
          "`centroid`: the nearest one, and `similarity`, the cosine to it", whole_pool=True),
    Table("k_curve", "a number of clusters that `--clusters auto` tried",
          "`k`, `wss` (mean squared distance to the centre), `chosen`", whole_pool=True),
    Table("skills", "a cluster",
          "`label`, `terms`, `capability`, `style`, `size`, `density`, `spread`, `nearest`, `examples`",
          whole_pool=True, flag="curate clusters"),
    Table("cluster_quality", "the pool",
          "`wss`, `silhouette`, `stability` and what they were measured on",
          whole_pool=True, flag="curate clusters --quality"),
    Table("firsts", "a sample",
          "`first`: whether it is the first of all that are equal by `--key`", whole_pool=True),
    Table("probes", "a number of visits",
          "the `recall` of near pairs with so many, `n_pairs` it was measured on, `chosen`",
          whole_pool=True),
    Table("pieces", "a cluster", "the `centroid` of each `cluster`", whole_pool=True),
    Table("visits", "a sample",
          "the clusters that it is compared in, its own first; null where it takes no part",
          whole_pool=True),
    Table("neighbours", "a sample and one of its nearest",
          "`uid`, `other`, `similarity` (by `--key`), `text` (cosine of the texts, by key joint), "
          "`cluster` where they met", whole_pool=True),
    Table("look_alikes", "a pair of samples whose images have near hashes",
          "`left`, `right`, `bits`, `flipped`", whole_pool=True),
    Table("suspects", "a pair of pictures that may be copies by their hashes",
          "`left`, `right` (rows of `images`), `flipped`, and where their files are", whole_pool=True),
    Table("looks", "such a pair, looked at again",
          "`correlation` of one picture on the other, the share that both show (`cover`), `oddness` (at most "
          "1 where one is a copy; null where they cannot be laid on each other)", whole_pool=True),
    Table("copy_sample", "one of a few pictures that are copied to measure `--eps auto`",
          "`group`, and where its file is", whole_pool=True),
    Table("copy_cosines", "such a picture",
          "`group`, and the cosine of the picture to each of its copies: `recompressed`, `resized`, "
          "`cropped`, `letterboxed`, `brightened`", whole_pool=True),
    Table("copy_eps", "a group of clusters",
          "`clusters`, `n_samples` with pictures, `n_others` that have a near one which is no copy, "
          "`n_copied` pictures measured, `eps` (null: the encoder cannot tell), the share of copies `found` "
          "within it, and that of each kind (`found_resized` ...)", whole_pool=True),
    Table("near_suspects", "a pair of pictures that may be copies by their cosine, none of `suspects`",
          "as `suspects`", whole_pool=True),
    Table("near_looks", "such a pair, looked at again", "as `looks`", whole_pool=True),
    Table("pruned", "a sample that another makes superfluous",
          "`reason` (exact_duplicate, pixel_duplicate, near_duplicate, perceptual_duplicate, "
          "flipped_duplicate, redundant, over_target), `kept_uid` (what stands for it), `near_uid` (what it "
          "is too similar to), `similarity` to that, `oddness` of their pictures, `group` (position of what "
          "is kept)", whole_pool=True),
    Table("prune_curve", "a value of `--redundant`, null without",
          "`n_kept`, `n_exact`, `n_near`, `n_full` (samples with more neighbours than are remembered), "
          "`chosen`", whole_pool=True),
    Table("image_leaks", "a distinct image",
          "`matches`: what of a benchmark it is, each with `benchmark`, `item`, `level`, `similarity`",
          flag="--against DATA"),
    Table("text_leaks", "a sample", "likewise", flag="--against DATA"),
    Table("leaks", "a sample and a benchmark's sample that it leaks",
          "`benchmark`, `benchmark_uid`, `benchmark_id`, `benchmark_image`, `level`, `similarity` "
          "([decontaminate.md](decontaminate.md))", whole_pool=True, flag="--against DATA"),
    Table("filters", "a group of samples that a default filter is measured in",
          "`filter` (alignment), `dataset`, `clusters` (null for a whole dataset, which decides nothing), "
          "`n_samples`, `n` true pairs measured, `n_distinct` images or texts among them, `n_mismatched`, "
          "`auc` and its 95 % interval `low`, `high`, `wrong_share` (of the true pairs, where certain), "
          "`threshold` (below it a sample is left out; null: none is), `left_out`", whole_pool=True),
    Table("selection", "a sample",
          "`keep`, `rank` (0 is the first pick), `tier` (of several budgets the smallest that keeps "
          "it), `cluster`, `stratum`, `scorer` and `score` (what the strategy compared), `reason` "
          "(kept, over_budget, quarantined, filtered, dropped by a list, benchmark_leak, target, or "
          "that of `pruned`), `clause` (the filter that it fails), `alignment_floor` (the threshold that its "
          "alignment was held against)", whole_pool=True),
    Table("strata", "what the strategy told apart",
          "`stratum`, `scorer`, `n_candidates`, `n_selected`, `why`", whole_pool=True),
)}
# fmt: on
WHOLE_POOL = tuple(table.name for table in TABLES.values() if table.whole_pool)
# One row a sample, in pool order: together they are the score table.
SCORES = {table.name: table.columns for table in TABLES.values() if table.columns is not None}
FACTS = tuple(name for name in SCORES if TABLES[name].kind == "facts")
ON_REQUEST = {name: columns for name, columns in SCORES.items() if TABLES[name].flag is not None}
# The scores of every run.
ALWAYS = tuple(name for name in SCORES if name not in FACTS and name not in ON_REQUEST)
FIXED = frozenset(name for columns in SCORES.values() for name in columns.names)


def is_score(table: str) -> bool:
    """Whether a table is part of the score table."""
    return table in SCORES or table.startswith(PLUGIN)


def may_be_old(table: str) -> bool:
    """Whether not every run makes the table: its manifest says by `pool` which `checked` it is of."""
    return table in ON_REQUEST or table.startswith(PLUGIN)


def tables_for(columns: Sequence[str]) -> tuple[str, ...]:
    """The tables on request that hold one of `columns`; what no other table has is a head's."""
    heads = not set(columns) <= FIXED
    return tuple(
        table
        for table, held in ON_REQUEST.items()
        if set(columns) & set(held.names) or (heads and table == HEADS)
    )


def own_columns(pool: Pool) -> dict[str, str]:
    """The columns that `curate scores --add` brought, and the table that they are read from."""
    manifest = pool.find(ADDED)
    if manifest is None or not manifest.shards:
        return {}
    return {name: OWN for name in pool.schema(ADDED).names if name != "uid"}


def demand_tables(pool: Pool, columns: Sequence[str], made: Sequence[str]) -> None:
    """Refuse to choose by a column of a table that is neither there nor `made` on the way.

    `columns` are those that no map stage on the way writes.

    Raises:
        ConfigError: naming the column and the flag.
    """
    own = own_columns(pool)
    unknown = [name for name in columns if name not in FIXED and name not in own]
    if unknown:
        there = sorted(FIXED & set(column_tables(pool)) - set(IDS))
        raise ConfigError(unknown_column(unknown[0], there or sorted(FIXED - set(IDS))))
    for table in tables_for([name for name in columns if name not in own]):
        if table not in made and table not in current_tables(pool):
            raise ConfigError(
                _not_computed(next(name for name in columns if name in ON_REQUEST[table].names))
            )


def _not_computed(column: str) -> str:
    table = next(table for table, held in ON_REQUEST.items() if column in held.names)
    return (
        f"the column {column} is not computed for this pool as it is; {TABLES[table].flag} computes it, here "
        "or in `curate score`"
    )


def unknown_column(name: str, known: Sequence[str]) -> str:
    """A sentence on a column that no table of samples has, with those that it may be meant for."""
    if any(name in held.names for held in ON_REQUEST.values()):
        return _not_computed(name)
    alike = [other for other in known if other.endswith(f"_{name}")]
    alike += [other for other in get_close_matches(name, known) if other not in alike]
    more = "`curate explain ID` shows all, docs/data-model.md too"
    if alike:
        return f"samples have no column {name!r}; did you mean {' or '.join(alike[:3])}? ({more})"
    some = f"{', '.join(known[:12])}, … ({more})"
    return (
        f"samples have no column {name!r}, no head writes one (--head NAME=FILE), and none of your own is "
        f"called so (curate scores --add FILE); there are {some}"
    )


def all_tables(pool: Pool) -> tuple[str, ...]:
    """The tables of SCORES, and those of other packages' scorers that were ever made here."""
    return (*SCORES, *(table for table in pool.tables() if table.startswith(PLUGIN)))


def current_tables(pool: Pool) -> list[str]:
    """The tables that exist and, where they are made on request, have the uids of the pool as it is."""
    there = []
    for table in all_tables(pool):
        manifest = pool.find(table)
        if manifest is not None and manifest.shards and _is_current(pool, table):
            there.append(table)
    return there


def _is_current(pool: Pool, table: str) -> bool:
    if not may_be_old(table):
        return True
    manifest, checked = pool.find(table), pool.find("checked")
    if manifest is None or checked is None:
        return False
    return bool(manifest.stage.get("pool") == checked.fingerprint)


def column_tables(pool: Pool) -> dict[str, str]:
    """Each column that exists now, and the table that holds it."""
    found: dict[str, str] = {}
    for table in current_tables(pool):
        for name in pool.schema(table).names:
            found.setdefault(name, table)
    return found


def score_table(pool: Pool, columns: Sequence[str]) -> pl.DataFrame:
    """`columns` of every sample, in pool order, bad records included.

    Raises:
        ConfigError: a column does not exist; the message lists those that do.
    """
    import polars as pl

    where = column_tables(pool)
    unknown = [name for name in columns if name not in where]
    if unknown:
        raise ConfigError(unknown_column(unknown[0], sorted(set(where) - set(IDS))))
    frames = []
    for table in dict.fromkeys(where[name] for name in columns):
        names = [name for name in columns if where[name] == table]
        frame = pl.from_arrow(pool.read(table, names))
        assert isinstance(frame, pl.DataFrame)
        frames.append(frame)
    return pl.concat(frames, how="horizontal").select(columns)
