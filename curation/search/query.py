"""A text or a picture as a vector of the pool's own encoder."""

from __future__ import annotations

import numpy as np

from clustering.vectors import unit
from curation.models.encoders import kind_of
from curation.models.resolved import Model
from curation.readers.images import BadImage, decode, to_rgb
from curation.search.sides import Floats
from curation.storage.store import Store
from schemas.errors import ConfigError, ReadError


def demand_same_model(store: Store, model: str) -> None:
    """Refuse a model, as the settings call it, whose vectors lie in another space than those of the store.

    Raises:
        ConfigError: naming both.
        ModelUnavailable: there is no such model.
    """
    made = store.manifest("image_vectors").stage["params"]["model"]["identity"]
    if made != kind_of(model).identity(model):
        name = made.get("model", "another model")
        raise ConfigError(
            f"the pool is embedded by {name}, and the settings say {model}; name that one with --model, or "
            "run `curate embed`"
        )


def of_text(model: Model, text: str) -> Floats:
    """(d,) the unit vector of a text: the mean of its pieces where it is longer than the encoder's context.

    Raises:
        ConfigError: there are no words in it.
    """
    encoder = model.encoder()
    pieces = encoder.split(text)
    if not pieces:
        raise ConfigError("the text to search for is empty; write a few words, such as 'a red car'")
    found = encoder.encode_texts(encoder.tokenize(pieces))
    vector: Floats = unit(found.mean(axis=0, keepdims=True))[0]
    return vector


def of_picture(model: Model, data: bytes, name: str, *, max_pixels: int) -> Floats:
    """(d,) the unit vector of the picture in `data`.

    Raises:
        ReadError: it cannot be decoded; `name` is what it is called in the sentence.
    """
    encoder = model.encoder()
    try:
        picture = to_rgb(decode(data, max_pixels=max_pixels))
    except BadImage as error:
        raise ReadError(f"{name} cannot be searched for: {error}") from None
    vector: Floats = encoder.encode_images(np.stack([encoder.preprocess(picture)]))[0]
    return vector
