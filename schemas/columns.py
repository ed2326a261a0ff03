"""Every column is spelled once, and every table is a list of columns. Arrow only.

Ids are bytes in tables and hex at the border. A value that could not be computed is null, never NaN.
"""

from __future__ import annotations

import pyarrow as pa

from schemas.errors import SchemaError

UID = pa.field("uid", pa.binary(16), nullable=False)
DATASET = pa.field("dataset", pa.string(), nullable=False)
KEY = pa.field("key", pa.string(), nullable=False)
FILE = pa.field("file", pa.string(), nullable=False)
LINE = pa.field("line", pa.int64())
RECORD_ID = pa.field("record_id", pa.string())
RECORD = pa.field("record", pa.large_binary(), nullable=False)
TURNS = pa.field(
    "turns",
    pa.list_(pa.struct([pa.field("role", pa.string()), pa.field("text", pa.string())])),
    nullable=False,
)
# Where the bytes of an image lie: a whole file (offset 0, length -1), a span of a file such as a tar
# member, or row `row` of an Arrow or Parquet file, in the column path `column`.
IMAGE_REF = pa.struct(
    [
        pa.field("path", pa.string()),
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),
        pa.field("column", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("name", pa.string()),
        pa.field("sha256", pa.binary(32)),
        pa.field("n_bytes", pa.int64()),
    ]
)
IMAGE_REFS = pa.field("images", pa.list_(IMAGE_REF), nullable=False)
N_IMAGES = pa.field("n_images", pa.int32(), nullable=False)
N_TURNS = pa.field("n_turns", pa.int32(), nullable=False)
N_TOKENS = pa.field("n_tokens", pa.int64(), nullable=False)
SOURCE = pa.field("source", pa.string())
# Codes of what was repaired when the record was read.
REPAIRED = pa.field("repaired", pa.list_(pa.string()), nullable=False)
CONTENT_HASH = pa.field("content_hash", pa.binary(16), nullable=False)
ERROR = pa.field("error", pa.string())
ERROR_MESSAGE = pa.field("error_message", pa.string())

SAMPLES = pa.schema(
    [
        UID,
        DATASET,
        KEY,
        FILE,
        LINE,
        RECORD_ID,
        RECORD,
        TURNS,
        IMAGE_REFS,
        N_IMAGES,
        N_TURNS,
        N_TOKENS,
        SOURCE,
        REPAIRED,
        CONTENT_HASH,
        ERROR,
        ERROR_MESSAGE,
    ]
)

SHA256 = pa.field("sha256", pa.binary(32), nullable=False)

IMAGES = pa.schema(
    [
        SHA256,
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("format", pa.string()),
        pa.field("mode", pa.string()),
        pa.field("n_bytes", pa.int64(), nullable=False),
        pa.field("pixels_hash", pa.binary(16)),
        pa.field("phash", pa.binary(8)),
        pa.field("phash256", pa.binary(32)),
        pa.field("phash_flip", pa.binary(8)),
        pa.field("phash_inner", pa.binary(8)),
        pa.field("phash256_inner", pa.binary(32)),
        pa.field("phash_unframed", pa.binary(8)),
        pa.field("phash256_unframed", pa.binary(32)),
        pa.field("phash_centre", pa.binary(8)),
        pa.field("phash256_centre", pa.binary(32)),
        pa.field("phash_core", pa.binary(8)),
        pa.field("phash256_core", pa.binary(32)),
        pa.field("phash_inner_centre", pa.binary(8)),
        pa.field("phash256_inner_centre", pa.binary(32)),
        pa.field("brightness", pa.float32()),
        pa.field("contrast", pa.float32()),
        pa.field("blur", pa.float32()),
        pa.field("entropy", pa.float32()),
        pa.field("sharpness", pa.float32()),
        pa.field("edges", pa.float32()),
        pa.field("grey_share", pa.float32()),
        pa.field("border", pa.float32()),
        pa.field("generator", pa.string()),
        pa.field("generator_mark", pa.string()),
        pa.field("software", pa.string()),
        pa.field("camera", pa.string()),
        ERROR,
        ERROR_MESSAGE,
    ]
)


def figure(
    name: str, unit: str = "", range_: str = "", better: str = "neither", kind: pa.DataType | None = None
) -> pa.Field:
    """A column of figures, float32 unless said: their unit, range, and which way is better."""
    about = {"unit": unit, "range": range_, "better": better}
    return pa.field(name, kind or pa.float32(), metadata=about)


def vector(name: str, dim: int, *, nullable: bool = True) -> pa.Field:
    """A column of unit vectors: float32, `dim` wide, null where the modality is absent."""
    return pa.field(name, pa.list_(pa.float32(), dim), nullable=nullable)


def conform(batch: pa.RecordBatch, declared: pa.Schema, *, stage: str) -> pa.RecordBatch:
    """Return `batch` with exactly the declared columns, in the declared order.

    Raises:
        SchemaError: a declared column is absent, has another type, or holds a forbidden null.
    """
    missing = [name for name in declared.names if name not in batch.schema.names]
    if missing:
        raise SchemaError(f"{stage}: columns {missing} are missing; the batch has {batch.schema.names}")
    arrays = []
    for field in declared:
        column = batch.column(field.name)
        if column.type != field.type:
            raise SchemaError(f"{stage}: {field.name} is {column.type}, declared {field.type}")
        if not field.nullable and column.null_count:
            raise SchemaError(
                f"{stage}: {field.name} holds {column.null_count} nulls and is declared not null"
            )
        arrays.append(column)
    return pa.RecordBatch.from_arrays(arrays, schema=declared)


CHECKED = pa.schema(
    [
        UID,
        DATASET,
        RECORD_ID,
        SOURCE,
        FILE,
        LINE,
        N_TURNS,
        N_IMAGES,
        N_TOKENS,
        pa.field("image_bytes", pa.int64(), nullable=False),
        CONTENT_HASH,
        pa.field("images_hash", pa.binary(16)),  # of the bytes of all images, in order; null without images
        pa.field("pixels_hash", pa.binary(16)),  # of their pixels; null also where one cannot be decoded
        pa.field("shown_hash", pa.binary(16)),  # of the turns and these pixels: what a model is shown
        pa.field("text_hash", pa.binary(16)),  # of all turns, without marks of images; null without text
        pa.field("words_hash", pa.binary(16)),  # of their words; case, space and punctuation aside; likewise
        pa.field("telling_hash", pa.binary(16)),  # of their numbers, names, negations and choices; likewise
        ERROR,
        ERROR_MESSAGE,
    ]
)
