"""Proof: held-out questions, marks and intervals, and a pool on which it must see what helps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks.quality import alike, named, without_vlm
from curation.commands.proof import proof
from curation.models.vision_language import VisionLanguageModel
from curation.proof.amounts import as_much
from curation.proof.exam import Exam, judged, scores
from curation.proof.finetuned import Finetuned, Lessons
from curation.proof.questions import held_out, questions_of
from curation.proof.students import BATCH, STUDENTS, Pace, mlp
from curation.proof.tables import RAW
from curation.selectors import SELECTORS
from curation.workspace import Workspace
from jobs.cli import cli
from schemas.errors import BudgetError, ConfigError, NothingLeft
from tests.tiny_models import tiny

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
    assert "left out   wrong (at chance)" in done.stdout
    assert "random+right=1 trains better than random over everything" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_gains_are_over_samples_with_as_many_pairs_or_tokens(made: Workspace) -> None:
    twice = proof(made, ["random"], n_seeds=2, equal="pairs")["tables"][0]["scores"]
    once = proof(made, ["random"], n_seeds=2)["tables"][0]["scores"]
    # Every sample has one pair here, so that it is the same baseline.
    assert twice == once
    tokens = proof(made, ["random+wrong=1"], n_seeds=2, equal="tokens")["tables"][0]["scores"]
    assert tokens["random+wrong=1"]["gain_interval"][1] < 0


def test_a_control_has_the_amount_that_comes_nearest() -> None:
    amounts = np.array([5, 1, 3, 10])
    order = np.array([3, 2, 1, 0])
    assert [as_much(order, amounts, n).tolist() for n in (0, 4, 6, 12, 13, 99)] == [
        [],
        [],
        [3],
        [3, 2],
        [3, 2],
        [3, 2, 1, 0],
    ]


def test_what_needs_a_target_aims_at_what_is_held_out_besides(made: Workspace) -> None:
    found = proof(made, ["less", "icons"], n_seeds=2)["picked"]
    assert {name: found[name]["n"] for name in ("less", "icons")} == dict.fromkeys(
        ("less", "icons"), found[RAW]["n"]
    )


def test_epochs_are_rows_and_steps_are_not() -> None:
    assert [Pace().of(n, BATCH) for n in (10, 5120)] == [200, 200]
    assert [Pace(epochs=10).of(n, BATCH) for n in (10, 2560, 5120)] == [1, 100, 200]
    x, y = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)
    short, long = (mlp(x, y, x, 0, Pace(epochs=64 * n)) for n in (1, 100))
    assert (short * y).sum() < (long * y).sum()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"students": ["rigde"]}, "no student 'rigde'; there are ridge, mlp, vlm and vlm:MODEL"),
        ({"students": ["vlm"]}, "--student vlm needs a vision-language model"),
        ({"equal": "words"}, "--equal words: there are samples, pairs, tokens"),
        ({"epochs": 3.0}, "ridge is solved at once"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_runs(
    made: Workspace, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        proof(made, ["random"], **asked)


def students_of(made: Workspace, architecture: str, steps: int, small: int) -> Finetuned:
    """A tiny model whose questions name the colour that they ask for: all there is to learn."""
    questions = questions_of(made.store)
    asked = replace(questions, question=[f"square {said.split()[-1]}" for said in questions.answer])
    others = [[b for b in range(40) if asked.answer[b] != asked.answer[a]][:3] for a in range(12)]
    choices = np.array([[a, *rest] for a, rest in enumerate(others)])
    exam = Exam(np.arange(12), choices, np.zeros(12, np.int64))
    vlm = VisionLanguageModel(*tiny(architecture), batch=16)
    lessons = Lessons.of(vlm, asked, made.store, 10**6)
    return Finetuned(lessons, exam, exam, Pace(steps), small=small, rate=0.01)


def test_a_model_that_learned_from_the_picks_knows_the_answers(made: Workspace) -> None:
    pupil = students_of(made, "llava", 30, small=10**9)
    learned, in_trial = pupil.marks(np.arange(20, 200), 1)
    assert learned.mean() > 0.9
    assert (learned == in_trial).all()


@pytest.mark.parametrize("small", [10**9, 0])
def test_a_model_begins_anew_for_every_selection_with_adapters_too(made: Workspace, small: int) -> None:
    pupil = students_of(made, "qwen2_vl", 2, small)
    assert pupil.full == bool(small)

    def weights(rows: Any, seed: int) -> Any:
        pupil.marks(rows, seed)
        return np.concatenate([weight.detach().numpy().ravel() for weight in pupil.weights])

    first = weights(np.arange(60), 1)
    assert (first != weights(np.arange(60), 2)).any()
    assert (first == weights(np.arange(60), 1)).all()


def test_a_checkpoint_is_a_student(made: Workspace, tmp_path: Path) -> None:
    for part in tiny("llava"):
        part.save_pretrained(tmp_path / "vlm")
    # It has seen next to nothing.
    with pytest.raises(NothingLeft, match="vlm that learned from everything is at chance"):
        proof(made, ["random"], students=[f"vlm:{tmp_path / 'vlm'}"], steps=1, n_seeds=2)


def test_strategies_are_ranked_alike_or_the_other_way_round() -> None:
    def table(gains: list[float]) -> dict[str, Any]:
        return {"scores": {str(number): {"gain": gain} for number, gain in enumerate(gains)}}

    rising, falling = table([0.0, 0.1, 0.2]), table([0.3, 0.1, -0.1])
    means, by_pool = alike([rising, rising], [rising, falling])
    assert by_pool == pytest.approx([1, -1])
    assert means == pytest.approx(-1)


def test_all_is_every_strategy_that_needs_no_vlm() -> None:
    assert {spec.split(":")[0] for spec in without_vlm()} == set(SELECTORS) - {"visnec", "tive", "magic"}
    assert {"adapt", "random+sqrt"} <= set(named("adapt,all+sqrt"))


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
    found = judged(Exam(np.arange(len(task)), choices, task), marks.astype(np.float32))
    assert found == {0: "", 1: "at chance", 2: "all known", 3: "only 5 questions"}


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
