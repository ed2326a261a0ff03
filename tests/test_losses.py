"""What defaults take out of a dataset is news, and a step that leaves nothing is an error that says why."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from curation.pipeline.losses import HEAVY, Loss, heavy
from curation.steps.prune import decide
from curation.steps.select import select
from curation.workspace import Workspace
from jobs.cli import cli
from jobs.show_losses import WAYS, losses, nothing_left
from schemas.errors import NothingLeft

if TYPE_CHECKING:
    from pathlib import Path

WORDS = (
    "amber",
    "birch",
    "canyon",
    "dolphin",
    "ember",
    "falcon",
    "glacier",
    "island",
    "jungle",
    "kettle",
    "lantern",
    "moss",
)


def record(number: int, answer: str) -> dict[str, Any]:
    first, second = WORDS[number % 12], WORDS[(5 * number + 1) % 12]
    question = f"Is the {first} near the {second}?"
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"id": f"{first}-{number}", "conversations": turns}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three datasets of 12: `sound`; `mute`, five without an answer; `twice`, where six repeat the others."""
    folder = tmp_path_factory.mktemp("losses")
    pools = {
        "sound": [record(n, f"Yes, the {WORDS[n]} is {n + 2} steps away.") for n in range(12)],
        "mute": [record(n, "" if n < 5 else f"No, {WORDS[n]} lies far off, {n} miles.") for n in range(12)],
        "twice": [record(n % 6, f"Perhaps it is, {WORDS[n % 6]} and all {n % 6}.") for n in range(12)],
    }
    for name, records in pools.items():
        (folder / f"{name}.json").write_text(json.dumps(records))
    Workspace.init(folder, {name: folder / f"{name}.json" for name in pools}, model="builtin:tiny")
    # Which of such texts are near-duplicates is another matter.
    with (folder / "curate.toml").open("a") as file:
        file.write('[prune]\nsemantic = false\n[capability]\nbackend = "none"\n')
    Workspace(folder).select("9")
    return folder


def invoke(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["-C", str(folder), *words])


def test_what_defaults_took_of_a_dataset_is_said_with_the_way_out(workspace: Path) -> None:
    found = json.loads(invoke(workspace, "select", "--budget", "9", "--json").stdout)
    told = {(loss["dataset"], loss["reason"]): loss for loss in found["heavy_losses"]}
    assert set(told) == {("mute", "filtered"), ("twice", "exact_duplicate")}
    mute = Loss("mute", "filtered", "n_answer_words >= 1", True, 5, 12, 0.4167)
    assert told["mute", "filtered"] == asdict(mute)
    text = invoke(workspace, "select", "--budget", "9").stdout
    assert "5 of 12 (42%) of mute by the default filter 'n_answer_words >= 1'" in text
    assert "--no-default-filters" in text
    assert "6 of 12 (50%) of twice as exact_duplicate" in text


def test_prune_says_it_of_its_own_levels(workspace: Path) -> None:
    (loss,) = Workspace(workspace).prune()["heavy_losses"]
    assert (loss["dataset"], loss["reason"], loss["n"]) == ("twice", "exact_duplicate", 6)


def test_what_was_asked_for_is_no_news(workspace: Path) -> None:
    asked = Workspace(workspace, {"select.where": ("n_answer_words > 0",), "select.default_filters": False})
    assert {loss["dataset"] for loss in asked.select("9")["heavy_losses"]} == {"twice"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--where", "n_tokens < 0"), ("--where 'n_tokens < 0'", "loosen --where")),
        (("--must-drop", "every"), ("36 are left out as dropped", "--must-drop")),
        (("--budget", "1tok"), ("a budget of 1tok keeps none of 25 candidates", "raise it")),
        (("--budget", "1%"), ("a budget of 1% keeps none", "raise it")),
    ],
)
def test_nothing_selected_is_an_error_that_says_why(
    workspace: Path, tmp_path: Path, words: tuple[str, ...], says: tuple[str, ...]
) -> None:
    (tmp_path / "every").write_text("".join(f"{WORDS[n]}-{n}\n" for n in range(12)))
    words = tuple(str(tmp_path / word) if word == "every" else word for word in words)
    result = invoke(workspace, "select", "--budget", "9", *words, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["n_selected"] == 0
    assert result.stderr.splitlines()[-1].startswith("curate: nothing is selected: ")
    assert all(text in result.stderr for text in says)
    # The tables stay, so that one can look at them.
    assert Workspace(workspace).store.manifest("selection").rows == 36
    with pytest.raises(NothingLeft, match="nothing to export"):
        Workspace(workspace).export(tmp_path / "out")


def test_the_lines_of_an_empty_selection_still_say_what_was_read(workspace: Path) -> None:
    result = invoke(workspace, "select", "--budget", "9", "--where", "n_tokens < 0")
    assert "36 records" in result.stdout
    assert "12 of 12 (100%) of sound by --where 'n_tokens < 0'" in result.stdout
    assert "next" not in result.stdout


def test_pruning_that_leaves_nothing_names_the_level(workspace: Path) -> None:
    result = invoke(workspace, "prune", "--semantic", "--prune-to", "1%")
    assert result.exit_code == 1
    assert "pruning leaves nothing: of 36 samples " in result.stderr
    assert "as over_target (raise --prune-to)" in result.stderr


def test_several_defaults_count_together() -> None:
    def lost(dataset: str, clause: str, n: int, *, default: bool = True) -> Loss:
        return Loss(dataset, "filtered", clause, default, n, 100, n / 100)

    together = [lost("a", "x", 20), lost("a", "y", 11)]
    others = [lost("b", "x", int(100 * HEAVY)), lost("c", "z", 90, default=False)]
    assert heavy([*together, *others], n_left=1) == together
    assert heavy([*together, *others], n_left=0) == [*together, *others]


def test_every_reason_has_a_way_out() -> None:
    pruned = {decide.EXACT, decide.PIXELS, decide.NEAR, decide.PERCEPTUAL, decide.FLIPPED, decide.SURPLUS}
    assert pruned | {select.FILTERED, select.LISTED, select.TARGET, select.LEAK} <= set(WAYS)


def test_many_losses_are_cut_short_and_a_result_without_them_says_nothing() -> None:
    loss = {
        "dataset": "a",
        "reason": "filtered",
        "clause": "x",
        "default": True,
        "n": 1,
        "of": 2,
        "share": 0.5,
    }
    lines = list(losses({"heavy_losses": [loss] * 10}))
    assert lines[-1].endswith("and 2 more, which --json lists")
    assert list(losses({"n_read": 3})) == []
    assert nothing_left({"n_read": 3, "n_candidates": 3}) is None
