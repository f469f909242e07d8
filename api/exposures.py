"""Exposures are written beside the answers: a slate does not wait for a database that somebody else holds.

The writer takes whatever has gathered and writes it in one transaction, so under load one commit serves many slates.
It is `GATHER_S` and some milliseconds behind; `close` writes the rest. What a killed process had not written yet is
lost, which nobody was promised; a database that does not answer is tried again, and only past `MOST` waiting slates are
new ones dropped and counted. Slates that cannot be written for any other reason are dropped and counted too: the thread
outlives them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog

from api import metrics
from graph.errors import SegueError
from graph.log.events import EventLog

_log = structlog.get_logger(__name__)
MOST: Final = 10_000
GATHER_S: Final = 0.05
"""For which slates gather: a commit for each costs a tenth of what the slate does."""
_BATCH: Final = 200
_RETRY_S: Final = 1.0
_LAST_S: Final = 10.0
Rows = Sequence[Mapping[str, Any]]


class ExposureWriter:
    """A thread that writes slates to the log in the order they were shown."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._waiting: deque[Rows] = deque()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="exposures", daemon=True)
        self._thread.start()

    def write(self, rows: Rows) -> None:
        """Hand over one slate; returns at once."""
        with self._changed:
            if len(self._waiting) >= MOST:
                metrics.EXPOSURES_LOST.inc()
                return
            self._waiting.append(rows)
            self._changed.notify()

    def close(self) -> None:
        """Write what is left, for at most ten seconds."""
        with self._changed:
            self._stopping.set()
            self._changed.notify()
        self._thread.join(timeout=_LAST_S)

    def _run(self) -> None:
        deadline = None
        while True:
            with self._changed:
                while not self._waiting and not self._stopping.is_set():
                    self._changed.wait()
            self._stopping.wait(GATHER_S)
            with self._changed:
                if not self._waiting:
                    return
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
                if self._stopping.is_set() and deadline is None:
                    deadline = time.monotonic() + _LAST_S
            while not self._done(batch):
                if deadline is None and self._stopping.is_set():
                    deadline = time.monotonic() + _LAST_S
                if deadline is not None and time.monotonic() > deadline:
                    metrics.EXPOSURES_LOST.inc(len(batch) + len(self._waiting))
                    return
                time.sleep(_RETRY_S)

    def _done(self, batch: Sequence[Rows]) -> bool:
        """Write the slates; false if they should be tried again."""
        try:
            self._log.append_exposures([row for rows in batch for row in rows])
        except SegueError as error:
            _log.error("exposures wait", reason=str(error))
            return False
        except Exception as error:  # noqa: BLE001  the thread outlives whatever it is
            _log.exception("exposures lost", slates=len(batch), reason=f"{type(error).__name__}: {error}")
            metrics.EXPOSURES_LOST.inc(len(batch))
        return True
