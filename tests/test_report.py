"""`curate report`: what its sections hold, and the page itself in a browser, which must ask for nothing."""

from __future__ import annotations

import base64
import json
import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from curation.generate.pool import write_pool
from curation.report.coverage import coverage
from curation.report.outcomes import Outcomes
from curation.report.page import as_json
from curation.report.pairs import doubt, near_misses, pairs
from curation.report.provenance import provenance
from curation.report.scores import cuts
from curation.report.space import NONE, packed, projected
from curation.workspace import Workspace
from schemas.config import parse
from schemas.errors import WorkspaceError
from tests.browser import Visit

if TYPE_CHECKING:
    from playwright.sync_api import Page

N = 72
SECTIONS = [
    "overview",
    "map",
    "capabilities",
    "scores",
    "filters",
    "clusters",
    "pairs",
    "defects",
    "quarantine",
    "sources",
    "made",
]
HOSTILE = (
    "<script>window.hacked = true</script>",
    "</script><img src=x onerror='window.hacked = true'>",
    "\"quotes\" & 'more' {{ 7 * 7 }} ${window.hacked = true} `x` -->",
    "\u202eright to left שלום مرحبا",
    "👩‍👩‍👧‍👦 🎉",
    "\x1b[31mred\x1b[0m\x07",
    "]]> <!-- \u2028\u2029",
    "lorem <b>ipsum</b> " * 5600,
)
BEFORE = ("samples", "distinct_images", "image_places", "images", "checked")  # tables of `ingest`


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A selection of N drawn records, some of which say what a page may take for its own."""
    folder = tmp_path_factory.mktemp("report")
    planted = {record["index"] for record in write_pool(folder / "pool", N, seed=4)["records"]}
    records = json.loads((folder / "pool" / "pool.json").read_text())
    clean = [record for at, record in enumerate(records) if at not in planted and "image" in record]
    for at, text in enumerate(HOSTILE):
        record = clean[3 * at]
        record["conversations"][-1]["value"] = text
        record["id"], record["source"] = f"hostile-{at} {text[:60]}", text[:60]
    (folder / "pool" / "pool.json").write_text(json.dumps(records))
    workspace = Workspace.init(
        folder, {"pool": folder / "pool" / "pool.json"}, images=[folder / "pool"], model="builtin:tiny"
    )
    workspace.select(budget="30%")
    return workspace.with_settings({"select.budget": "30%"})


@pytest.fixture(scope="module")
def page(pool: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    pool.report(path)
    return path


# --- what the sections hold ---------------------------------------------------------------------------------


def test_the_same_workspace_gives_the_same_bytes(pool: Workspace, page: Path, tmp_path: Path) -> None:
    found = pool.report(tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()
    assert found["bytes"] == page.stat().st_size
    assert (found["n_read"], found["left_out"]) == (N, [])


def test_a_page_cannot_be_written_where_a_folder_is(pool: Workspace, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="--out names a file"):
        pool.report(tmp_path)


def test_every_sample_has_one_outcome_and_those_are_the_counts_of_select(pool: Workspace) -> None:
    outcomes, counts = Outcomes.of(pool.store), pool.counts("select")
    assert len(outcomes.code) == counts["n_read"] == sum(outcomes.counts.values())
    assert outcomes.counts["kept"] == counts["n_selected"] == outcomes.kept.sum()
    assert outcomes.counts["quarantined"] == counts["n_quarantined"]
    pruned = {name: n for name, n in outcomes.counts.items() if name in counts["pruned"]}
    assert pruned == counts["pruned"]


def test_the_most_doubtful_pair_comes_first_and_equal_files_last(pool: Workspace) -> None:
    found = pairs(pool.store)
    doubts = [pair["doubt"] for pair in found["pairs"]]
    assert len(doubts) == found["n"] == sum(found["reasons"].values()) > 3
    assert doubts == sorted(doubts, reverse=True)
    assert {pair["doubt"] for pair in found["pairs"] if pair["reason"] == "exact_duplicate"} == {0.0}
    by_uid = {row["uid"].hex(): row["kept_uid"].hex() for row in pool.store.read("pruned").to_pylist()}
    assert {pair["dropped"]["uid"]: pair["kept"]["uid"] for pair in found["pairs"]} == by_uid


def test_pairs_come_in_pages_and_by_reason(pool: Workspace) -> None:
    whole = pairs(pool.store)["pairs"]
    assert pairs(pool.store, limit=2, offset=1)["pairs"] == whole[1:3]
    exact = pairs(pool.store, reason="exact_duplicate")["pairs"]
    assert exact == [pair for pair in whole if pair["reason"] == "exact_duplicate"] != []


def test_doubt_is_oddness_where_there_was_a_second_look_and_distance_elsewhere() -> None:
    rows = pa.table(
        {
            "reason": ["near_duplicate", "redundant", "exact_duplicate"],
            "oddness": [0.25, None, 0.5],
            "similarity": [0.99, 0.75, 1.0],
        }
    )
    assert doubt(rows).tolist() == [0.25, 0.25, 0.0]


def test_pictures_that_came_near_without_being_copies_are_the_looks_above_one(pool: Workspace) -> None:
    odd = [
        value
        for table in ("looks", "near_looks")
        for value in pool.store.read(table, ["oddness"])["oddness"].to_pylist()
        if value is not None and value > 1
    ]
    assert [miss["oddness"] for miss in near_misses(pool.store)] == sorted(odd)[:24]


def test_the_band_of_chance_holds_the_means_of_random_subsets(pool: Workspace) -> None:
    outcomes = Outcomes.of(pool.store)
    found = coverage(pool.store, outcomes)
    assert found is not None
    row = next(row for row in found["capabilities"] if row["name"] == "attribute identification")
    held = pool.store.read("capability", ["cap_attribute_identification"])[0].to_numpy()
    held = held[outcomes.readable & np.isfinite(held)]
    rng = np.random.default_rng(0)
    means = [rng.choice(held, int(outcomes.kept.sum()), replace=False).mean() for _ in range(400)]
    inside = np.mean((row["low"] <= np.array(means)) & (np.array(means) <= row["high"]))
    assert 0.92 <= inside <= 0.99
    assert row["pool"] == pytest.approx(held.mean(), rel=1e-5)


def test_cut_lines_are_those_of_the_filters(pool: Workspace) -> None:
    found = cuts(pool.store)
    assert found["n_answer_words"] == [{"at": 1.0, "text": "≥ 1"}]
    assert found["fidelity"] == [{"at": 0.6, "text": "> 0.6"}]


def test_the_settings_on_the_page_make_the_same_selection_again(pool: Workspace) -> None:
    told = provenance(pool, Outcomes.of(pool.store))["config"]
    settings = parse(tomllib.loads(told))
    assert settings.select.strategy == pool.store.manifest("selection").stage["params"]["strategy"]
    assert (settings.select.budget, settings.embed.model) == ("30%", "builtin:tiny")


def test_the_map_has_the_directions_in_which_vectors_vary_most(pool: Workspace) -> None:
    at = np.flatnonzero(Outcomes.of(pool.store).readable)
    flat, explained = projected(pool.store, at)
    again, _ = projected(pool.store, at)
    assert np.array_equal(flat, again)
    assert np.var(flat[:, 0]) > np.var(flat[:, 1]) > 0
    assert 0 < explained[1] < explained[0] < 1


def test_packed_numbers_come_back_to_within_a_step_and_none_stays_none() -> None:
    column = np.array([-3.0, 0.125, np.nan, 9.0])
    held = packed(column)
    bits = np.frombuffer(base64.b64decode(held["bits"]), "<u2")
    step = (held["high"] - held["low"]) / (NONE - 1)
    assert bits[2] == NONE
    assert held["low"] + bits[[0, 1, 3]] * step == pytest.approx(column[[0, 1, 3]], abs=step / 2)


def test_json_inside_a_page_holds_nothing_that_begins_or_ends_a_tag() -> None:
    text = as_json({"texts": list(HOSTILE)})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"texts": list(HOSTILE)}


# --- the page in a browser ----------------------------------------------------------------------------------


def ready(page: Page, ident: str = "space") -> None:
    """Wait until the chart in the element is drawn."""
    page.locator(f"#{ident}").scroll_into_view_if_needed()
    page.wait_for_selector(f"#{ident} .main-svg", state="attached")


@pytest.mark.browser
@pytest.mark.parametrize(("colours", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_every_section_is_there_in_either_colour_and_on_a_phone(
    visit: Visit, page: Path, colours: str, width: int
) -> None:
    opened = visit(page, colours=colours, width=width)
    idents = opened.locator("main section").evaluate_all("sections => sections.map(each => each.id)")
    assert idents == SECTIONS
    assert opened.locator("section.absent").count() == 0
    for ident in ("space", "radar", "styles"):
        ready(opened, ident)
    opened.locator("#histograms").scroll_into_view_if_needed()
    opened.wait_for_selector("#histograms .main-svg")
    for link in opened.locator(".top nav a").all():
        link.click()
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    ink = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ink[4:-1].split(","))) < 300) is (colours == "dark")


@pytest.mark.browser
def test_a_point_tells_its_picture_and_text_under_the_pointer(visit: Visit, page: Path) -> None:
    opened = visit(page)
    ready(opened)
    assert opened.locator("#hover").is_hidden()
    opened.locator("#find").fill("hostile-0")
    opened.wait_for_function("document.getElementById('shown').textContent === '1 shown'")
    spot = opened.locator("#space .points path").bounding_box()
    assert spot is not None
    opened.mouse.move(spot["x"] - 40, spot["y"])
    opened.mouse.move(spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2, steps=4)
    opened.wait_for_selector("#hover:not([hidden])")
    assert HOSTILE[0] in opened.locator("#hover .text").inner_text()
    assert opened.locator("#hover .tile").count() == 1
    assert "url" in opened.locator("#hover .tile").evaluate("tile => tile.style.backgroundImage")


@pytest.mark.browser
def test_the_map_is_coloured_and_filtered_by_what_the_pool_has(
    visit: Visit, page: Path, pool: Workspace
) -> None:
    outcomes = Outcomes.of(pool.store)
    opened = visit(page)
    ready(opened)
    shown = opened.locator("#shown")
    assert shown.inner_text() == f"{outcomes.readable.sum()} shown"
    opened.locator("#which").select_option(label="kept")
    assert shown.inner_text() == f"{outcomes.kept.sum()} shown"
    opened.locator("#which").select_option("")
    for by in ("cluster", "source", "score:alignment", "outcome"):
        opened.locator("#colour").select_option(by)
        assert shown.inner_text() == f"{outcomes.readable.sum()} shown"
    opened.locator("#keys button", has_text="kept").click()
    assert shown.inner_text() == f"{outcomes.readable.sum() - outcomes.kept.sum()} shown"
    opened.locator("#find").fill("no sample says this")
    opened.wait_for_function("document.getElementById('shown').textContent === '0 shown'")


@pytest.mark.browser
def test_pairs_are_filtered_by_reason_and_by_words(visit: Visit, page: Path, pool: Workspace) -> None:
    found = pairs(pool.store)
    opened = visit(page)
    cards = opened.locator("#list .pair:visible")
    assert cards.count() == min(found["n"], 12)
    assert cards.first.locator("img").count() == 2
    opened.locator("#reasons .chip[data-reason=exact_duplicate]").click()
    assert cards.count() == found["reasons"]["exact_duplicate"]
    opened.locator("#reasons .chip").first.click()
    opened.locator("#words").fill(found["pairs"][0]["dropped"]["id"])
    assert cards.count() == 1
    opened.locator("#words").fill("no pair says this")
    assert (cards.count(), opened.locator("#nopairs").is_visible()) == (0, True)


@pytest.mark.browser
def test_hostile_captions_are_text_and_nothing_else(visit: Visit, page: Path) -> None:
    opened = visit(page)
    ready(opened)
    opened.locator("#colour").select_option("source")
    assert opened.evaluate("window.hacked") is None
    assert opened.locator("main img:not([src^='data:image/webp'])").count() == 0
    assert opened.locator("main script").count() == 0
    named = opened.locator("#sources tbody th").all_inner_texts()
    assert {"<script>window.hacked = true</script>", "👩‍👩‍👧‍👦 🎉"} <= set(named)
    # What turns a line round ends with its own cell.
    assert (
        opened.locator("#sources tbody th").first.evaluate("cell => getComputedStyle(cell).unicodeBidi")
        == "isolate"
    )
    assert max(map(len, opened.locator(".said").all_inner_texts())) < 1000


@pytest.mark.browser
def test_the_theme_can_be_switched_and_charts_follow(visit: Visit, page: Path) -> None:
    opened = visit(page, colours="light")
    ready(opened, "styles")
    colour = "getComputedStyle(document.querySelector('#styles .gridlayer path')).stroke"
    before = opened.evaluate(colour)
    opened.locator("#theme").click()
    assert opened.evaluate("document.documentElement.dataset.theme") == "dark"
    assert opened.evaluate(colour) != before


@pytest.mark.browser
@pytest.mark.parametrize("step", ["ingest", "prune"])
def test_a_page_of_what_is_not_selected_says_what_is_missing(
    visit: Visit, pool: Workspace, tmp_path: Path, step: str
) -> None:
    folder = tmp_path / "work"
    shutil.copytree(str(pool.store.root), folder / ".curate")
    shutil.copy(str(pool.base / "curate.toml"), folder)
    later = {"ingest": lambda name: name not in BEFORE, "prune": lambda name: name in ("selection", "strata")}
    for manifest in (folder / ".curate" / "tables").iterdir():
        if later[step](manifest.stem):
            manifest.unlink()
    found = Workspace(folder).report(tmp_path / "report.html")
    opened = visit(tmp_path / "report.html")
    assert opened.locator("main section").count() == len(SECTIONS)
    absent = opened.locator("section.absent").evaluate_all("all => all.map(each => each.id)")
    assert absent == found["left_out"]
    assert ("map" in absent, found["n_kept"]) == (step == "ingest", None)
    assert "nothing is selected yet" in opened.locator("#overview").inner_text().lower() or step == "ingest"
