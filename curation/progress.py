"""Progress on stderr: one bar for the whole of a command on a terminal, plain lines elsewhere, or nothing.

What a bar is titled by and what a note says may come from data, and is made visible.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from schemas.protocols import Ahead, Bar, Progress
from schemas.visible import visible

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import RenderableType

WORTH_A_LINE = 3.0  # seconds; most stages take less, and say nothing at their end
WORTH_A_BAR = 0.4  # seconds that a command takes before it shows one
SURE = 1.0  # seconds after which what was measured says more than what was expected
DOUBT = 10.0  # seconds of work that must be done before a machine counts as slower than expected


class Silent:
    """No output."""

    def course(self, ahead: Callable[[], Sequence[Ahead]]) -> AbstractContextManager[None]:
        return nullcontext()

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        yield self

    def advance(self, n: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Course:
    """The stages of a command in order: which step is under way, and how long all that is left takes."""

    def __init__(self, ahead: Callable[[], Sequence[Ahead]]) -> None:
        self._find = ahead
        self._stages: Sequence[Ahead] | None = None
        self._passed = 0  # stages before the one under way
        self._expected, self._took = 0.0, 0.0  # seconds of those that are done

    @property
    def stages(self) -> Sequence[Ahead]:
        """Found out at the first bar, so that a command with nothing to do does not ask."""
        if self._stages is None:
            self._stages = self._find()
        return self._stages

    def enter(self, names: Sequence[str]) -> None:
        """Begin with stages that are computed together. Those before them are done or were there."""
        places = [n for n, stage in enumerate(self.stages) if stage.name in names]
        self._passed = max(self._passed, min(places, default=0))

    def leave(self, names: Sequence[str], seconds: float) -> None:
        """They took so long."""
        self._expected += self.expected(names)
        self._took += seconds
        self._stages = [
            stage._replace(seconds=0.0) if stage.name in names else stage for stage in self.stages
        ]

    def expected(self, names: Sequence[str]) -> float:
        """Seconds that the stages were thought to take together."""
        return sum(stage.seconds for stage in self.stages if stage.name in names)

    def later(self, names: Sequence[str], seconds: float, share: float) -> float:
        """Seconds of all that comes after `names`, of which a `share` took `seconds`."""
        expected = self._expected + share * self.expected(names)
        took = self._took + seconds
        rest = sum(stage.seconds for stage in self.stages[self._passed :] if stage.name not in names)
        return rest * (took + DOUBT) / (expected + DOUBT)

    def step(self, names: Sequence[str]) -> tuple[str, int, int]:
        """The step of the stages, its number, and how many steps have something to do."""
        steps = list(dict.fromkeys(stage.step for stage in self.stages))
        step = next((stage.step for stage in self.stages if stage.name in names), None)
        return ("", 1, 1) if step is None else (step, steps.index(step) + 1, len(steps))

    @property
    def summary(self) -> str:
        """`embed, score; about 2 min 5 s`."""
        steps = ", ".join(dict.fromkeys(stage.step for stage in self.stages))
        return f"{steps}; about {duration(sum(stage.seconds for stage in self.stages))}"


class Running:
    """A bar that is under way."""

    def __init__(
        self,
        title: str,
        total: int,
        unit: str,
        course: Course | None,
        tell: Callable[[Running], None] = lambda _: None,
    ) -> None:
        self.title, self.total, self.unit = visible(title), total, unit
        self.course, self.tell = course, tell
        self.names = title.split(" + ")
        self.done, self.over = 0, False
        self.start = time.monotonic()
        if course:
            course.enter(self.names)

    def advance(self, n: int) -> None:
        self.done += n
        self.tell(self)

    def end(self) -> None:
        """What is left is now another's."""
        self.over = True
        if self.course:
            self.course.leave(self.names, self.seconds)

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self.start

    @property
    def count(self) -> str:
        """`687 of 1,015 rows`; `1,015 rows` when they are done."""
        of = f"{amount(self.done, self.unit).split()[0]} of " if self.done < self.total else ""
        return f"{of}{amount(self.total or self.done, self.unit)}"

    @property
    def rate(self) -> str:
        """`28/s`, or `1.2 MB/s`."""
        return f"{amount(self.done / max(self.seconds, 1e-6), self.unit)}/s".replace(f" {self.unit}", "")

    @property
    def left(self) -> float | None:
        """Seconds until the whole command is done, or this alone where no more is known of; None: unknown."""
        expected = self.course.expected(self.names) if self.course else 0.0
        if self.over:
            own = 0.0
        elif self.done and self.total and self.seconds > SURE:
            own = max(self.total - self.done, 0) * self.seconds / self.done
        elif expected:
            own = max(expected - self.seconds, 0.0)
        else:
            return None
        share = self.done / self.total if self.total else 0.0
        return own + (self.course.later(self.names, self.seconds, share) if self.course else 0.0)

    @property
    def place(self) -> str:
        """`embed (2 of 6): `, where the command has steps."""
        step, number, n = self.course.step(self.names) if self.course else ("", 1, 1)
        return f"{step} ({number} of {n}): " if n > 1 else ""


class _Courses:
    """What `Lines` and `Terminal` share: the course that a command is on."""

    def __init__(self) -> None:
        self.on: Course | None = None

    @contextmanager
    def course(self, ahead: Callable[[], Sequence[Ahead]]) -> Iterator[None]:
        before, self.on = self.on, Course(ahead)
        try:
            yield
        finally:
            self.on = before


class Lines(_Courses):
    """A plain line every `every` seconds, one where a course begins, one at the end of what took a while."""

    def __init__(self, every: float = 10.0) -> None:
        super().__init__()
        self.every = every
        self.last = time.monotonic()
        self.told: Course | None = None  # the last one whose beginning was said

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        running = Running(title, total, unit, self.on, self.tell)
        if self.on is not None and self.told is not self.on:
            self.told = self.on
            self.note(f"to do: {self.on.summary}")
        yield running
        running.end()
        if running.seconds >= WORTH_A_LINE:
            self.note(
                f"{running.place}{title}: {running.count} in {duration(running.seconds)}, {running.rate}"
            )

    def tell(self, running: Running) -> None:
        """Say how far it is, if nothing was said for a while."""
        if (
            time.monotonic() - self.last >= self.every
            and running.seconds > SURE
            and running.done < running.total
        ):
            left = running.left
            more = "" if left is None else f", {duration(left)} left"
            self.note(f"{running.place}{running.title}: {running.count}, {running.rate}{more}")

    def note(self, text: str) -> None:
        self.last = time.monotonic()
        sys.stderr.write(visible(text) + "\n")


class Terminal(_Courses):
    """One bar that stays for the whole of a course, and is gone when it is over."""

    def __init__(self) -> None:
        from rich.console import Console

        super().__init__()
        self.console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self.running: Running | None = None
        self.shown = False

    @contextmanager
    def course(self, ahead: Callable[[], Sequence[Ahead]]) -> Iterator[None]:
        with super().course(ahead), self._shown():
            yield

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        running = Running(title, total, unit, self.on)
        with self._shown():
            before, self.running = self.running, running
            yield running
            running.end()
            # Between two stages of a course the last one is still to be seen.
            self.running = before if before and not before.over else running

    @contextmanager
    def _shown(self) -> Iterator[None]:
        if self.shown:
            yield
            return
        from rich.live import Live

        self.start, self.share, self.shown = time.monotonic(), 0.0, True
        try:
            with Live(get_renderable=self._bar, console=self.console, transient=True, refresh_per_second=8):
                yield
        finally:
            self.shown, self.running = False, None

    def _bar(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        running, seconds = self.running, time.monotonic() - self.start
        if running is None or seconds < WORTH_A_BAR:
            return Group()
        left = running.left
        # Never backwards, though what is left may turn out to be more.
        share = self.share = max(self.share, 0.0 if left is None else seconds / max(seconds + left, 1e-6))
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(no_wrap=True, min_width=16 if self.on else None)
        line.add_column(width=16)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        line.add_column(no_wrap=True, justify="right")
        line.add_row(
            Text(running.place.removesuffix(": "), style="bold"),
            ProgressBar(total=1.0, completed=share, pulse=left is None, animation_time=seconds),
            Text("" if left is None else f"{share:4.0%}"),
            Text(f"{running.count}: {running.title}"),
            Text("" if left is None else f"{duration(left)} left"),
        )
        return line

    def note(self, text: str) -> None:
        self.console.print(visible(text))


def amount(n: float, unit: str) -> str:
    """`1,015 rows`; bytes as MB."""
    return f"{n / 1e6:,.1f} MB" if unit == "bytes" else f"{n:,.0f} {unit}"


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
    return Terminal() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else Lines()
