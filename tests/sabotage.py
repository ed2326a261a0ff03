"""Stages that go wrong on purpose, wherever they run: wrappers around the real ones, with their keys."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa


@dataclass(frozen=True)
class Wrapped:
    """The stage itself, in everything that a subclass does not change."""

    stage: Any

    def __getattr__(self, name: str) -> Any:
        if name == "stage" or name.startswith("__"):  # pickle asks before there is a stage
            raise AttributeError(name)
        return getattr(self.stage, name)


def over(sign: Path) -> Path:
    """What a held task leaves behind once it goes on by itself."""
    return sign.with_suffix(".over")


@dataclass(frozen=True)
class Held(Wrapped):
    """Once `after` shards are in the ledger, the first task to come writes its pid into `sign` and waits.

    If nobody stops it, it says in `over` that it waited in vain.
    """

    ledger: Path
    sign: Path
    after: int = 3
    seconds: float = 240

    def finish(self, rows: pa.RecordBatch, prepared: Any) -> pa.RecordBatch:
        """Of a map stage."""
        self._hold()
        return self.stage.finish(rows, prepared)

    def run(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        """Of a group stage."""
        self._hold()
        yield from self.stage.run(rows)

    def _hold(self) -> None:
        if self.sign.exists() or len(list(self.ledger.glob("*.json"))) < self.after:
            return
        partial = self.sign.with_suffix(f".{os.getpid()}")
        partial.write_text(str(os.getpid()))
        try:
            os.link(partial, self.sign)
        except FileExistsError:
            return
        time.sleep(self.seconds)
        over(self.sign).touch()


@dataclass(frozen=True)
class Poisoned(Wrapped):
    """Raises on one image, as a library might."""

    sha256: bytes

    def prepare(self, piece: Any) -> Any:
        """Of a map stage over images."""
        if piece.image is not None and piece.sha256 == self.sha256:
            raise ArithmeticError("poison")
        return self.stage.prepare(piece)


@dataclass(frozen=True)
class Refusing(Wrapped):
    """Raises what ends a run."""

    def finish(self, rows: pa.RecordBatch, prepared: Any) -> pa.RecordBatch:
        """Of a map stage."""
        raise ReadError("the file has changed; ingest again")


@dataclass(frozen=True)
class Deadly(Wrapped):
    """Kills its process wherever it runs, as a lack of memory does."""

    def finish(self, rows: pa.RecordBatch, prepared: Any) -> pa.RecordBatch:
        """Of a map stage."""
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError
