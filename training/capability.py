"""Train the built-in capability probe: `python -m training.capability --data ../shared/data`."""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.commands.probe_fit import Examples, examples, train
from curation.models.probe import PROBES, write_probe
from curation.models.spec import BUILTIN, model_identity
from curation.workspace import Workspace
from scorers.taxonomy import CAPABILITIES, STYLES
from training import weak_labels as weak
from training.skills import drawn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

FOLDS = 5
DRAWN = 3600

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labelled:
    """Examples with the source of each: a set of the mixture, or `drawn:KIND`.

    `styles` are those of the templates, which `found.labels` are but for what `weak.taught` corrects.
    """

    found: Examples
    sources: NDArray[np.str_]  # (n,)
    styles: NDArray[np.bool_]  # (n, 9)
    dim: int

    def among(self, keep: NDArray[np.bool_]) -> Examples:
        """The examples where `keep` is True."""
        rows = np.flatnonzero(keep)
        return Examples(
            [self.found.uids[i] for i in rows],
            self.found.rows[rows],
            self.found.labels[rows],
            [self.found.groups[i] for i in rows],
        )


def mixture(data: Path, tier: str) -> list[dict[str, Any]]:
    """The records of the mixture from sources of a tier: A may train what ships, B only tests it."""
    root = data / "mixture"
    sources = json.loads((root / "sources.json").read_text(encoding="utf-8"))["sets"]
    records = json.loads((root / "mixture.json").read_text(encoding="utf-8"))
    return [record for record in records if sources[record["source"]]["tier"] == tier]


def labelled(
    folder: Path, data: Path, n_drawn: int, seed: int, tiers: str = "A", model: str = BUILTIN
) -> Labelled:
    """Embed tier A and drawn samples in a workspace in `folder`, and label them.

    With `tiers` "AB" tier B is there too, with the styles of its templates and no points.
    """
    truth = {"drawn": _draw(folder, n_drawn, seed)} if n_drawn else {}
    told = {name: [label[len(CAPABILITIES) :] > 0 for label in labels] for name, labels in truth.items()}
    for tier in tiers:
        records = mixture(data, tier)
        (folder / f"{tier}.json").write_text(json.dumps(records), encoding="utf-8")
        truth[tier] = [_label(record, tier) for record in records]
        told[tier] = [vector(None, weak.styles(record))[len(CAPABILITIES) :] > 0 for record in records]
    workspace = _workspace(folder, data, list(truth), model)
    log.info("embedding")
    workspace.embed()
    samples = workspace.store.read("samples", ["uid", "dataset", "key", "source"]).to_pydict()
    labels, sources, styles = {}, {}, {}
    for uid, dataset, key, source in zip(*samples.values(), strict=True):
        place = int(key.rpartition("#")[2])
        labels[uid], styles[uid] = truth[dataset][place], told[dataset][place]
        sources[uid] = source if dataset != "drawn" else f"drawn:{source}"
    found = examples(workspace.store, labels)
    named = np.array([sources[uid] for uid in found.uids])
    return Labelled(found, named, np.stack([styles[uid] for uid in found.uids]), workspace.model.dim)


def _workspace(folder: Path, data: Path, names: list[str], model: str) -> Workspace:
    if (folder / "curate.toml").exists():
        return Workspace(folder)
    datasets = {name: folder / f"{name}.json" for name in names}
    return Workspace.init(folder, datasets, images=[folder, data / "mixture"], model=model)


def _draw(folder: Path, n: int, seed: int) -> list[NDArray[np.float32]]:
    """Write `n` drawn samples as a dataset, and return their labels."""
    log.info("drawing %d samples", n)
    (folder / "drawn").mkdir(parents=True, exist_ok=True)
    records, labels = [], []
    for number in range(n):
        sample = drawn(number, seed)
        paths = [f"drawn/{number}-{i}.png" for i in range(len(sample.images))]
        for path, image in zip(paths, sample.images, strict=True):
            image.save(folder / path, compress_level=1)
        turns = [text for turn in sample.turns for text in turn]
        said = [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(turns)]
        records.append(
            {
                "id": number,
                "source": sample.kind,
                "conversations": said,
                **({"image": paths} if paths else {}),
            }
        )
        labels.append(vector(sample.points, sample.styles))
    (folder / "drawn.json").write_text(json.dumps(records), encoding="utf-8")
    return labels


def _label(record: Mapping[str, Any], tier: str) -> NDArray[np.float32]:
    if tier == "B":
        return vector(None, weak.styles(record))
    return vector(weak.points(record), weak.taught(record))


def vector(points: Mapping[str, float] | None, styles: Iterable[str]) -> NDArray[np.float32]:
    """(23,) labels, columns as OUTPUTS. What is not named is 0; without `points` they are NaN: unknown."""
    given = [np.nan if points is None else points.get(name, 0.0) for name in CAPABILITIES]
    held = set(styles)
    return np.array([*given, *(float(name in held) for name in STYLES)], np.float32)


def main() -> None:
    """Train and write the probe."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--model", default=BUILTIN, choices=list(PROBES), help="the CLIP it belongs to")
    flags.add_argument("--out", type=Path, help="by default where curate looks for that of --model")
    flags.add_argument("--data", type=Path, required=True, help="folder that holds mixture/")
    flags.add_argument("--drawn", type=int, default=DRAWN, help="samples to draw")
    flags.add_argument("--seed", type=int, default=0, help="of what is drawn")
    flags.add_argument("--keep", type=Path, help="work in this folder and keep it; else a temporary one")
    given = flags.parse_args()
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        data = labelled(folder, given.data, given.drawn, given.seed, model=given.model)
    found = train(data.found, folds=FOLDS, say=log.info)
    names, counts = np.unique(data.sources, return_counts=True)
    about = {
        "labels": "weak: rules on sources, templates and wording (training/weak_labels.py)",
        "data": {str(name): int(count) for name, count in zip(names, counts, strict=True)},
        "seed": given.seed,
        "cross_validation": found.figures,
    }
    write_probe(given.out or PROBES[given.model], found.weights, model_identity(given.model), data.dim, about)
    log.info(
        "%d samples: macro-F1 %.3f, mean Spearman %.3f; %.0f s",
        len(data.found.uids), found.figures["macro_f1"], found.figures["mean_spearman"],
        time.monotonic() - start,
    )  # fmt: skip


if __name__ == "__main__":
    main()
