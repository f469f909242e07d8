"""What has happened since the release: a listener's latest events, read from the log when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from graph.errors import Busy, StoreUnavailable
from graph.events import Event, EventLog
from graph.release import Release

_log = structlog.get_logger(__name__)
# Shown to whoever asks `/readyz`, so it names no file and no address; the program's log has the details.
SILENT: Final = "the event log does not answer"


@dataclass(frozen=True)
class LiveState:
    """Whether a release is joined to the log: `state` is "attached" or "detached", with the `reason`.

    `lag` is how many events the log was ahead of the release at the last look, None while detached.
    """

    state: str
    reason: str | None = None
    lag: int | None = None


class Live:
    """A release and the event log that goes on behind it.

    Detached (another log, a release ahead of the log, a log that does not answer) it serves from the release alone
    and says why in `status`. A log that fails detaches it; `check`, which a service calls each second, joins it again.
    """

    def __init__(self, release: Release, log: EventLog | None) -> None:
        self._release, self._log = release, log
        self.status = LiveState("detached", "not looked at yet")
        self.check()

    def check(self) -> LiveState:
        """Look at the log anew: the status from now on."""
        before, self.status = self.status, self._look()
        if before.reason == SILENT and self.status.reason != SILENT:
            _log.info("event log answers again", release=self._release.id, live=self.status.state)
        return self.status

    def latest(self, user_id: str) -> Sequence[Event]:
        """The listener's events since the release, in the order of the log; none while detached."""
        if self._log is None or self.status.state != "attached":
            return ()
        try:
            return self._log.of_user(user_id, self._release.offset)
        except (StoreUnavailable, Busy) as error:
            # serving goes on from the release, and nobody else waits for this log until `check` finds it again
            self.status = self._silent(error)
            return ()

    def _look(self) -> LiveState:
        if self._log is None:
            return LiveState("detached", "no event log")
        try:
            if self._log.log_id != self._release.log_id:
                return LiveState("detached", "the release was made from another event log")
            lag = self._log.last_offset() - self._release.offset
        except (StoreUnavailable, Busy) as error:
            return self._silent(error)
        if lag < 0:
            return LiveState("detached", "the release is ahead of the event log")
        return LiveState("attached", lag=lag)

    def _silent(self, error: Exception) -> LiveState:
        if self.status.reason != SILENT:  # told once, not each second
            _log.warning("event log does not answer", release=self._release.id, reason=str(error))
        return LiveState("detached", SILENT)
