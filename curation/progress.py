"""Progress on stderr: a bar with rate and time left on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from schemas.protocols import Bar, Progress


class Silent:
    """No output."""

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        yield self

    def advance(self, n: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Lines:
    """A plain line every `every` seconds of a stage, and one at its end unless it was over at once."""

    def __init__(self, every: float = 10.0) -> None:
        self.every = every

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        count = _Count(title, total, unit, self.every)
        yield count
        count.end()

    def note(self, text: str) -> None:
        sys.stderr.write(text + "\n")


class _Count:
    worth_a_line = 0.3  # seconds; most stages take less and say nothing

    def __init__(self, title: str, total: int, unit: str, every: float) -> None:
        self.title, self.total, self.unit, self.every = title, total, unit, every
        self.done = 0
        self.start = self.last = time.monotonic()

    def advance(self, n: int) -> None:
        self.done += n
        now = time.monotonic()
        if now - self.last >= self.every:
            self.last = now
            rate = self.done / (now - self.start)
            left = (self.total - self.done) / rate if rate else 0.0
            sys.stderr.write(
                f"{self.title}: {self.done:,} of {self.total:,} {self.unit}, {rate:,.0f}/s, "
                f"{duration(left)} left\n"
            )

    def end(self) -> None:
        seconds = time.monotonic() - self.start
        if seconds >= self.worth_a_line:
            rate = f"{self.done / seconds:,.0f}/s"
            sys.stderr.write(f"{self.title}: {self.done:,} {self.unit} in {duration(seconds)}, {rate}\n")


class Terminal:
    """rich's bar."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        from rich import progress as rich

        columns = (
            rich.TextColumn("{task.description:<28}"),
            rich.BarColumn(bar_width=24),
            rich.MofNCompleteColumn(),
            rich.TextColumn(unit),
            rich.TextColumn("{task.fields[rate]}"),
            rich.TimeRemainingColumn(),
        )
        with rich.Progress(*columns, console=self.console) as display:
            yield _RichBar(display, title, total)

    def note(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)


class _RichBar:
    def __init__(self, display: object, title: str, total: int) -> None:
        from rich.progress import Progress as Display

        assert isinstance(display, Display)
        self.display = display
        self.task = display.add_task(title, total=total, rate="")
        self.done = 0
        self.start = time.monotonic()

    def advance(self, n: int) -> None:
        self.done += n
        rate = self.done / max(time.monotonic() - self.start, 1e-6)
        self.display.update(self.task, advance=n, rate=f"{rate:,.0f}/s")


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def default(*, quiet: bool) -> Progress:
    """The one that fits stderr."""
    if quiet:
        return Silent()
    return Terminal() if sys.stderr.isatty() else Lines()
