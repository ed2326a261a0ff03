"""Filters that are measured on the pool before they decide: figures, thresholds, and what select does."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from curation.generate import KINDS
from curation.steps.cluster.groups import MOST_GROUPS, groups_of_clusters
from curation.steps.select import cells
from curation.steps.select.cells import drawn, scored
from curation.steps.select.measured import MeasureFilters, Pairs, floors
from curation.storage.rows import vectors
from curation.workspace import Workspace
from jobs.cli import cli
from schemas.errors import CurateError
from scorers.alignment import Bank, standardise
from scorers.separation import area, interval, standard_error, threshold, wrong_share

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# --- figures -----------------------------------------------------------------------------------------------


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    true, wrong = rng.integers(0, 9, 40).astype(float) + 2, rng.integers(0, 9, 70).astype(float)
    counted = np.mean([(t > w) + (t == w) / 2 for t in true for w in wrong])
    assert area(true, wrong) == pytest.approx(float(counted), abs=1e-12)
    assert area(true, wrong) == area(true[::-1], np.roll(wrong, 3))
    assert (area(wrong + 99, wrong), area(wrong, wrong), area(wrong - 99, wrong)) == (1.0, 0.5, 0.0)


def test_the_standard_error_is_that_of_hanley_and_mcneil() -> None:
    # By hand for 0.8 on 2 of each: Q1 = 2/3, Q2 = 32/45.
    by_hand = (0.8 * 0.2 + (2 / 3 - 0.64) + (32 / 45 - 0.64)) / 4
    assert standard_error(0.8, 2) == pytest.approx(by_hand**0.5)


@pytest.mark.parametrize("found", [0.0, 0.5, 0.8, 0.97, 1.0])
def test_few_pairs_make_a_wide_interval(found: float) -> None:
    spans = [interval(found, n) for n in (3, 10, 50, 250)]
    widths = [high - low for low, high in spans]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 0.4
    assert all(0 <= low <= found <= high <= 1 for low, high in spans)
    low, high = interval(1 - found, 50)
    assert spans[2] == pytest.approx((1 - high, 1 - low))


def test_what_tells_all_of_nine_pairs_apart_is_not_trusted() -> None:
    assert interval(1.0, 9)[0] < 0.8 < interval(1.0, 11)[0]


def matrix(rng: np.random.Generator, n: int, apart: float) -> tuple[Floats, Floats]:
    """Scores of n true pairs, and of all others of their images and texts, which share what these bring."""
    scores = rng.normal(size=(n, n)) + rng.normal(size=(n, 1)) / 2 + rng.normal(size=(1, n)) / 2
    own = np.eye(n, dtype=bool)
    return scores[own] + apart, scores[~own]


@pytest.mark.parametrize("apart", [0.0, 1.5, 2.8])
def test_intervals_hold_the_true_area_although_pairs_share_images(apart: float) -> None:
    rng = np.random.default_rng(1)
    truth = area(*matrix(rng, 1500, apart))
    held = 0
    for _ in range(200):
        low, high = interval(area(*matrix(rng, 40, apart)), 40)
        held += low <= truth <= high
    assert held >= 190


# --- the threshold -----------------------------------------------------------------------------------------


def normal(rng: np.random.Generator, n: int) -> Floats:
    return rng.normal(size=n)


def skewed(rng: np.random.Generator, n: int) -> Floats:
    """A tail to the left, of skewness -1.3, as real scores have it."""
    found: Floats = (2.4 - rng.gamma(2.4, size=n)) / np.sqrt(2.4)
    return found


@pytest.mark.parametrize("drawn_from", [normal, skewed])
@pytest.mark.parametrize("n", [60, 250])
def test_clean_groups_keep_their_pairs(drawn_from: Callable[..., Floats], n: int) -> None:
    rng = np.random.default_rng(2)
    shares, lost, unseen = [], [], []
    for _ in range(300):
        true, wrong = drawn_from(rng, n) + 2.5, rng.normal(size=4000)
        share = wrong_share(true, wrong)
        shares.append(share)
        cut = threshold(true, wrong, share=share, size=n, max_loss=0.01)
        assert cut is not None
        assert cut <= np.median(wrong)
        lost.append(float((true < cut).mean()))
        of_many = threshold(true, wrong, share=share, size=100 * n, max_loss=0.01)
        if of_many is not None:
            unseen.append(float((drawn_from(rng, 20_000) + 2.5 < of_many).mean()))
    assert np.mean(np.array(shares) > 0) <= 0.01
    assert np.mean(np.array(lost) <= 0.01) >= 0.99
    assert np.mean(lost) <= 0.01
    # Of 60 pairs the lowest is expected above 1.6 % of the others, so none is low enough.
    assert not unseen if n == 60 else np.mean(unseen) <= 0.01


@pytest.mark.parametrize("drawn_from", [normal, skewed])
def test_many_wrong_pairs_are_found(drawn_from: Callable[..., Floats]) -> None:
    rng = np.random.default_rng(3)
    shares, recall, lost = [], [], []
    for _ in range(200):
        right, swapped, wrong = drawn_from(rng, 154) + 4, rng.normal(size=102), rng.normal(size=4000)
        true = np.concatenate([right, swapped])
        share = wrong_share(true, wrong)
        cut = threshold(true, wrong, share=share, size=256, max_loss=0.01)
        assert cut is not None
        shares.append(share)
        recall.append(float((swapped < cut).mean()))
        lost.append(float((right < cut).mean()))
    certain = np.array(shares) > 0
    assert certain.mean() > 0.3
    assert np.mean(np.array(shares)[certain]) == pytest.approx(102 / 256, abs=0.05)
    # Not above the median of the mismatched at most half of them can be found; 1 % of all would be 2.5 %.
    assert np.mean(np.array(recall)[certain]) > 0.35
    assert np.mean(np.array(recall)[~certain]) < 0.04
    assert np.mean(lost) <= 0.01


def test_no_threshold_is_above_the_middle_of_the_mismatched() -> None:
    true, wrong = np.arange(100.0) + 50, np.arange(101.0)
    assert threshold(true, wrong, share=0.0, size=100, max_loss=0.5) == 50.0
    assert threshold(true + 50, wrong, share=0.0, size=100, max_loss=0.01) == 50.0
    assert threshold(true - 80, wrong, share=0.0, size=100, max_loss=0.02) == -28.0


# --- a pool ------------------------------------------------------------------------------------------------

TOLD, COIN = 72, 36  # samples of the two datasets
SWAPPED = 4


def record(kind: str, number: int, folder: Path) -> dict[str, Any]:
    sample = KINDS[kind](random.Random(f"measured/{kind}/{number}"))
    assert sample.image is not None
    name = f"{kind}-{number}"
    sample.image.save(folder / f"{name}.png")
    question = {"from": "human", "value": "<image>\nWhat is in the picture?"}
    answer = {"from": "gpt", "value": sample.caption}
    return {"id": name, "image": f"{name}.png", "conversations": [question, answer]}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`told`: pictures of three kinds, SWAPPED pairs with each other's text. `coin`: each with the
    text of the next."""
    folder = tmp_path_factory.mktemp("measured")
    kinds = ("charts", "shapes", "rendered")
    told = [record(kinds[i % 3], i, folder) for i in range(TOLD)]
    for i in range(0, 2 * SWAPPED, 2):
        left, right = told[i]["conversations"], told[i + 1]["conversations"]
        told[i]["conversations"], told[i + 1]["conversations"] = right, left
    coin = [record("counting", i, folder) for i in range(COIN)]
    texts = [one["conversations"] for one in coin]
    for one, text in zip(coin, texts[1:] + texts[:1], strict=True):
        one["conversations"] = text
    for name, records in {"told": told, "coin": coin}.items():
        (folder / f"{name}.json").write_text(json.dumps(records))
    data = {name: folder / f"{name}.json" for name in ("told", "coin")}
    Workspace.init(folder / "work", data, images=[folder], model="builtin:tiny")
    Workspace(folder / "work", SETTINGS).run("cluster")
    return folder / "work"


SETTINGS = {
    "cluster.k": 1,
    "capability.backend": "none",
    "prune.semantic": False,
    "run.shard_rows": 32,
    "select.max_loss": 0.05,
    "select.budget": "100%",
    "select.strategy": "random",
}


def selected(pool: Path, **settings: Any) -> tuple[Workspace, dict[str, Any]]:
    workspace = Workspace(pool, {**SETTINGS, **{f"select.{name}": value for name, value in settings.items()}})
    return workspace, workspace.run("select")


def test_where_the_encoder_cannot_tell_nothing_is_left_out(pool: Path) -> None:
    workspace, counts = selected(pool)
    told, coin = (
        next(g for g in workspace.filters()["alignment"]["groups"] if g["dataset"] == name and g["clusters"])
        for name in ("told", "coin")
    )
    assert told["low"] >= 0.8 > coin["low"]
    assert coin["threshold"] is None
    assert 0 < told["left_out"] <= 0.05 * TOLD
    assert counts["measured"] == {
        "n_groups": 2,
        "n_deciding": 1,
        "n_samples": TOLD + COIN,
        "n_decided": TOLD,
    }
    assert counts["filtered"]["alignment >= threshold of its group"] == told["left_out"]
    rows = pl.DataFrame(workspace.store.read("selection").to_pylist())
    of = pl.Series(workspace.store.read("checked", ["dataset"])["dataset"])
    assert rows["alignment_floor"].is_null().to_list() == (of == "coin").to_list()
    low = pl.Series(workspace.store.read("alignment")["alignment"]) < rows["alignment_floor"]
    assert (
        (rows["clause"] == "alignment >= threshold of its group").fill_null(False) == low.fill_null(False)
    ).all()
    # Those that go are among the swapped ones.
    gone = set(workspace.store.read("checked", ["record_id"])["record_id"].filter(low.to_arrow()).to_pylist())
    kinds = ("charts", "shapes", "rendered")
    assert gone <= {f"{kinds[i % 3]}-{i}" for i in range(2 * SWAPPED)}


def test_a_stricter_setting_leaves_all_in(pool: Path) -> None:
    workspace, counts = selected(pool, min_auc=0.999)
    assert counts["measured"]["n_deciding"] == 0
    assert "alignment >= threshold of its group" not in counts["filtered"]
    assert workspace.store.read("filters")["threshold"].null_count == len(workspace.store.read("filters"))
    # The swapped ones are still to be had by hand.
    _, counts = selected(pool, min_auc=0.999, where=("alignment > 0",))
    assert counts["filtered"]["alignment > 0"] > 0


def test_without_default_filters_nothing_is_measured(pool: Path, tmp_path: Path) -> None:
    names = [state.stage for state in Workspace(pool, SETTINGS).states()]
    assert "filters" in names
    off = {**SETTINGS, "select.default_filters": False}
    assert "filters" not in [state.stage for state in Workspace(pool, off).states()]
    _, counts = selected(pool, default_filters=False)
    assert "measured" not in counts
    assert counts["n_filtered"] == 0


def test_pairs_are_scored_as_alignment_scores_them(pool: Path) -> None:
    store = selected(pool)[0].store
    sample, sizes = drawn(store, groups_of_clusters(store))
    assert sizes == {("told", 0): TOLD, ("coin", 0): COIN}
    pairs = Pairs.of(store, sample)
    rows = np.flatnonzero(sample["dataset"].to_numpy() == "told")
    true, wrong = pairs.scores(rows)
    assert np.abs(true - pairs.alignment[rows]).max() < 0.01
    assert len(wrong) == len(rows) * (len(rows) - 1)
    # Image i with text j, as if that were a sample of the pool.
    bank = store.read("mismatch_bank", ["image", "text"])
    held = Bank(vectors(bank["image"]), vectors(bank["text"]))
    images, texts = pairs.images[rows], np.roll(pairs.texts[rows], -1, axis=0)
    cosines = np.einsum("ij,ij->i", images.astype(np.float64), texts)
    as_sample = standardise(2 * cosines - held.nearness(images, texts), pairs.mean, pairs.deviation)
    n = len(rows)
    at = [i * (n - 1) + (i if i < n - 1 else 0) for i in range(n)]  # j = i + 1 among those that are not i
    assert np.abs(wrong[at] - as_sample).mean() < 0.1
    assert np.corrcoef(wrong[at], as_sample)[0, 1] > 0.99


def test_the_sample_is_bounded_and_that_of_the_smallest_hashes(
    pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = selected(pool)[0].store
    groups = groups_of_clusters(store)
    monkeypatch.setattr(cells, "MOST_A_CELL", 20)
    monkeypatch.setattr(cells, "MOST_GROUPS", 1)
    sample, sizes = drawn(store, groups, 36)
    assert sum(sizes.values()) == TOLD + COIN
    everything = pl.concat(scored(store, groups)).sort("hash")
    for name in ("told", "coin"):
        found = sample.filter(pl.col("dataset") == name)["hash"].to_list()
        assert found == everything.filter(pl.col("dataset") == name)["hash"].head(18).to_list()


def test_many_clusters_are_merged_into_groups_of_like_ones(pool: Path, tmp_path: Path) -> None:
    fine = {**SETTINGS, "cluster.k": 80}
    workspace = Workspace(pool, fine)
    workspace.run("cluster")
    store = workspace.store
    groups = groups_of_clusters(store)
    assert len(groups) == store.manifest("centroids").rows > MOST_GROUPS >= len(set(groups.tolist()))
    (output,) = MeasureFilters(0.8, 0.05).run(store)
    rows = [row for row in output.batch.to_pylist() if row["clusters"] is not None]
    assert any(len(row["clusters"]) > 1 for row in rows)
    assert sum(row["n_samples"] for row in rows) == TOLD + COIN
    centres = vectors(store.read("centroids")["centroid"])
    alike = groups[:, None] == groups[None, :]
    np.fill_diagonal(alike, False)
    assert (centres @ centres.T)[alike].mean() > (centres @ centres.T)[~alike].mean()
    Workspace(pool, SETTINGS).run("cluster")


def test_a_cluster_that_was_cut_is_one_group(pool: Path) -> None:
    workspace = Workspace(pool, {**SETTINGS, "cluster.max_size": 20, "cluster.points": 1})
    counts = workspace.run("select")
    assert counts["n_clusters"] > workspace.store.manifest("centroids").rows
    groups = [row for row in workspace.filters()["alignment"]["groups"] if row["clusters"] is not None]
    assert sum(row["n_samples"] for row in groups) == TOLD + COIN
    assert floors(workspace.store).is_not_null().sum() == counts["measured"]["n_decided"]


def test_status_and_explain_say_what_was_measured(pool: Path) -> None:
    workspace, _ = selected(pool)
    told = workspace.explain("charts-33")["matches"][0]["measured"]
    assert told["threshold"] is not None
    coin = workspace.explain("counting-3")["matches"][0]["measured"]
    assert coin["threshold"] is None

    def said(*words: str) -> str:
        return CliRunner().invoke(cli, ["-C", str(pool), *words], catch_exceptions=False).output

    table = said("status", "--filters")
    assert "cannot tell" in table
    assert f"{told['threshold']:.2f}" in table
    assert len(json.loads(said("status", "--filters", "--json"))["alignment"]["groups"]) == 4
    assert "alignment leaves out what is below" in said("explain", "charts-33")
    assert "alignment decides nothing here: AUC 0." in said("explain", "counting-3")


def test_status_of_what_was_never_measured_says_so(pool: Path, tmp_path: Path) -> None:
    made = Workspace.init(
        tmp_path / "new", {"told": pool.parent / "told.json"}, images=[pool.parent], model="builtin:tiny"
    )
    made.ingest()
    with pytest.raises(CurateError, match="curate select --budget 30%"):
        made.filters()
