"""The main job on real data: every third of 8,205 records of a dozen sources, from JSON to a subset."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from curation.readers.images import to_rgb
from curation.workspace import Workspace
from jobs.cli import cli
from tests.browser import Visit

pytestmark = pytest.mark.slow

THIRD = 8205 // 3


def curate(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run one command in `folder` and parse what `--json` prints."""
    with chdir(folder):
        done = CliRunner().invoke(cli, [*arguments, "--json"])
    assert done.exit_code == 0, done.stderr[-3000:]
    tree: dict[str, Any] = json.loads(done.stdout)
    return tree


def curate_alone(folder: Path, *arguments: str) -> dict[str, Any]:
    """The same in a process that does nothing else, so that its memory is that of the command."""
    command = [sys.executable, "-m", "jobs", *arguments, "--json"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    tree: dict[str, Any] = json.loads(done.stdout)
    return tree


def raw_records(path: Path) -> list[bytes]:
    """The records of the mixture's JSON: it has one a line."""
    return [line.rstrip(b",") for line in path.read_bytes().split(b"\n") if line.startswith(b"{")]


@pytest.fixture(scope="module")
def work(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    mixture = shared / "mixture"
    records = raw_records(mixture / "mixture.json")[::3]
    (folder / "third.json").write_bytes(b"[\n" + b",\n".join(records) + b"\n]\n")
    curate(folder, "init", "third.json", "--images", str(mixture), "--model", "builtin:tiny")
    return folder


@pytest.fixture(scope="module")
def selected(work: Path) -> dict[str, Any]:
    return curate_alone(work, "select", "--budget", "30%")


def test_the_budget_is_an_exact_fraction_of_what_could_be_read(selected: dict[str, Any]) -> None:
    assert selected["n_read"] == THIRD
    assert selected["n_quarantined"] == 0
    assert selected["n_selected"] == math.floor(0.3 * THIRD)
    assert selected["shortfall"] == 0


def test_the_chain_stays_under_3_gb(selected: dict[str, Any]) -> None:
    assert 0.1 < selected["peak_gb"] < 3


def test_the_same_command_again_computes_nothing(work: Path, selected: dict[str, Any]) -> None:
    again = curate(work, "select", "--budget", "30%")
    assert again["computed"] == {}
    assert again["n_selected"] == selected["n_selected"]


def test_another_budget_recomputes_the_selection_alone(work: Path, selected: dict[str, Any]) -> None:
    assert curate(work, "select", "--budget", "500")["computed"] == {"selection": 1, "strata": 1}
    assert curate(work, "select", "--budget", "30%")["computed"] == {}


def test_the_hf_export_opens_and_its_images_are_the_files(
    work: Path, selected: dict[str, Any], shared: Path
) -> None:
    import datasets

    curate(work, "export", "--format", "hf", "--out", "subset")
    subset = datasets.load_from_disk(str(work / "subset"))["train"]
    assert len(subset) == selected["n_selected"]
    raw = subset.cast_column("images", datasets.List(datasets.Image(decode=False)))
    for row in range(0, len(subset), 97):
        record = json.loads(subset[row]["record"])
        paths = record.get("image") or []
        paths = [paths] if isinstance(paths, str) else paths
        stored = [image["bytes"] for image in raw[row]["images"]]
        assert stored == [(shared / "mixture" / path).read_bytes() for path in paths]
        assert all(image.size[0] > 0 for image in subset[row]["images"])


def test_the_llava_export_holds_the_records_byte_for_byte(work: Path, selected: dict[str, Any]) -> None:
    curate(work, "export", "--format", "llava", "--out", "subset-llava")
    data = work / "subset-llava" / "data"
    kept = [each for path in sorted(data.iterdir()) for each in raw_records(path)]
    given = raw_records(work / "third.json")
    assert len(kept) == selected["n_selected"]
    assert not Counter(kept) - Counter(given)


def test_planted_defects_of_1000_records_are_caught(shared: Path, tmp_path: Path) -> None:
    mixture = shared / "mixture"
    tool = [
        sys.executable,
        str(shared / "tools" / "plant_defects.py"),
        "--limit",
        "1000",
        "--rate",
        "0.4",
        "--seed",
        "1",
    ]
    paths = ["--in", str(mixture / "mixture.json"), "--images", str(mixture), "--out", str(tmp_path / "bad")]
    subprocess.run([*tool, *paths], check=True, capture_output=True)
    curate(tmp_path, "init", "bad/data.json", "--images", "bad", "--model", "builtin:tiny")
    curate(tmp_path, "prune")
    store = Workspace(tmp_path).store
    truth = json.loads((tmp_path / "bad" / "truth.json").read_text())["records"]
    fatal = {
        "missing_image",
        "truncated_image",
        "zero_byte_image",
        "not_an_image",
        "image_token_count",
        "bad_roles",
    }
    checked = store.read("checked", ["uid", "error"])
    errors = dict(enumerate(checked["error"].to_pylist()))
    assert {n: code for n, code in errors.items() if code} == {
        item["index"]: item["kind"] for item in truth if item["kind"] in fatal
    }
    uids = checked["uid"].to_pylist()
    dropped = set(store.read("pruned", ["uid"])["uid"].to_pylist())
    copies = [item for item in truth if item["kind"] in ("exact_duplicate", "dup_renamed_image")]
    assert len(copies) > 20
    for item in copies:
        assert {uids[item["index"]], uids[item["original_index"]]} & dropped


def re_encoded(data: Path, mixture: Path, bench: Path, seed: int) -> dict[str, bytes]:
    """100 images of `data` at another size in `bench`; by file name the sha256 of the original."""
    records = json.loads(data.read_text())
    shown = {path for each in records for path in np.atleast_1d(each.get("image") or []).tolist()}
    originals = {}
    bench.mkdir(parents=True)
    for n, path in enumerate(random.Random(seed).sample(sorted(shown), 100)):
        content = (mixture / path).read_bytes()
        image = to_rgb(Image.open(io.BytesIO(content)))
        factor = (0.5, 0.7, 1.4)[n % 3]
        width, height = (max(16, round(side * factor)) for side in image.size)
        image.resize((width, height)).save(bench / f"{n:03}.jpg", quality=80)
        originals[f"{n:03}.jpg"] = hashlib.sha256(content).digest()
    return originals


def images_of(workspace: Workspace) -> dict[str, set[bytes]]:
    """By uid the sha256 of the images that a sample shows."""
    rows = workspace.store.read("samples", ["uid", "images"]).to_pylist()
    return {row["uid"].hex(): {image["sha256"] for image in row["images"]} for row in rows}


def hashes_of(workspace: Workspace) -> dict[bytes, int]:
    rows = workspace.store.read("images", ["sha256", "phash"]).to_pylist()
    return {row["sha256"]: int.from_bytes(row["phash"], "big") for row in rows}


def hit_and_false(
    work: Path, bench: str, originals: dict[str, bytes], found: dict[str, Any]
) -> tuple[set[str], set[str], set[str]]:
    """Images of the benchmark whose original was found, samples flagged, and those of these that are wrong.

    Wrong are those that show neither an original nor a look-alike: an image within 8 bits of the 64-bit
    perceptual hash of one of the benchmark's.
    """
    shows = images_of(Workspace(work))
    theirs = set(hashes_of(Workspace(work / ".curate" / "benchmarks" / bench)).values())
    alike = {
        sha
        for sha, code in hashes_of(Workspace(work)).items()
        if any((code ^ other).bit_count() <= 8 for other in theirs)
    }
    hit = {pair["id"] for pair in found["pairs"] if originals[pair["id"]] in shows[pair["of"]["uid"]]}
    flagged = {pair["of"]["uid"] for pair in found["pairs"]}
    real = {uid for uid in flagged if shows[uid] & (alike | set(originals.values()))}
    return hit, flagged, flagged - real


def test_100_images_of_the_mixture_at_another_size_are_found(
    work: Path, selected: dict[str, Any], shared: Path, tmp_path: Path
) -> None:
    originals = re_encoded(work / "third.json", shared / "mixture", tmp_path / "bench", seed=7)
    folder = shutil.copytree(work, work.with_name("searched"))
    found = curate(folder, "decontaminate", "--against", str(tmp_path / "bench"), "--limit", "100000")
    hit, flagged, false = hit_and_false(folder, "bench", originals, found)
    assert len(hit) >= 98
    assert len(false) <= 0.01 * len(flagged)
    assert found["n_leaked"] == len(flagged)
    assert curate(folder, "decontaminate")["computed"] == {}


@pytest.mark.browser
def test_its_report_is_small_enough_and_works(
    visit: Visit, work: Path, selected: dict[str, Any], tmp_path: Path
) -> None:
    found = curate(work, "report", "--out", str(tmp_path / "report.html"))
    assert (found["n_read"], found["n_kept"]) == (THIRD, selected["n_selected"])
    # 15 MB for 8,500 samples, of which plotly.js takes a third.
    assert found["bytes"] < 10_000_000
    page = visit(tmp_path / "report.html")
    page.locator("#space").scroll_into_view_if_needed()
    page.wait_for_selector("#space canvas")
    assert page.locator("#shown").inner_text() == f"{THIRD:,} shown"
    assert page.locator("main section").count() == 11
