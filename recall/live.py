"""What has happened since the release: a listener's latest events, read from the log when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graph.errors import StoreUnavailable
from graph.events import Event, EventLog
from graph.release import Release


@dataclass(frozen=True)
class LiveState:
    """Whether a release is joined to the log: `state` is "attached" or "detached", with the `reason`."""

    state: str
    reason: str | None = None


class Live:
    """A release and the event log that goes on behind it.

    Detached (another log, a release ahead of the log, a log that does not answer) it serves from the release alone
    and says why.
    """

    def __init__(self, release: Release, log: EventLog | None) -> None:
        self._release, self._log = release, log
        self.status = self._attach()

    def _attach(self) -> LiveState:
        if self._log is None:
            return LiveState("detached", "no event log")
        try:
            if self._log.log_id != self._release.log_id:
                return LiveState("detached", "the release was made from another event log")
            if self._log.last_offset() < self._release.offset:
                return LiveState("detached", "the release is ahead of the event log")
        except StoreUnavailable as error:
            return LiveState("detached", str(error))
        return LiveState("attached")

    def latest(self, user_id: str) -> Sequence[Event]:
        """The listener's events since the release, in the order of the log; none while detached."""
        if self._log is None or self.status.state != "attached":
            return ()
        try:
            return self._log.of_user(user_id, self._release.offset)
        except StoreUnavailable:
            # serving goes on from the release; `/readyz` and the trace tell
            return ()
