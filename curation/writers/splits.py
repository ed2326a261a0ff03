"""Which split each kept sample is in: samples that share an image are in one."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from curation.storage.ids import hashed
from curation.storage.shown import image_numbers, joined
from curation.storage.store import Store
from schemas.errors import ExportError

TRAIN = "train"
_SHARE = re.compile(r"(?P<name>[A-Za-z0-9]\w*)=(?P<share>\d*\.?\d+)(?P<percent>%?)")


def parse_shares(text: str) -> dict[str, float]:
    """`train=0.98,val=0.02` or `train=98%,val=2%` as shares by split; they sum to 1.

    Raises:
        ExportError: it is none of these.
    """
    found = [_SHARE.fullmatch(part.strip()) for part in text.split(",")]
    shares = {
        part["name"]: float(part["share"]) / (100 if part["percent"] else 1)
        for part in found
        if part is not None
    }
    known = len(shares) == len(found) and all(shares.values())
    if not known or abs(sum(shares.values()) - 1) > 1e-6:
        raise ExportError(
            f"--split {text}: name each split once, with shares that sum to 1: train=0.98,val=0.02"
        )
    return shares


def assign(store: Store, shares: Mapping[str, float], seed: int) -> dict[str, NDArray[np.bool_]]:
    """(rows of the pool,) of each split, which of the kept rows are in it.

    Groups of samples that are joined by images, however indirectly, stay together; their order is drawn from
    a hash of their uids and `seed`. Sizes miss the shares by half a group at most. A sample without images is
    a group of its own.
    """
    decided = store.read("selection", ["uid", "keep"])
    keep = decided["keep"].to_numpy()
    offsets, images = image_numbers(store)
    owner = np.repeat(np.arange(len(keep)), np.diff(offsets))
    shown = keep[owner]  # what others show joins nothing
    group = joined(len(keep), owner[shown], len(keep) + images[shown])
    drawn = hashed(decided["uid"], seed)
    first = np.full(len(keep), np.iinfo(np.uint64).max)
    np.minimum.at(first, group, drawn)  # one number a group, whatever the order of its samples
    order = np.flatnonzero(keep)
    order = order[np.lexsort((group[order], first[group[order]]))]
    ends = np.flatnonzero(np.diff(group[order], append=-1)) + 1  # of groups
    found, start, total = {}, 0, 0.0
    for name, share in shares.items():
        total += share
        stop = int(ends[np.argmin(np.abs(ends - total * len(order)))]) if len(ends) else 0
        mask = np.zeros(len(keep), bool)
        mask[order[start:stop]] = True
        found[name], start = mask, max(start, stop)
    return found
