"""Reads CSV and the tars of URL, a pattern in braces, with open_clip's loaders. CSV URL OUT."""

from __future__ import annotations

import sys

from open_clip_train.data import CsvDataset, get_wds_dataset
from open_clip_train.params import parse_args

from tests.consumers.seen import picture, tell


def of_csv(path: str) -> list[list[str]]:
    """Picture and title of each row, with open_clip's settings as they are."""
    settings = parse_args(["--train-data", path])
    found = CsvDataset(
        settings.train_data,
        picture,
        img_key=settings.csv_img_key,
        caption_key=settings.csv_caption_key,
        sep=settings.csv_separator,
        tokenizer=list,  # open_clip's takes texts and gives one a row
    )
    return [list(found[number]) for number in range(len(found))]


def of_tars(url: str) -> list[list[str]]:
    """Picture and caption of each pair in one epoch, whose length open_clip finds beside the tars."""
    settings = parse_args(["--train-data", url, "--batch-size", "1", "--workers", "1"])
    settings.world_size = 1
    found = get_wds_dataset(settings, picture, is_train=True, tokenizer=lambda text: [text])
    return [[pictures[0], captions[0]] for pictures, captions in found.dataloader]


tell({"csv": of_csv(sys.argv[1]), "tars": of_tars(sys.argv[2])})
