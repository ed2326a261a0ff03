"""A gallery of samples for Jupyter: small pictures, what is said, and what became of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from curation.commands import named
from curation.commands.frames import sample_rows
from curation.pipeline.pipeline import Pipeline
from curation.report.gallery import data_urls
from curation.report.records import records, turns_of
from schemas.visible import visible

if TYPE_CHECKING:
    import polars as pl

SIDE = 200  # px of a picture
CHARS = 1200  # of a text
PICTURES = 4  # of a sample
FACTS = ("kept", "reason", "rank", "cluster", "error", "error_message")
HIDDEN = ("uid", "id", "dataset", "source", "text", "turns", "images", *FACTS)
STYLE = """\
.curate { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 12px;
  font: 13px/1.4 sans-serif }
.curate article { border: 1px solid rgba(128, 128, 128, .4); border-radius: 6px; padding: 8px;
  overflow: hidden }
.curate img { max-width: 100%; max-height: 200px; margin: 0 4px 4px 0; background: #fff }
.curate pre { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 12em; overflow: auto;
  margin: 6px 0 0; padding: 0; font: inherit; background: none; color: inherit }
.curate small { display: block; opacity: .75; overflow-wrap: anywhere }
.curate b { display: block; overflow-wrap: anywhere }
"""


@dataclass(frozen=True)
class Card:
    """A sample as it is shown: plain text, nothing of it escaped yet."""

    name: str
    facts: tuple[str, ...]
    text: str
    pictures: tuple[tuple[str, str], ...]  # (name, data: URL; empty where it cannot be shown)


@dataclass(frozen=True)
class Gallery:
    """Samples side by side. Jupyter shows it as HTML that asks no network; as text it is a line a sample."""

    cards: tuple[Card, ...]
    n_more: int = 0

    def _repr_html_(self) -> str:
        return self.html

    @property
    def html(self) -> str:
        """A piece of HTML. All text of samples is escaped."""
        more = f"<p>and {self.n_more:,} more</p>" if self.n_more else ""
        cards = "".join(map(_article, self.cards))
        return f'<style>{STYLE}</style><div class="curate">{cards}</div>{more}'

    def __repr__(self) -> str:
        lines = [f"{visible(card.name)}: {visible(card.text[:60])}" for card in self.cards]
        return "\n".join([*lines, *([f"and {self.n_more:,} more"] if self.n_more else [])])


def gallery(workspace: Pipeline, names: named.Names, limit: int = 24) -> Gallery:
    """The first `limit` of the samples: their pictures small, their text, and what became of them.

    Args:
        workspace: where they are.
        names: uids, ids, or a frame with a column `uid`, whose other columns are shown too.
        limit: how many.

    Raises:
        ConfigError: no sample is called so.
    """
    said = _said(names)
    at = named.places(workspace.store, names if said is None else said)
    shown = at[:limit]
    rows = records(workspace.store, shown)
    texts = [_text(turns) for turns in turns_of(workspace.store, shown)]
    decided = sample_rows(workspace.store).at(shown.tolist(), FACTS)
    refs = [ref for row in rows for ref in row["images"][:PICTURES]]
    urls = data_urls(refs, side=SIDE, max_pixels=workspace.config.images.max_pixels)
    captions = {row["uid"]: row for row in said.iter_rows(named=True)} if said is not None else {}
    cards = []
    for row, text, facts in zip(rows, texts, decided, strict=True):
        more = {name: value for name, value in captions.get(row["uid"], {}).items() if name not in HIDDEN}
        cards.append(
            Card(row["id"] or row["uid"], tuple(_facts(row, facts, more)), text, _pictures(row, urls))
        )
    return Gallery(tuple(cards), len(at) - len(shown))


def _said(names: named.Names) -> pl.DataFrame | None:
    """The frame that names the samples by uid, if it is one."""
    import polars as pl

    frame = names.collect() if isinstance(names, pl.LazyFrame) else names
    return frame if isinstance(frame, pl.DataFrame) and "uid" in frame.columns else None


def _text(turns: list[dict[str, str]]) -> str:
    text = "\n".join(f"{turn['role']}: {turn['text']}" for turn in turns)
    left = len(text) - CHARS
    return text if left <= 0 else f"{text[:CHARS]}… ({left:,} more characters)"


def _facts(row: Mapping[str, Any], facts: Mapping[str, Any], more: Mapping[str, Any]) -> Iterator[str]:
    yield " · ".join(filter(None, [row["dataset"], row["source"]]))
    if facts["error"]:
        yield f"{facts['error']}: {facts['error_message'] or ''}"
    elif facts["kept"] is not None:
        became = f"kept, pick {facts['rank'] + 1:,}" if facts["kept"] else f"not kept: {facts['reason']}"
        yield became + (f" · cluster {facts['cluster']}" if facts["cluster"] is not None else "")
    yield " · ".join(f"{name} {_value(value)}" for name, value in more.items() if value is not None)


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _pictures(row: Mapping[str, Any], urls: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    refs = row["images"][:PICTURES]
    return tuple(
        (ref["name"] or "", urls.get(ref["sha256"].hex(), "") if ref["sha256"] else "") for ref in refs
    )


def _article(card: Card) -> str:
    pictures = "".join(
        f'<img src="{url}" alt="{_safe(name)}" title="{_safe(name)}">'
        if url
        else f"<small>{_safe(name)}</small>"
        for name, url in card.pictures
    )
    facts = "".join(f'<small dir="auto">{_safe(fact)}</small>' for fact in card.facts if fact)
    return (
        f'<article>{pictures}<b dir="auto">{_safe(card.name)}</b>{facts}'
        f'<pre dir="auto">{_safe(card.text)}</pre></article>'
    )


def _safe(text: str) -> str:
    """Text as HTML shows it, line breaks kept; what hides or turns text is spelled out."""
    return escape("\n".join(visible(line) for line in text.split("\n")), quote=True)
