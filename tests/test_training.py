"""Training the built-in CLIP: what is held out, a run that goes on after a stop, the figures' arithmetic."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from training import clip_evaluation
from training.clip import Settings, train
from training.pairs import Pair, held_out, real_records, synthetic_pairs

pytestmark = pytest.mark.slow


def test_a_training_that_goes_on_from_its_checkpoint_ends_with_the_same_weights(tmp_path: Path) -> None:
    settings = Settings(
        tmp_path / "whole", synthetic=32, batch=8, views=4, threads=1, steps=3, save_every=2, minutes=0
    )
    train(settings)
    weights = (settings.out / "model.safetensors").read_bytes()
    (settings.out / "model.safetensors").unlink()
    train(settings)  # from step 2, where the only checkpoint is
    assert (settings.out / "model.safetensors").read_bytes() == weights
    train(replace(settings, out=tmp_path / "other", seed=1))
    other = load_file(tmp_path / "other" / "model.safetensors")
    assert not np.array_equal(
        other["visual.proj"], load_file(settings.out / "model.safetensors")["visual.proj"]
    )


def test_what_training_wrote_is_a_model_that_loads(tmp_path: Path) -> None:
    from curation.models.encoder import load_encoder

    train(Settings(tmp_path, synthetic=16, batch=8, views=4, threads=1, steps=1))
    encoder = load_encoder(str(tmp_path), device="cpu", dtype="float32")
    vectors = encoder.encode_texts(encoder.tokenize(["a red circle", "two blue stars"]))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_picture_held_out_is_trained_on(shared: Path) -> None:
    aside, trained = (list(real_records(shared, aside=which)) for which in (True, False))
    by_source = {source for source, _, _ in trained}
    assert {source for source, _, _ in aside} == by_source
    content = {path.read_bytes() for _, path, _ in aside}
    assert not [path for _, path, _ in trained if path.read_bytes() in content]
    assert 0.08 < len(aside) / (len(aside) + len(trained)) < 0.12


def test_equal_files_are_held_out_together(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}").write_bytes(bytes([number // 2]))
    kept = held_out(tmp_path, [path.name for path in tmp_path.iterdir()], "any")
    assert len(kept) == 4
    assert len({int(name) // 2 for name in kept}) == 2
    assert kept == held_out(tmp_path, sorted(path.name for path in tmp_path.iterdir()), "any")


def test_drawn_pairs_carry_their_turns() -> None:
    for pair in synthetic_pairs(range(16), 5):
        assert pair.turns
        assert set(pair.turns) < set(pair.texts)


def test_recall_counts_ties_against_a_row() -> None:
    similarity = np.array([[0.9, 0.1, 0.2], [0.5, 0.5, 0.1], [0.7, 0.8, 0.1]], np.float32)
    assert clip_evaluation.recall(similarity, 1) == pytest.approx(1 / 3)
    assert clip_evaluation.recall(similarity, 2) == pytest.approx(2 / 3)
    assert clip_evaluation.recall(similarity, 3) == 1


def test_auc_is_the_share_of_pairs_in_order() -> None:
    true, false = np.array([0.2, 0.6], np.float32), np.array([0.1, 0.2, 0.7], np.float32)
    assert clip_evaluation.auc(true, false) == pytest.approx((1.5 + 2) / 6)


def test_knn_accuracy_asks_the_others() -> None:
    angles = np.concatenate([np.linspace(0, 0.1, 7), np.linspace(1.5, 1.6, 7)])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert clip_evaluation.knn_accuracy(vectors, ["a"] * 7 + ["b"] * 7) == 1
    assert clip_evaluation.knn_accuracy(vectors, ["a"] * 6 + ["b"] * 8) == pytest.approx(13 / 14)


def test_a_source_is_limited_and_no_picture_comes_twice() -> None:
    pictures = [Image.new("RGB", (2, 2), (number % 250, number // 250, 0)) for number in range(600)]
    pairs = [Pair(picture, ("t",), "many", ("t",)) for picture in (*pictures, *pictures)]
    pairs += [Pair(pictures[0], ("t",), "few", ("t",))]
    kept = clip_evaluation.limited(pairs)
    assert [pair.source for pair in kept].count("many") == clip_evaluation.MOST
    assert len({pair.image.tobytes() for pair in kept if pair.source == "many"}) == clip_evaluation.MOST
    assert kept == clip_evaluation.limited(pairs)
