"""The samples of a workspace as Python has them: frames, pictures, and columns of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from curation.commands import frames, named, own_table
from curation.commands.explain import explain
from curation.commands.gallery import Gallery, gallery
from curation.commands.own_scores import add_scores, drop_scores
from curation.commands.score_list import list_scores, write_scores
from curation.commands.search import By, Query, search
from curation.commands.tables import tables, write_table
from curation.pipeline.pipeline import Pipeline
from schemas.flags import overrides, several
from schemas.keywords import SearchKeywords

if TYPE_CHECKING:
    import polars as pl
    from PIL import Image


class Samples(Pipeline):
    """What `Workspace` has of samples one by one."""

    def asked(self, command: str, settings: Mapping[str, Any], others: Sequence[str] = ()) -> Self:
        """The workspace as keywords of a command ask for it; this one stays as it is.

        Raises:
            TypeError: the command has no such flag.
            ConfigError: a value is not allowed.
        """
        given = overrides(command, settings, others)
        return self.with_settings(given) if given else self

    def samples(self) -> pl.LazyFrame:
        """Every record: what it says and shows, and what became of it; see `curation.commands.frames`."""
        return frames.samples(self.store)

    def scores(self) -> pl.LazyFrame:
        """Every record: what it measures, and what became of it; see `curation.commands.frames`."""
        return frames.scores(self.store)

    def images(self, names: named.Names) -> dict[str, list[Image.Image | None]]:
        """The pictures of samples, by uid: see `curation.commands.named`.

        Args:
            names: uids in hex, ids, or a frame with a column `uid`.
        """
        return named.images(self, names)

    def image_bytes(self, names: named.Names) -> dict[str, list[bytes | None]]:
        """The same as the bytes of their files."""
        return named.image_bytes(self, names)

    def show(self, names: named.Names, limit: int = 24) -> Gallery:
        """Samples side by side in Jupyter: see `curation.commands.gallery`.

            ws.show(ws.scores().filter("kept").sort("alignment").select("uid", "alignment"))

        Args:
            names: uids in hex, ids, or a frame with a column `uid`, whose other columns are shown too.
            limit: how many are shown.
        """
        return gallery(self, names, limit)

    def list_scores(
        self, *, columns: str | Sequence[str] = (), where: str | Sequence[str] = (), limit: int = 20
    ) -> dict[str, Any]:
        """The first samples that meet conditions: see `curation.commands.score_list`."""
        return list_scores(self.store, several(columns), several(where), limit)

    def write_scores(
        self,
        out: Path | str,
        *,
        columns: str | Sequence[str] = (),
        where: str | Sequence[str] = (),
        limit: int | None = None,
    ) -> dict[str, Any]:
        """Write what samples measure as Parquet or CSV: see `curation.commands.score_list`."""
        return write_scores(self.store, out, several(columns), several(where), limit)

    def add_scores(self, frame: own_table.Frame, *, replace: bool = False) -> dict[str, Any]:
        """Take in columns of one's own, by `uid` or `id`, to filter and choose by.

            ws.add_scores({"id": ["chart-7", "chart-8"], "difficulty": [0.2, 0.9]})
            ws.select(budget="30%", strategy="top:difficulty")

        Args:
            frame: a frame of polars or pandas, an Arrow table, a dict of columns, or a file of one.
            replace: columns that were added before may be among them.

        Raises:
            ConfigError: a column or id is not as it should be; the message names it.
        """
        return add_scores(self, frame, replace=replace)

    def drop_scores(self, *names: str) -> dict[str, Any]:
        """Take columns away that were added."""
        return drop_scores(self, names)

    def tables(self) -> dict[str, Any]:
        """Rows and columns of every table: see `curation.commands.tables`."""
        return tables(self.store)

    def write_table(self, name: str, out: Path | str) -> dict[str, Any]:
        """Write a table as Parquet or CSV: see `curation.commands.tables`."""
        return write_table(self.store, name, out)

    def explain(self, ident: str) -> dict[str, Any]:
        """Everything known of the records called `ident`: see `curation.commands.explain`."""
        return explain(self, ident)

    def search(
        self,
        text: str | None = None,
        *,
        image: Path | str | bytes | None = None,
        like: str | None = None,
        by: By | None = None,
        n: int = 10,
        where: str | Sequence[str] = (),
        **settings: Unpack[SearchKeywords],
    ) -> dict[str, Any]:
        """The samples nearest to a text, a picture or a sample: see `curation.commands.search`.

        Args:
            text: words that the encoder reads.
            image: a file, or the bytes of one.
            like: the id of a sample, its uid, or the beginning of that.
            by: compare what samples show, what they say, or the better of both.
            n: how many at most.
            where: conditions over columns.
        """
        workspace = self.asked("search", settings, ["image", "like", "by", "n", "where"])
        return search(workspace, Query(text, image, like, by, n), several(where))
