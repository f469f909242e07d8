"""Progress of long jobs on stderr: bars on a terminal, plain lines where there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

Progress = Callable[[str, int, int], None]
EVERY_S: Final = 10.0
"""Seconds between two lines about the same part of a job."""
_PAUSE_S: Final = 1.0


@contextmanager
def bars(console: Console) -> Iterator[Progress]:
    """A bar for each name that reports (name, done, total)."""
    from rich import progress

    columns = (
        progress.TextColumn("{task.description:<20}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=console) as shown:
        tasks: dict[str, TaskID] = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(name, total=total)
            shown.update(tasks[name], completed=done, total=total)

        yield report


@contextmanager
def lines(write: Callable[[str], None], every_s: float = EVERY_S) -> Iterator[Progress]:
    """A line when a name begins, when it ends, and every `every_s` seconds between, whether it reports or not."""
    shown, over = Lines(write, every_s), threading.Event()

    def remind() -> None:
        while not over.wait(every_s / 2):
            shown.remind()

    reminder = threading.Thread(target=remind, name="progress", daemon=True)
    reminder.start()
    try:
        yield shown.report
    finally:
        over.set()
        reminder.join()


@dataclass
class _Part:
    """What is known of one name; `began` and `told` are seconds of a clock that never goes back."""

    began: float
    told: float
    done: int
    total: int
    shown: bool = True
    """Whether a line has said that it goes on."""


class Lines:
    """Says in plain lines how far each part of a job is; safe to be called by several threads."""

    def __init__(
        self, write: Callable[[str], None], every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._every_s, self._clock = write, every_s, clock
        self._parts: dict[str, _Part] = {}
        self._ended: dict[str, float] = {}
        self._latest, self._said = "", float("-inf")
        self._lock = threading.Lock()

    def report(self, name: str, done: int, total: int) -> None:
        """`done` of `total` of a name; one of a single part is a step. It has ended when they are equal, and begins
        anew when it then reports less. A step has its lines at once; another part has none while it comes again and
        again, or right after a line, until it has gone on for `every_s`."""
        with self._lock:
            now, ends = self._clock(), done >= total > 0
            part = self._parts.get(name)
            if part is None:
                if ends and name in self._ended:
                    return
                part = self._parts[name] = _Part(now, now, done, total)
                again = now - self._ended.get(name, float("-inf")) < self._every_s
                part.shown = not again and (total == 1 or now - self._said >= _PAUSE_S)
                if part.shown and not ends:
                    self._say(_line(name, f"{done} of {total}" if total > 1 else "begins"))
            part.done, part.total, self._latest = done, total, name
            if ends:
                del self._parts[name]
                if part.shown:
                    self._ended[name] = now
                    self._say(_line(name, f"{'' if total > 1 else 'done, '}{self._so_far(part, now)}"))
        self.remind()

    def remind(self) -> None:
        """A line about the part that reported last, or about the step around it, if there was none for long."""
        with self._lock:
            steps = (name for name, part in self._parts.items() if part.total == 1)
            name = self._latest if self._latest in self._parts else next(steps, None)
            now = self._clock()
            if name is not None and now - (part := self._parts[name]).told >= self._every_s:
                part.told, part.shown = now, True
                self._say(_line(name, self._so_far(part, now)))

    def _say(self, line: str) -> None:
        self._said = self._clock()
        self._write(line)

    @staticmethod
    def _so_far(part: _Part, now: float) -> str:
        counted = f"{part.done} of {part.total}, " if part.total > 1 else ""
        return f"{counted}{now - part.began:.0f} s"


def _line(name: str, text: str) -> str:
    """One line without control characters, whatever the name holds."""
    return "".join(c if c.isprintable() else "?" for c in f"{name}: {text}")
