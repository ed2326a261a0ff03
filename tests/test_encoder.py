"""The encoder: open_clip's own pixels, unit vectors, no lost word, and errors that say what to do."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clustering.processor import has_bf16_instructions
from curation.generate import KINDS
from curation.models.encoder import OpenClipEncoder, load_encoder
from curation.models.encoders import bf16_cosine, resolve_environment
from curation.models.spec import CLIPS, TINY, model_identity, parse_spec
from curation.models.weights import verify_builtin
from schemas.errors import ConfigError, ModelUnavailable
from training.pairs import changed, recompressed

ROOT = Path(__file__).parents[1]
PICTURED = [kind for kind in KINDS if kind != "arithmetic"]


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return load_encoder(TINY, device="cpu", dtype="float32")


def drawn(n: int) -> list[Image.Image]:
    images = [KINDS[PICTURED[seed % len(PICTURED)]](random.Random(seed)).image for seed in range(n)]
    return [image for image in images if image is not None]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
@pytest.mark.parametrize("model", [TINY, "RN50/random"])
def test_pixels_equal_open_clips_own_transform_bit_for_bit(model: str, mode: str) -> None:
    import open_clip
    import torch

    ours = load_encoder(model, device="cpu", dtype="float32")
    _, _, theirs = open_clip.create_model_and_transforms(
        f"local-dir:{CLIPS[TINY]}" if model == TINY else "RN50"
    )
    for image in drawn(4):
        seen = image.convert(mode)
        pixels = ours.preprocess(seen)
        assert pixels.dtype == np.uint8
        assert pixels.shape == (3, *ours.image_size)
        assert torch.equal(ours._normalised(torch.from_numpy(pixels[None])), theirs(seen)[None])


def test_vectors_have_unit_length_and_the_stated_shape(encoder: OpenClipEncoder) -> None:
    images = encoder.encode_images(np.stack([encoder.preprocess(image) for image in drawn(6)]))
    texts = encoder.encode_texts(encoder.tokenize(["a red circle", "", "three fish"]))
    assert images.shape == (6, encoder.dim)
    assert texts.shape == (3, encoder.dim)
    assert images.dtype == texts.dtype == np.float32
    for vectors in (images, texts):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_row_does_not_depend_on_its_place_in_the_batch(dtype: str) -> None:
    encoder = load_encoder(TINY, device="cpu", dtype=dtype)
    pixels = np.stack([encoder.preprocess(image) for image in drawn(32)])
    tokens = encoder.tokenize([KINDS["scenes"](random.Random(seed)).caption for seed in range(32)])
    order = np.random.default_rng(0).permutation(32)
    assert np.array_equal(encoder.encode_images(pixels)[order], encoder.encode_images(pixels[order]))
    assert np.array_equal(encoder.encode_texts(tokens)[order], encoder.encode_texts(tokens[order]))


def test_threads_get_the_same_tokens_and_pixels(encoder: OpenClipEncoder) -> None:
    images, texts = drawn(24), [KINDS["scenes"](random.Random(seed)).caption for seed in range(24)]

    def work(i: int) -> tuple[np.ndarray, np.ndarray, int]:
        return encoder.preprocess(images[i]), encoder.tokenize([texts[i]])[0], encoder.count_tokens(texts[i])

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(work, range(24)))
    for i, (pixels, tokens, count) in enumerate(found):
        assert np.array_equal(pixels, encoder.preprocess(images[i]))
        assert np.array_equal(tokens, encoder.tokenize([texts[i]])[0])
        assert count == np.count_nonzero(tokens)


@pytest.mark.parametrize("model", [TINY, "RN50/random"])
def test_split_keeps_every_word_and_every_piece_fits(model: str) -> None:
    encoder = load_encoder(model, device="cpu", dtype="float32")
    rng = random.Random(0)
    vocabulary = [
        "hello",
        "antidisestablishmentarianism",
        "x",
        "42.50",
        "é",
        "日本語のテキスト",
        "&amp;",
        "don't",
        "a-b",
    ]
    for n in (1, 20, 60, 61, 62, 500):
        text = " ".join(rng.choice(vocabulary) for _ in range(n))
        pieces = encoder.split(text)
        assert " ".join(pieces).split() == text.split()
        assert all(encoder.count_tokens(piece) <= encoder.context_length for piece in pieces)
    assert encoder.split("  \n ") == []


def test_a_word_too_long_is_cut_in_characters_and_the_work_grows_with_its_length(
    encoder: OpenClipEncoder,
) -> None:
    word = "ab3/é" * 8000
    started = time.process_time()  # whatever else the machine does
    pieces = encoder.split(f"see {word} there")
    assert time.process_time() - started < 5
    assert "".join(pieces).replace(" ", "") == f"see{word}there"
    assert all(encoder.count_tokens(piece) <= encoder.context_length for piece in pieces)


def test_tokens_are_counted_untruncated(encoder: OpenClipEncoder) -> None:
    text = "a red circle " * 60
    assert encoder.count_tokens(text) > encoder.context_length
    assert encoder.tokenize([text]).shape == (1, encoder.context_length)
    assert encoder.tokenize([]).shape == (0, encoder.context_length)


@pytest.mark.slow
def test_copies_are_near_and_other_pictures_are_not(encoder: OpenClipEncoder) -> None:
    images = drawn(60)
    smaller = [image.resize((image.width * 3 // 5, image.height * 3 // 5)) for image in images]
    rough = [recompressed(image, 40) for image in images]
    vectors = [
        encoder.encode_images(np.stack([encoder.preprocess(image) for image in part]))
        for part in (images, smaller, rough)
    ]
    for copies in vectors[1:]:
        assert np.median((vectors[0] * copies).sum(axis=1)) > 0.97
    between = vectors[0] @ vectors[0].T
    assert np.median(between) < 0.6


@pytest.mark.slow
def test_bf16_weights_are_close_to_float32() -> None:
    assert bf16_cosine(TINY) >= 0.999


@pytest.mark.slow
def test_random_weights_are_the_same_every_time() -> None:
    first, second = (load_encoder("RN50/random", device="cpu", dtype="float32") for _ in range(2))
    pixels = np.stack([first.preprocess(image) for image in drawn(2)])
    assert np.array_equal(first.encode_images(pixels), second.encode_images(pixels))


@pytest.mark.slow
def test_missing_weights_name_the_builtin_model_without_waiting_for_a_hub(tmp_path: Path) -> None:
    code = (
        "from curation.models.encoder import load_encoder\n"
        "from schemas.errors import ModelUnavailable\n"
        "try:\n    load_encoder('ViT-B-32/laion2b_s34b_b79k', device='cpu', dtype='float32')\n"
        "except ModelUnavailable as error:\n    raise SystemExit(str(error))\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment.pop("HF_HUB_CACHE", None)
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=150,
        env=environment,
        check=False,
    )
    assert "--model builtin" in run.stderr
    assert "laion/CLIP-ViT-B-32-laion2B-s34B-b79K" in run.stderr
    assert str(tmp_path) in run.stderr


def test_a_hub_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from curation.models import weights

    def slowly() -> str:
        time.sleep(5)
        return ""

    monkeypatch.setattr(weights, "PATIENCE", 0.2)
    with pytest.raises(ModelUnavailable, match="--model builtin"):
        weights._within_patience(slowly, "a slow hub")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("ViT-B-33/openai", "ViT-B-32"),
        ("ViT-B-32", "ViT-B-32/PRETRAINED"),
        ("ViT-B-32/laion2b_s34b", "laion2b_s34b_b79k"),
        ("hf-hub:nothing", "hf-hub:ORG/NAME"),
        ("ViT-B-32@/nowhere.pt", "/nowhere.pt"),
    ],
)
def test_a_wrong_name_is_answered_with_close_ones(model: str, said: str) -> None:
    with pytest.raises(ModelUnavailable, match="--model builtin") as raised:
        load_encoder(model, device="cpu", dtype="float32")
    assert said in str(raised.value)


def test_builtin_weights_that_differ_from_their_checksum_are_refused(tmp_path: Path) -> None:
    content = bytearray((CLIPS[TINY] / "model.safetensors").read_bytes())
    verify_builtin(CLIPS[TINY])
    shutil.copy(CLIPS[TINY] / "model.sha256", tmp_path)
    content[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelUnavailable, match="damaged"):
        verify_builtin(tmp_path)


def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(tmp_path / "ran"),))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"state_dict": Evil()}, protocol=2))
    with pytest.raises(ModelUnavailable, match="more than tensors"):
        load_encoder(f"RN50@{tmp_path / 'evil.pt'}", device="cpu", dtype="float32")
    assert not (tmp_path / "ran").exists()


def test_a_local_folder_gives_the_vectors_of_its_weights(encoder: OpenClipEncoder, tmp_path: Path) -> None:
    shutil.copytree(CLIPS[TINY], tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").rename(tmp_path / "copy" / "open_clip_model.safetensors")
    local = load_encoder(str(tmp_path / "copy"), device="cpu", dtype="float32")
    pixels = np.stack([encoder.preprocess(image) for image in drawn(2)])
    assert np.array_equal(local.encode_images(pixels), encoder.encode_images(pixels))
    before = model_identity(str(tmp_path / "copy"))
    config = json.loads((tmp_path / "copy" / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["mean"] = [0.4, 0.4, 0.4]
    (tmp_path / "copy" / "open_clip_config.json").write_text(json.dumps(config))
    assert model_identity(str(tmp_path / "copy")) != before
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    (tmp_path / "copy" / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match="never"):
        load_encoder(str(tmp_path / "copy"), device="cpu", dtype="float32")


def test_the_environment_is_resolved_without_torch() -> None:
    code = (
        "import sys\nfrom curation.models.encoders import resolve_environment\n"
        "found = resolve_environment('builtin:tiny', 'cpu')\n"
        "assert found['device'] == 'cpu' and len(found['sha256']) == 64, found\n"
        "assert {'dtype', 'torch', 'open_clip_torch', 'transformers', 'pillow'} <= set(found)\n"
        "assert 'torch' not in sys.modules and 'open_clip' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


def test_a_hidden_gpu_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert resolve_environment(TINY)["device"] == "cpu"
    with pytest.raises(ConfigError, match="no GPU is visible"):
        resolve_environment(TINY, "cuda")
    with pytest.raises(ConfigError, match="auto, cpu or cuda"):
        resolve_environment(TINY, "tpu")


def test_bf16_is_read_from_the_processors_flags(tmp_path: Path) -> None:
    (tmp_path / "with").write_text("processor: 0\nflags\t\t: fpu avx512f avx512_bf16\n")
    (tmp_path / "without").write_text("processor: 0\nflags\t\t: fpu avx2\n")
    assert has_bf16_instructions(tmp_path / "with")
    assert not has_bf16_instructions(tmp_path / "without")
    assert not has_bf16_instructions(tmp_path / "absent")


def test_every_form_of_model_is_understood() -> None:
    forms = {"builtin": "builtin", "ViT-B-32/openai": "tag", "RN50/random": "random", "hf-hub:a/b": "hub"}
    assert {model: parse_spec(model).form for model in forms} == forms


def test_slight_changes_keep_a_picture_a_picture() -> None:
    rng = random.Random(0)
    for image in drawn(12):
        copy = changed(image, rng)
        assert copy.mode == "RGB"
        assert min(copy.size) >= 24
