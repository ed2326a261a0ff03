"""Proof: held-out questions, marks and intervals, and a pool on which it must see what helps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from curation.commands.proof import RAW, proof
from curation.proof.exam import Exam, scores, telling_tasks
from curation.proof.questions import held_out, questions_of
from curation.proof.students import STUDENTS
from curation.workspace import Workspace
from jobs.cli import cli
from schemas.errors import BudgetError, ConfigError

COLOURS = {"red": (220, 30, 30), "green": (20, 180, 40), "blue": (30, 40, 220), "yellow": (230, 220, 20)}
N = 800


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Coloured squares: the answers of one source are right, those of the other wrong."""
    folder = tmp_path_factory.mktemp("proof")
    (folder / "img").mkdir()
    rng = np.random.default_rng(0)
    names, records = list(COLOURS), []
    for number in range(N):
        colour = names[number % 4]
        noise = rng.integers(0, 60, (24, 24, 3))
        pixels = np.clip(np.array(COLOURS[colour]) + noise - 30, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "img" / f"{number}.png")
        wrong = number >= N // 2
        # One in nine of the right ones is wrong too: a source that is all known tells nothing.
        said = names[(number + 1 + number // 4 % 3) % 4] if wrong or not number % 9 else colour
        source = "wrong" if wrong else "right"
        turns = [
            {"from": "human", "value": f"<image>\nWhich colour is square {number}?"},
            {"from": "gpt", "value": f"The square is {said}."},
        ]
        records.append({"id": number, "image": f"img/{number}.png", "source": source, "conversations": turns})
    records[5]["image"] = "img/gone.png"  # in quarantine: nobody learns from it
    (folder / "data.json").write_text(json.dumps(records))
    Workspace.init(folder / "work", {"d": folder / "data.json"}, model="builtin:tiny")
    off = {"select.default_filters": False, "prune.semantic": False}
    workspace = Workspace(folder / "work", {**off, "capability.backend": "none", "select.budget": "40%"})
    workspace.run("prune")
    return workspace


def test_a_mixture_of_right_answers_trains_better_and_it_is_seen(made: Workspace) -> None:
    clean = np.arange(N) < N // 2
    found = proof(
        made, ["random+right=1", "random+wrong=1"], n_seeds=3, clean=clean, kinds=np.where(clean, "c", "w")
    )
    (table,) = found["tables"]
    assert set(table["full"]) == {"right"}
    right, wrong = (table["scores"][f"random+{name}=1"] for name in ("right", "wrong"))
    assert right["gain_interval"][0] > 0
    assert wrong["gain_interval"][1] < 0
    assert table["scores"][RAW]["gain"] == 0
    kinds = found["picked"]["random+right=1"]["kinds"]
    assert kinds["w"] == 0
    assert kinds["c"] == found["picked"]["random+right=1"]["n"]


def test_the_table_is_printed_with_what_it_says(made: Workspace) -> None:
    words = "proof random+right=1 --budget 40% --seeds 2"
    off = "--no-default-filters --no-semantic --capability none --quiet"
    done = CliRunner().invoke(cli, ["-C", str(made.base), *words.split(), *off.split()])
    assert done.exit_code == 0, done.output
    assert "ridge, encoder: " in done.stdout
    assert "random+right=1 trains better than random over everything" in done.stdout


def test_without_a_budget_it_asks_for_one(made: Workspace) -> None:
    with pytest.raises(BudgetError, match="--budget 30%"):
        Workspace(made.base).proof()


def test_what_shares_an_image_is_held_out_together_and_shares_are_met(made: Workspace) -> None:
    questions = questions_of(made.store)
    away = held_out(questions, made.store, 0.3, seed=1)
    assert 0.2 < away.mean() < 0.4
    for group in np.unique(questions.group):
        assert len(set(away[questions.group == group].tolist())) == 1
    more = held_out(questions, made.store, 0.5, seed=1)
    assert (more | ~away).all()


def test_marks_count_the_right_answer_before_all_others() -> None:
    answers = np.eye(3, dtype=np.float32)
    exam = Exam(np.array([0, 1]), np.array([[0, 1, 2], [1, 0, -1]]), np.array([0, 0]))
    assert exam.marks(answers[[0, 0]], answers).tolist() == [1.0, 0.0]
    assert exam.marks(np.ones((2, 3), np.float32), answers).tolist() == [0.0, 0.0]
    assert exam.chance.tolist() == [1 / 3, 1 / 2]


def test_sources_at_chance_saturated_or_small_do_not_count() -> None:
    n = 40
    task = np.repeat([0, 1, 2, 3], [n, n, n, 5])
    choices = np.tile([0, 1, 2, 3], (len(task), 1))
    marks = np.concatenate(
        [np.tile([1, 1, 0, 0], n // 4), np.tile([1, 0, 0, 0], n // 4), np.ones(n), [1, 1, 0, 0, 1]]
    )
    assert telling_tasks(Exam(np.arange(len(task)), choices, task), marks.astype(np.float32)).tolist() == [0]


def test_intervals_are_paired_and_shrink_with_questions() -> None:
    rng = np.random.default_rng(0)

    def widths(n: int) -> float:
        full = (rng.random((4, n)) < 0.8).astype(np.float32)
        same = full.copy()
        worse = full * (rng.random((4, n)) < 0.9)
        exam = Exam(np.arange(n), np.zeros((n, 2), np.int64), np.zeros(n, np.int64))
        found = scores({"a": same, "b": worse.astype(np.float32)}, full, exam, np.array([0]), "a")
        assert found["a"].mean == pytest.approx(1)
        assert found["b"].gain == pytest.approx(found["b"].mean - 1)
        low, high = found["b"].gain_interval
        assert low < found["b"].gain < high < 0
        return high - low

    assert widths(2000) < widths(100)


@pytest.mark.parametrize("name", STUDENTS)
def test_students_learn_a_rule_and_are_the_same_for_a_seed(name: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 12)).astype(np.float32)
    y = x @ rng.normal(size=(12, 5)).astype(np.float32)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    said = STUDENTS[name](x[:500], y[:500], x[500:], 3)
    cosine = (said * y[500:]).sum(1) / np.linalg.norm(said, axis=1)
    assert cosine.mean() > 0.95
    assert (said == STUDENTS[name](x[:500], y[:500], x[500:], 3)).all()


def test_a_search_finds_that_right_answers_teach_more(made: Workspace, tmp_path: Path) -> None:
    words = f"mix --for right --budget 40% --n 12 --seeds 2 --out {tmp_path / 'mix.json'}"
    off = "--no-default-filters --no-semantic --capability none --quiet"
    done = CliRunner().invoke(cli, ["-C", str(made.base), *words.split(), *off.split()])
    assert done.exit_code == 0, done.output
    shares = json.loads((tmp_path / "mix.json").read_text())
    assert shares["right"] > 0.5
    assert sum(shares.values()) == pytest.approx(1, abs=0.001)
    assert f"--mix @{tmp_path / 'mix.json'}" in done.stdout


def test_a_target_that_tells_nothing_is_named_with_those_that_do(made: Workspace) -> None:
    with pytest.raises(
        ConfigError, match="--for nosuch: students cannot be told apart there; they can in right"
    ):
        made.search_mix(n=3, n_seeds=2, targets=["nosuch"])
