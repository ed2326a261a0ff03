"""What asking would take: requests, those that are answered already, and tokens. Sends nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from curation.commands.annotate import clustering, rows_of, sample
from curation.endpoint.address import Endpoint, is_asked
from curation.endpoint.answers import Answers
from curation.endpoint.dialect import known_endpoint
from curation.endpoint.requests import Request
from curation.executor.keys import keys_of
from curation.executor.planner import State
from curation.pipeline.pipeline import Pipeline
from curation.steps.score.endpoint import Ask, endpoint_capability, judgement_stages, sample_of
from schemas.stages import Stage
from scorers.capability import Capability
from scorers.hygiene import count_tokens
from scorers.questions import SYSTEM, Question, prompt

# A side of the squares that Qwen2-VL makes a token of; other models take more or fewer of an image.
PATCH = 28  # px
# Tokens of a conversation that is not read yet.
USUAL_TOKENS = 150
SECONDS = 2.0  # that an answer takes, until this one is measured
# Shards that are looked at, evenly spread; what there is in others is taken to be alike.
MOST_SHARDS = 32


@dataclass
class Needs:
    """What requests would take, summed up as they are looked at."""

    endpoint: Endpoint
    n_requests: int = 0
    n_held: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seen: set[str] = field(default_factory=set)

    def add(self, row: dict[str, Any], questions: Sequence[Question], max_pixels: int) -> None:
        """One row of `samples` (turns, images). A request equal to an earlier one costs nothing."""
        sample = sample_of(self.endpoint, row, max_pixels)
        answers = Answers(self.endpoint.answers, self.endpoint.model)
        for question in questions:
            digest = Request(self.endpoint, sample, question).digest
            if digest in self.seen:
                continue
            self.seen.add(digest)
            self.n_requests += 1
            if answers.get(digest) is not None:
                self.n_held += 1
            else:
                self.spend(question, sample.turns, len(sample.pictures))

    def guess(self, n: int, questions: Sequence[Question]) -> None:
        """`n` samples of which nothing is known, taken to have an image each."""
        for question in questions:
            self.n_requests += n
            self.prompt_tokens += n * (USUAL_TOKENS + self._prompt(question, (), 1))
            self.completion_tokens += n * question.usual_tokens

    def spend(self, question: Question, turns: Sequence[tuple[str, str]], n_images: int) -> None:
        """One request that would be sent."""
        self.prompt_tokens += self._prompt(question, turns, n_images)
        self.completion_tokens += question.usual_tokens

    def _prompt(self, question: Question, turns: Sequence[tuple[str, str]], n_images: int) -> int:
        of_images = n_images * math.ceil(self.endpoint.side / PATCH) ** 2
        return of_images + count_tokens(SYSTEM) + count_tokens(prompt(turns, n_images, question.text))

    def tree(self, share: float = 1.0, *, estimated: bool = False) -> dict[str, Any]:
        """As `--json` prints it; `share` of the rows was looked at."""

        def scaled(n: int) -> int:
            return round(n / share)

        to_ask = scaled(self.n_requests) - scaled(self.n_held)
        return {
            "url": self.endpoint.url,
            "model": self.endpoint.model,
            "n_requests": scaled(self.n_requests),
            "n_held": scaled(self.n_held),
            "n_to_ask": to_ask,
            "prompt_tokens": scaled(self.prompt_tokens),
            "completion_tokens": scaled(self.completion_tokens),
            "seconds": round(to_ask * SECONDS / self.endpoint.concurrency, 1),
            "estimated": estimated or share < 1,
        }


def of_sample(workspace: Pipeline, n: int) -> dict[str, Any]:
    """Of `curate annotate --sample n`.

    Raises:
        ConfigError: no endpoint is named.
    """
    config = workspace.config
    needs = Needs(known_endpoint(config, workspace.store.root))
    questions = Capability(config.endpoint.mode).questions()
    with workspace.store.snapshot():
        states = workspace.planner().states(clustering(workspace.context))
        if any(state.state != "fresh" for state in states):
            needs.guess(n, questions)
            return needs.tree(estimated=True)
        for row in rows_of(workspace, sample(workspace, n, config.run.seed)):
            needs.add(row, questions, config.images.max_pixels)
    return needs.tree()


def of_score(workspace: Pipeline, states: Sequence[State], n_records: int) -> dict[str, Any] | None:
    """Of the stages among `states` that ask the endpoint; None where none of them does."""
    config, store = workspace.config, workspace.store
    if not is_asked(config):
        return None
    stages: list[Stage] = judgement_stages(workspace.context)
    if config.capability.backend == "endpoint":
        stages += endpoint_capability(workspace.context)
    needs = Needs(known_endpoint(config, store.root))
    total = looked_at = 0
    known = {state.stage: state for state in states}
    for stage in stages:
        assert isinstance(stage, Ask)
        state = known.get(stage.name)
        if state is None:  # the plan ends before it
            continue
        questions = stage.scorer.questions()
        if state.shards is None:
            needs.guess(n_records, questions)
            return needs.tree(estimated=True)
        missing = _missing(workspace, stage)
        total += len(missing)
        some = missing[:: math.ceil(len(missing) / MOST_SHARDS)] if missing else []
        looked_at += len(some)
        for number in some:
            for row in _usable(workspace, number):
                needs.add(row, questions, config.images.max_pixels)
    return needs.tree(looked_at / total if total else 1.0)


def _missing(workspace: Pipeline, stage: Ask) -> list[int]:
    store = workspace.store
    keys = keys_of(stage, store)[stage.name]
    found, _ = store.committed(stage.name, keys)
    return [number for number, key in enumerate(keys) if key not in found]


def _usable(workspace: Pipeline, number: int) -> list[dict[str, Any]]:
    store = workspace.store
    usable = store.read("checked", ["error"], number)["error"].is_null()
    rows: list[dict[str, Any]] = store.read("samples", ["turns", "images"], number).filter(usable).to_pylist()
    return rows
