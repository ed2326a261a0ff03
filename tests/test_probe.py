"""The light scorer of capabilities: features, fit, exactness, storage, training, and the shipped one."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.commands.annotate import LABELS, TABLE
from curation.commands.probe_fit import Examples, examples, figures, parts_of, shifted, train
from curation.commands.train_scorer import _read as read_labels
from curation.commands.train_scorer import train_scorer
from curation.commands.verify import verify
from curation.generate.pool import write_pool
from curation.models.probe import DESCRIPTION, WEIGHTS, StoredProbe, read_probe, write_probe
from curation.models.spec import model_identity
from curation.steps.score.probe import builtin_probe, probe_stage, sampled
from curation.workspace import Workspace
from schemas.errors import ConfigError, ModelUnavailable
from scorers.agreement import best_threshold, calibration, f1, spearman
from scorers.instructions import FEATURES, features
from scorers.probe import NO_VECTOR, OUTPUTS, UNUSABLE, Probe, Weights, fit, names
from scorers.taxonomy import CAPABILITY_COLUMNS, STYLE_COLUMNS, WRITES

if TYPE_CHECKING:
    from pathlib import Path

TURNS = pa.list_(pa.struct([("role", pa.string()), ("text", pa.string())]))
YES_NO, MULTI = OUTPUTS.index("style_yes_no"), OUTPUTS.index("style_multi_choice")
COUNT = OUTPUTS.index("cap_attribute_identification")


def conversation(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "text": text} for i, text in enumerate(texts)]


def features_of(*texts: str, n_images: int = 1) -> dict[str, float]:
    row = features(pa.array([conversation(*texts)], TURNS), np.array([n_images]))[0]
    return dict(zip(FEATURES, row.tolist(), strict=True))


def known(figure: float | None) -> float:
    """An agreement that could be measured."""
    assert figure is not None
    return figure


# --- features ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "feature"),
    [
        ("What is it?\nA. a cat\nB. a dog", "asks_options"),
        ("Answer with the option's letter.", "asks_option_letter"),
        ("Is it? Reply with yes or no.", "asks_yes_or_no"),
        ("Answer the question using a single word or phrase.", "asks_brief"),
        ("Solve it step by step.", "asks_steps"),
        ("Describe the image in detail.", "asks_detail"),
        ("Give a one-sentence caption.", "asks_short"),
        ("Give the bounding box as [x1, y1, x2, y2].", "asks_box"),
        ("Return it as JSON.", "asks_json"),
        ("List keywords, separated by commas.", "asks_list"),
        ("Transcribe this receipt.", "asks_read"),
        ("What is different between these two images?", "asks_compare"),
        ("<image> -> a cat\n<image> -> a dog\n<image> ->", "asks_examples"),
        ("How many are there?", "asks_count"),
        ("Why did it fall?", "asks_why"),
        ("Is it red?", "asks_polar"),
        ("a | b\n1 | 2 | 3\n4 | 5 | 6", "asks_grid"),
    ],
)
def test_what_a_question_asks_for_is_seen(question: str, feature: str) -> None:
    assert features_of(question, "x")[feature] == 1
    assert features_of("It rains.", "x")[feature] == 0


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("Yes.", "yes_no"),
        ("false", "yes_no"),
        ("Board 1: true. Board 2: false.", "verdicts"),
        ("B", "letter"),
        ("(C)", "letter"),
        ("[0.27, 0.20, 0.75, 0.95]", "box"),
        ('{"total": "9.00"}', "object"),
        ("$ 1,250.50", "number"),
        ("giraffe", "word"),
        ("a red car", "phrase"),
        ("cat, face, happy", "listed"),
        ("a\nb\nc\nd", "many_lines"),
        ("First add them: 3 + 4 = 7. Then take 2 from it, so 5 are left.", "reasoned"),
        ("It is so.", "ended"),
    ],
)
def test_what_an_answer_is_is_seen(answer: str, kind: str) -> None:
    found = features_of("?", answer, "?", "Something that is of none of these kinds\nat all")
    assert found[f"any_{kind}"] == 1
    assert found[f"share_{kind}"] == 0.5


def test_lengths_lie_between_two_knots_that_add_up_to_one() -> None:
    for n in (0, 1, 5, 97, 300, 10_000):
        found = features_of("?", "x" * n)
        shares = [value for name, value in found.items() if name.startswith("longest_answer_")]
        assert sum(shares) == pytest.approx(1)
        assert sum(value > 0 for value in shares) <= 2


def test_themes_are_counted_in_questions_and_answers_apart() -> None:
    found = features_of("What colour is the circle?", "red and blue")
    assert found["asked_colour"] == pytest.approx(np.log1p(1))
    assert found["answered_colour"] == pytest.approx(np.log1p(2))
    assert found["asked_shape"] == pytest.approx(np.log1p(1))


def test_odd_conversations_have_finite_features() -> None:
    odd = [[], [{"role": "assistant", "text": None}], [{"role": None, "text": "hm"}], conversation("", "")]
    odd += [
        conversation("<image>" * 9, "\x00\u2028\U0001f600" * 3000),
        conversation("q"),
        conversation("?", "a" * 99999),
    ]
    rows = features(pa.array(odd, TURNS), np.zeros(len(odd), np.int32))
    assert rows.shape == (len(odd), len(FEATURES))
    assert np.isfinite(rows).all()


def test_features_of_a_row_are_the_same_bits_in_any_batch() -> None:
    turns = pa.array([conversation(f"What is {i}?", "yes " * i, "And?", "B") for i in range(40)], TURNS)
    whole = features(turns, np.ones(40, int))
    assert np.array_equal(features(turns.slice(17, 5), np.ones(5, int)), whole[17:22])


# --- the model ---------------------------------------------------------------------------------------------


def labelled(n: int = 400, dim: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of which one number each decides a capability, a style, and nothing."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((n, len(names(dim))), np.float32)
    rows[:, : len(FEATURES)] = rng.random((n, len(FEATURES)))
    rows[:, len(FEATURES) + 1 :] = rng.standard_normal((n, 2 * dim)) / np.sqrt(dim)
    labels = np.zeros((n, len(OUTPUTS)), np.float32)
    labels[:, COUNT] = np.round(5 * rows[:, 3])
    labels[:, YES_NO] = rows[:, 10] > 0.7
    labels[:, MULTI] = rows[:, len(FEATURES) + 2] > 0
    return rows, labels


def test_a_fit_learns_points_and_styles_and_keeps_to_their_ranges() -> None:
    rows, labels = labelled()
    new_rows, new_labels = labelled(seed=1)
    scores = fit(rows, labels, 1e-3).apply(new_rows)
    assert known(spearman(scores[:, COUNT], new_labels[:, COUNT])) > 0.85
    assert abs(float(scores[:, COUNT].mean() - new_labels[:, COUNT].mean())) < 0.2
    assert known(f1(scores[:, YES_NO] >= 0.5, new_labels[:, YES_NO] > 0.5)) > 0.8
    assert known(f1(scores[:, MULTI] >= 0.5, new_labels[:, MULTI] > 0.5)) > 0.7
    assert scores[:, :14].min() >= 0
    assert scores[:, :14].max() <= 5
    assert scores[:, 14:].max() <= 1


def test_unknown_labels_say_nothing() -> None:
    rows, labels = labelled()
    holes = labels.copy()
    holes[::2, COUNT] = np.nan
    scores = fit(rows, holes, 1e-3).apply(rows)
    without = fit(rows[1::2], labels[1::2], 1e-3).apply(rows)
    assert known(spearman(scores[:, COUNT], without[:, COUNT])) > 0.98
    holes[:, YES_NO] = np.nan
    assert fit(rows, holes, 1e-3).apply(rows)[:, YES_NO].max() < 0.01


def test_equal_labels_give_equal_bytes() -> None:
    rows, labels = labelled()
    one, two = fit(rows, labels, 1e-2), fit(rows, labels, 1e-2)
    assert one.weight.tobytes() == two.weight.tobytes()
    assert one.bias.tobytes() == two.bias.tobytes()


def test_a_row_s_score_is_the_same_bits_alone_in_a_batch_and_in_any_order() -> None:
    rows, labels = labelled(700)
    rows *= np.float32(1e3) ** np.random.default_rng(2).uniform(-1, 1, rows.shape).astype(np.float32)
    weights = fit(rows, labels, 1e-4)
    whole = weights.apply(rows)
    for part in (slice(0, 1), slice(3, 10), slice(100, 613)):
        assert np.array_equal(weights.apply(rows[part]), whole[part])
    assert np.array_equal(weights.apply(rows[::-1])[::-1], whole)


def test_its_sums_are_exact() -> None:
    rows, labels = labelled(60)
    weights = fit(rows, labels, 1e-4)
    far = np.where(np.random.default_rng(0).random((5, rows.shape[1])) < 0.5, 1e9, -1e9).astype(np.float32)
    grid = 2**14 * np.clip((far.astype(np.float64) - weights.centre) / weights.scale, -6, 6)
    whole = np.rint(grid).astype(object)
    weight = (weights.weight.astype(np.float64) * 2**18).astype(np.int64).astype(object)
    logits = (whole @ weight).astype(np.float64) / 2**32 + weights.bias.astype(np.float64)
    assert np.array_equal(weights.apply(far)[:, 14:], (1 / (1 + np.exp(-logits)))[:, 14:].astype(np.float32))


def test_thresholds_move_to_one_half() -> None:
    rows, labels = labelled()
    weights = fit(rows, labels, 1e-3)
    thresholds = np.full(9, 0.5)
    thresholds[STYLE_COLUMNS.index("style_yes_no")] = 0.3
    before, after = weights.apply(rows), weights.shifted(thresholds).apply(rows)
    assert np.array_equal(before[:, :14], after[:, :14])
    assert ((before[:, YES_NO] >= 0.3) == (after[:, YES_NO] >= 0.5)).mean() > 0.995
    assert np.allclose(shifted(before, thresholds), after, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "labels", "said"),
    [
        ((5, 3), (4, 23), "same samples"),
        ((0, 3), (0, 23), "same samples"),
        ((2, 20_000), (2, 23), "at most 16384"),
    ],
)
def test_a_fit_refuses_what_does_not_go_together(
    rows: tuple[int, int], labels: tuple[int, int], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        fit(np.zeros(rows, np.float32), np.zeros(labels, np.float32), 1.0)


# --- agreement ---------------------------------------------------------------------------------------------


def test_the_rank_correlation_is_that_of_ranks_and_none_where_a_side_is_constant() -> None:
    # Ranks [2.5, 0, 2.5, 1] against [0, 1, 2, 3]: equal values share the mean of theirs.
    assert spearman(np.array([3.0, 1.0, 3.0, 2.0]), np.arange(4.0)) == pytest.approx(-1 / np.sqrt(22.5))
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 90.0])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([3.0, 1.0, 2.0])) == pytest.approx(-0.5)
    assert spearman(np.array([1.0, 2.0]), np.array([7.0, 7.0])) is None


def test_calibration_is_the_distance_of_means_by_decile() -> None:
    scores, labels = np.repeat([1.0, 4.0], 50), np.repeat([2.0, 4.0], 50)
    error, bias, deciles = calibration(scores, labels)
    assert (error, bias) == (0.5, -0.5)
    assert deciles[0] == (1.0, 2.0)
    assert len(deciles) == 10
    assert calibration(np.array([1.0]), np.array([1.0]))[0] == 0


def test_the_best_threshold_is_that_of_the_highest_f1() -> None:
    chances, true = np.array([0.1, 0.28, 0.33, 0.9]), np.array([False, False, True, True])
    assert 0.28 < best_threshold(chances, true) <= 0.33
    assert best_threshold(np.array([0.0, 1.0]), np.array([False, True])) == pytest.approx(0.5)
    assert f1(np.array([False]), np.array([False])) is None
    assert f1(np.array([True, True]), np.array([True, False])) == pytest.approx(2 / 3)


# --- storing and training ----------------------------------------------------------------------------------


def random_weights(dim: int = 256, seed: int = 0) -> Weights:
    rng = np.random.default_rng(seed)
    f = len(names(dim))
    weight = (np.rint(rng.normal(0, 0.2, (f, 23)) * 2**18) / 2**18).astype(np.float32)
    ones, zeros = np.ones(f, np.float32), np.zeros(23, np.float32)
    return Weights(np.zeros(f, np.float32), ones, weight, zeros)


def test_a_scorer_is_read_as_it_was_written(tmp_path: Path) -> None:
    weights = random_weights()
    write_probe(tmp_path, weights, {"model": "x"}, 256, {"note": "here"})
    probe = read_probe(tmp_path)
    assert probe is not None
    assert probe.facts["note"] == "here"
    assert probe.weights.weight.tobytes() == weights.weight.tobytes()
    assert pickle.loads(pickle.dumps(probe)) == probe
    assert read_probe(tmp_path / "nothing") is None


def test_its_key_follows_from_what_scores_do_not_from_figures(tmp_path: Path) -> None:
    one = write_probe(tmp_path / "1", random_weights(), {"model": "x"}, 256, {"f1": 1})
    two = write_probe(tmp_path / "2", random_weights(), {"model": "x"}, 256, {"f1": 2})
    other = write_probe(tmp_path / "3", random_weights(seed=1), {"model": "x"}, 256, {"f1": 1})
    assert one.identity == two.identity != other.identity


def test_a_scorer_of_other_files_or_features_is_refused(tmp_path: Path) -> None:
    write_probe(tmp_path, random_weights(), {"model": "x"}, 256, {})
    facts = json.loads((tmp_path / DESCRIPTION).read_text())
    facts["features"][0] = "something else"
    (tmp_path / DESCRIPTION).write_text(json.dumps(facts))
    with pytest.raises(ModelUnavailable, match="another version of curate"):
        read_probe(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"other")
    with pytest.raises(ModelUnavailable, match=r"is not the file that probe\.json describes"):
        read_probe(tmp_path)


def test_vectors_of_another_encoder_are_refused_by_name() -> None:
    probe = StoredProbe('{"encoder": {"model": "builtin", "sha256": "0123456789abcdef"}}', b"")
    probe.require({"model": "builtin", "sha256": "0123456789abcdef"})
    with pytest.raises(
        ConfigError, match=r"of builtin \(sha256 0123456789ab\), and these are of ViT-B-32/x;"
    ):
        probe.require({"model": "ViT-B-32/x"})


def test_samples_of_one_image_are_in_one_part() -> None:
    groups = [bytes([i // 3]) for i in range(90)]
    parts = parts_of(groups, 5)
    assert [np.ptp(parts[3 * i : 3 * i + 3]) for i in range(30)] == [0] * 30
    assert sorted(np.bincount(parts).tolist()) == [18] * 5
    order = np.random.default_rng(0).permutation(90)
    assert np.array_equal(parts_of([groups[i] for i in order], 5), parts[order])


@pytest.mark.slow
def test_training_says_how_well_it_agrees_on_samples_it_was_not_fitted_to() -> None:
    rows, labels = labelled(300)
    labels[:, COUNT] = np.random.default_rng(3).integers(0, 6, 300)  # noise: nothing to be learned
    found = train(
        Examples(
            [bytes([i % 256, i // 256]) for i in range(300)],
            rows,
            labels,
            [bytes([i % 100]) for i in range(300)],
        ),
        folds=3,
    )
    assert found.figures["n"] == 300
    assert abs(found.figures["capabilities"]["cap_attribute_identification"]["spearman"]) < 0.25
    assert found.figures["styles"]["style_yes_no"]["f1"] > 0.5
    assert found.figures["capabilities"]["cap_humanities"]["spearman"] is None
    assert set(figures(found.held_out, labels)["capabilities"]) == set(CAPABILITY_COLUMNS)


def test_too_few_labels_are_refused() -> None:
    rows, labels = labelled(60)
    with pytest.raises(ConfigError, match="at least 50"):
        train(Examples([b""] * 49, rows[:49], labels[:49], [b""] * 49))
    with pytest.raises(ConfigError, match="too few different images for 5 parts"):
        train(Examples([b""] * 60, rows, labels, [b"one"] * 60))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_pool(folder / "pool", 160, seed=2)
    workspace = Workspace.init(
        folder, {"demo": folder / "pool" / "pool.json"}, images=[folder / "pool"], model="builtin:tiny"
    )
    workspace.embed()
    return folder


def weak(workspace: Workspace) -> dict[str, list[Any]]:
    """Labels that follow from the text, by uid and by id."""
    samples = workspace.store.read("samples", ["uid", "record_id", "turns"]).to_pylist()
    said = [" ".join(turn["text"].lower() for turn in row["turns"] or []) for row in samples]
    return {
        "uid": [row["uid"].hex() for row in samples],
        "id": [row["record_id"] for row in samples],
        "cap_attribute_identification": [5.0 * ("how many" in text) for text in said],
        "style_yes_no": ["yes" in text for text in said],
    }


@pytest.mark.slow
def test_a_scorer_is_trained_on_a_file_and_scores_the_pool(work: Path, tmp_path: Path) -> None:
    workspace = Workspace(work, {"capability.backend": "probe"})
    labels = weak(workspace)
    pq.write_table(pa.table(labels), tmp_path / "labels.parquet")
    found = train_scorer(workspace, tmp_path / "labels.parquet", folds=3)
    assert found["n_labels"] == 160
    assert 100 < found["n_matched"] < 160
    assert found["capabilities"].keys() == {"cap_attribute_identification"}
    assert found["styles"].keys() == {"style_yes_no"}
    workspace.select("20%", "top:cap_attribute_identification")
    scores = workspace.store.read("capability")
    truth = dict(zip(labels["uid"], labels["cap_attribute_identification"], strict=True))
    rows = [row for row in scores.to_pylist() if row["cap_attribute_identification"] is not None]
    agreement = spearman(
        np.array([row["cap_attribute_identification"] for row in rows]),
        np.array([truth[row["uid"].hex()] for row in rows]),
    )
    assert known(agreement) > 0.5
    assert verify(workspace.store) == []


def test_labels_by_id_and_by_lines_are_taken(work: Path, tmp_path: Path) -> None:
    labels = weak(Workspace(work))
    lines = [
        json.dumps({"id": name, "style_yes_no": int(yes)})
        for name, yes in zip(labels["id"], labels["style_yes_no"], strict=True)
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    found = train_scorer(Workspace(work), tmp_path / "labels.jsonl", tmp_path / "out", folds=2)
    assert found["out"] == str(tmp_path / "out")
    assert found["n_matched"] > 50
    assert read_probe(tmp_path / "out") is not None


def test_ids_in_lines_of_labels_keep_their_spelling(work: Path, tmp_path: Path) -> None:
    lines = [
        {"id": name, "style_yes_no": 1} for name in ("2024-01-01", "007", "1", 2, 2.5, True, None, "é\u2028")
    ]
    (tmp_path / "x.jsonl").write_text(
        "\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n\n", "utf-8"
    )
    assert read_labels(tmp_path / "x.jsonl").to_pydict() == {
        "id": ["2024-01-01", "007", "1", "2", "2.5", "true", None, "é\u2028"],
        "style_yes_no": [1] * 8,
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.csv", "", r"a \.parquet or a \.jsonl file"),
        ("x.jsonl", '{"uid": "ab", "style_yes_no": 1}', "'ab' is no uid"),
        ("x.jsonl", '{"id": 1, "other": 1}', "has no column of capabilities or styles"),
        ("x.jsonl", '{"style_yes_no": 1}', "neither a column uid nor a column id"),
        ("x.jsonl", '{"uid": "' + "0" * 32 + '", "cap_humanities": 7}', "holds 7; it must lie from 0 to 5"),
        ("x.jsonl", '{"uid": "' + "0" * 32 + '", "cap_humanities": "high"}', "holds no numbers"),
        ("x.jsonl", '{"uid": "' + "0" * 32 + '", "cap_humanities": 3}', "0 samples of the pool have labels"),
        ("x.jsonl", "{", r"x\.jsonl: line 1: the record is not JSON"),
        (
            "x.jsonl",
            '{"id": 1, "style_yes_no": 1}\n[]',
            r"x\.jsonl: line 2 should be an object and is a list",
        ),
        ("x.jsonl", "", "has no column of capabilities or styles"),
        (
            "x.jsonl",
            '{"id": 1, "cap_humanities": 1}\n{"id": 2, "cap_humanities": "a"}',
            "cap_humanities of the labels holds no numbers",
        ),
    ],
)
def test_what_is_wrong_with_labels_is_said(
    work: Path, tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=said):
        train_scorer(Workspace(work), tmp_path / name)


def test_without_labels_the_command_that_makes_them_is_named(work: Path) -> None:
    with pytest.raises(ConfigError, match=r"curate annotate --sample 2000"):
        train_scorer(Workspace(work))


@pytest.mark.slow
def test_what_annotate_left_in_the_workspace_is_learned(work: Path, tmp_path: Path) -> None:
    workspace = Workspace(work)
    samples = workspace.store.read("samples", ["uid", "turns"]).to_pylist()
    said = [" ".join(turn["text"].lower() for turn in row["turns"] or []) for row in samples]
    blank = dict.fromkeys(OUTPUTS, 0.0)
    rows = [
        {"uid": row["uid"], **blank, "style_yes_no": float("yes" in text), "capability_reason": None}
        for row, text in zip(samples, said, strict=True)
    ]
    rows[0] |= {**dict.fromkeys(OUTPUTS), "capability_reason": "no_answer: timed out"}
    batch = pa.RecordBatch.from_pylist(rows, LABELS)
    shard = workspace.store.commit(TABLE, "made-here", LABELS, [batch])
    workspace.store.publish(TABLE, {}, [shard])
    try:
        found = train_scorer(workspace, out=tmp_path, folds=2)
    finally:
        (work / ".curate" / "tables" / f"{TABLE}.json").unlink()
    assert found["n_labels"] == 160
    assert 100 < found["n_matched"] < 160
    assert found["styles"]["style_yes_no"]["n"] == found["n_matched"]


def test_a_backend_without_a_scorer_says_how_to_train_one(work: Path, tmp_path: Path) -> None:
    settings = {"capability.backend": "probe", "capability.probe": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"train one with `curate train-scorer`"):
        Workspace(work, settings).score()


# --- scoring -----------------------------------------------------------------------------------------------


def batch(n: int = 4, dim: int = 256) -> pa.RecordBatch:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    column = pa.array(vectors.astype(np.float32).tolist(), pa.list_(pa.float32(), dim))
    absent = pa.array([None] * n, column.type)
    errors: list[str | None] = [None] * n
    errors[0] = "missing_image"
    choose = pa.array([i != 1 for i in range(n)])
    return pa.record_batch(
        {
            "uid": pa.array([bytes([i]) * 16 for i in range(n)], pa.binary(16)),
            "turns": pa.array([conversation("How many?", str(i)) for i in range(n)], TURNS),
            "n_images": pa.array([1] * n, pa.int32()),
            "error": pa.array(errors),
            "image": pa.compute.if_else(pa.array([i == 3 for i in range(n)]), column, absent),
            "text": pa.compute.if_else(choose, column, absent),
        }
    )


def test_samples_without_a_vector_are_null_with_a_reason() -> None:
    scores = Probe(random_weights()).score(sampled(batch()))
    assert scores.schema.equals(WRITES, check_metadata=True)
    assert scores["capability_reason"].to_pylist() == [UNUSABLE, NO_VECTOR, None, None]
    for name in OUTPUTS:
        assert scores[name].is_null().to_pylist() == [True, True, False, False]
    assert 0 <= scores["cap_humanities"][2].as_py() <= 5


def test_scores_of_a_shard_do_not_depend_on_its_batches(tmp_path: Path) -> None:
    probe = write_probe(tmp_path, random_weights(), {"model": "x"}, 256, {})
    stage = probe_stage(probe, "vectors")
    rows = batch(64)
    whole = stage.finish(rows, [stage.prepare(sampled(rows))])
    for start in (2, 17, 63):
        part = rows.slice(start, 3)
        assert stage.finish(part, [stage.prepare(sampled(part))]).equals(whole.slice(start, 3))
    assert pickle.loads(pickle.dumps(stage)) == stage


def test_examples_are_the_labelled_readable_samples_in_pool_order(work: Path) -> None:
    workspace = Workspace(work)
    rows = workspace.store.read("checked", ["uid", "error"]).to_pylist()
    some = {row["uid"]: np.full(23, i, np.float32) for i, row in enumerate(rows) if i % 2}
    found = examples(workspace.store, some)
    assert found.uids == [row["uid"] for i, row in enumerate(rows) if i % 2 and row["error"] is None]
    assert found.rows.shape == (len(found.uids), len(names(256)))
    assert all(some[uid][0] == label[0] for uid, label in zip(found.uids, found.labels, strict=True))


# --- the shipped one ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", ["builtin", "builtin:tiny"])
def test_the_shipped_scorer_fits_the_shipped_clip_and_says_what_it_is(clip: str) -> None:
    facts = builtin_probe(clip).facts
    assert facts["encoder"] == model_identity(clip)
    assert not {"opencqa", "tabmwp", "flickr8k", "coco", "multi_image"} & facts["data"].keys()
    assert facts["cross_validation"]["macro_f1"] > 0.9


def test_the_shipped_scorer_scores_by_default_and_is_explained(work: Path) -> None:
    from curation.commands.explain import explain

    workspace = Workspace(work)
    counts = workspace.score()
    assert counts["n_capability_scored"] > 130
    table = workspace.store.read("capability").to_pylist()
    assert table[0].keys() == {"uid", *OUTPUTS, "capability_reason"}
    first = next(row for row in table if row["capability_reason"] is None)
    shown = explain(workspace, first["uid"].hex())["matches"][0]["scores"]
    assert shown["cap_humanities"] == first["cap_humanities"]


@pytest.mark.slow
def test_with_another_model_the_builtin_clip_embeds_beside_it(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever `--model` is, the scores are those that come with `--model builtin`."""
    import shutil

    from curation.models.spec import CLIPS, TINY

    shutil.copytree(CLIPS[TINY], tmp_path / "model")
    pool = {"demo": work / "pool" / "pool.json"}
    for name, model in (("other", str(tmp_path / "model")), ("plain", "builtin")):
        Workspace.init(tmp_path / name, pool, images=[work / "pool"], model=model)
    other, plain = Workspace(tmp_path / "other"), Workspace(tmp_path / "plain")
    other.score()
    plain.score()
    assert {"builtin_chunks", "builtin_vectors", "builtin_image_vectors"} <= set(other.store.tables())
    assert not any(table.startswith("builtin_") for table in plain.store.tables())
    assert other.store.read("builtin_vectors").equals(plain.store.read("vectors"))
    assert other.store.read("capability").equals(plain.store.read("capability"))
    assert other.run("score")["computed"] == {}
