"""The protocol against `transformers serve`, a server that others wrote, with models that are on disk."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from curation.endpoint.asker import asker, close_askers
from curation.endpoint.dialect import known_endpoint
from curation.generate.pool import write_pool
from curation.models.spec import VLM
from curation.workspace import Workspace
from scorers.taxonomy import CAPABILITY_COLUMNS
from tests.test_endpoint import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


def three(folder: Path) -> Path:
    """A LLaVA that answers everything with 3: its language model is a table of what follows which token."""
    import torch
    from transformers import LlamaConfig, LlavaForConditionalGeneration

    from tests.tiny_models import tiny

    model, processor = tiny("llava")
    tokenizer = processor.tokenizer
    config = model.config
    size = 8 * (len(tokenizer) // 8 + 1)
    config.text_config = LlamaConfig(
        hidden_size=size, intermediate_size=8, num_hidden_layers=1, num_attention_heads=4,
        vocab_size=len(tokenizer), tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    made = LlavaForConditionalGeneration(config)
    colon, digit = (tokenizer.encode(text, add_special_tokens=False)[-1] for text in (":", "3"))
    with torch.no_grad():
        language = made.model.language_model
        language.embed_tokens.weight.copy_(torch.eye(len(tokenizer), size))
        language.layers[0].self_attn.o_proj.weight.zero_()
        language.layers[0].mlp.down_proj.weight.zero_()
        made.lm_head.weight.zero_()
        made.lm_head.weight[digit, colon] = made.lm_head.weight[2, digit] = 1.0
    made.generation_config.eos_token_id, made.generation_config.pad_token_id = 2, 0
    made.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@contextmanager
def serving(model: Path, log: Path) -> Iterator[str]:
    """The URL of `transformers serve` with this model alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = "from transformers.cli.transformers import main; main()"
    words = [sys.executable, "-c", program, "serve", str(model), "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen([*words, "--host", "127.0.0.1"], env=environment, stdout=out, stderr=out)
        try:
            end = time.monotonic() + 300
            while not up(port):
                assert process.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < end, "it does not start"
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            close_askers()
            process.kill()
            process.wait()


def up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    write_pool(tmp_path / "pool", 24, seed=5)
    records = json.loads((tmp_path / "pool" / "pool.json").read_text())
    few = tmp_path / "pool" / "few.json"
    few.write_text(
        json.dumps([r for r in records if "image" in r][:4] + [r for r in records if "image" not in r][:1])
    )
    Workspace.init(tmp_path / "work", {"demo": few}, images=[tmp_path / "pool"], model="builtin:tiny")
    return Workspace(tmp_path / "work")


def asked(workspace: Workspace, url: str, model: Path, **more: Any) -> tuple[dict[str, Any], dict[str, int]]:
    """The tables, and what the asking took."""
    named = {"url": url, "model": str(model), "concurrency": 4, "judge": True, **more}
    settings = {f"endpoint.{name}": value for name, value in named.items()}
    opened = Workspace(workspace.base, {"capability.backend": "endpoint", **settings})
    opened.ingest()
    tables = ask(opened)
    return tables, asker(known_endpoint(opened.config, opened.store.root)).counts


def test_digits_of_a_served_model_become_points_and_what_is_no_json_a_reason(
    workspace: Workspace, tmp_path: Path
) -> None:
    model = three(tmp_path / "three")
    with serving(model, tmp_path / "log") as url:
        tables, counts = asked(workspace, url, model, mode="each")
    rows = [r for r in tables["capability"] if not r["capability_reason"].startswith("quarantined")]
    assert len(rows) >= 3
    for row in rows:
        assert {row[name] for name in CAPABILITY_COLUMNS} == {3.0}
        assert row["style_yes_no"] is None
        assert row["capability_reason"].startswith("malformed: styles names none of the nine")
    judged = {row["judge_reason"] for row in tables["judgement"] if "quarantined" not in row["judge_reason"]}
    assert judged == {"malformed: it holds no JSON object: '3'"}
    assert counts["retried"] == 0
    assert counts["completion_tokens"] > 0
    assert counts["prompt_tokens"] > 100 * counts["asked"]


def test_the_builtin_vlm_is_asked_like_any_other(workspace: Workspace, tmp_path: Path) -> None:
    model = VLM
    with serving(model, tmp_path / "log") as url:
        tables, counts = asked(workspace, url, model, judge=False, timeout=300.0)
    rows = [row for row in tables["capability"] if "quarantined" not in (row["capability_reason"] or "")]
    codes = {(row["capability_reason"] or "scored").partition(":")[0] for row in rows}
    assert codes <= {"scored", "malformed"}
    assert counts["completion_tokens"] > 0
