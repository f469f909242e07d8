"""All channels of a scene within one time budget.

Channels that time out, raise or return invalid candidates are dropped and listed in the trace.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, Final

import numpy as np
import structlog

from recall.base import Candidates, Channel, Query, Warms
from recall.kept_answers import KeptAnswers, question
from recall.kernels.checks import EXCLUDED, FINE, NOT_FINITE, TWICE, UNKNOWN, fault_of
from recall.listeners.listener import Listener

_log = structlog.get_logger(__name__)
PATIENCE: Final = 0.25
"""Share of the time left after which the channels still to be asked no longer wait for the one being asked."""
_FAULTS: Final = {
    UNKNOWN: "songs that do not exist",
    NOT_FINITE: "scores that are not finite",
    TWICE: "the same song twice",
    EXCLUDED: "songs that are excluded",
}
STUCK: Final = 4
"""Calls of one channel that have not come back from requests that are over; with so many it is not asked."""


@dataclass(frozen=True)
class Answers:
    """What came in time: candidates by channel, milliseconds by channel, and why each of the others was left out."""

    found: Mapping[str, Candidates]
    ms: Mapping[str, float]
    dropped: Mapping[str, str]


@dataclass
class _Job:
    """One request: channels still to be asked, those being asked since when, and what came back.

    `since` is when the latest question was put; `over` says that the request waits no longer. Everything is read and
    written under `changed`, which is notified when the last answer is there.
    """

    todo: deque[str]
    waiting: int
    since: float
    asking: dict[str, float] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)
    over: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    @classmethod
    def of(cls, names: Iterable[str]) -> _Job:
        todo = deque(names)
        return cls(todo, len(todo), time.perf_counter())

    def take(self) -> str | None:
        """The next channel to ask; None when there is none, or the request is over."""
        with self.changed:
            if self.over or not self.todo:
                return None
            name = self.todo.popleft()
            self.since = self.asking[name] = time.perf_counter()
            return name

    def put(self, name: str, answer: Any) -> bool:
        """Keep the answer of a channel; whether the request still waited for it."""
        with self.changed:
            self.found[name], self.ms[name] = answer, (time.perf_counter() - self.asking.pop(name)) * 1000
            self.waiting -= 1
            if not self.waiting:  # to wake the request for each channel would cost it more than some of them
                self.changed.notify()
            return not self.over


class Runner:
    """Asks channels one after the other: those that answer from memory in the request's thread, until its time is over,
    and others in a thread beside it, so that one which hangs cannot hold it up.

    Of those a channel that takes long does not hold up the others either: another thread goes on with them. Safe to
    share between requests. A call that never returns keeps its thread; a channel with `STUCK` of them is left out at
    once.
    """

    def __init__(self) -> None:
        self._pool, self._stuck, self._lock = _Threads(), Counter[str](), threading.Lock()

    def ask(
        self,
        channels: Mapping[str, Channel],
        query: Query,
        counts: Mapping[str, int],
        budget_ms: float,
        *,
        anew: bool = False,
    ) -> Answers:
        """Ask each channel for its count, but for those whose last answer still holds, unless `anew`; without a time
        budget (infinity) all are waited for, in this thread."""
        unhurried, deadline = budget_ms == float("inf"), time.perf_counter() + budget_ms / 1000
        kept, known = KeptAnswers.of(query), dict[str, Candidates]()
        # before anybody is asked: what changes meanwhile is another question
        asked = {} if anew else {name: question(channel, query, counts[name]) for name, channel in channels.items()}
        for name, one in asked.items():
            if one is not None and (last := kept.get(channels[name], one)) is not None:
                known[name] = last
        here = [name for name in channels if name not in known and (unhurried or _in_memory(channels[name]))]
        job = _Job.of(name for name in channels if name not in known and name not in here)
        work = partial(self._work, job, channels, query, counts)
        if job.waiting:
            self._pool.run(work)
        mine = _asked_here(here, channels, query, counts, deadline)
        if job.waiting:
            self._wait(job, work, deadline)
        with job.changed:
            answers, ms = job.found | mine[0], job.ms | mine[1]
        came = _answers([name for name in channels if name not in known], answers, ms, query, budget_ms)
        for name, found in came.found.items():
            if (one := asked.get(name)) is not None:
                kept.keep(channels[name], one, found)
        both = known | dict(came.found)
        return Answers({name: both[name] for name in channels if name in both}, came.ms, came.dropped)

    def warm(self, channels: Mapping[str, Channel], query: Query, budget_ms: float) -> Answers:
        """Have each channel count what it counts from the first, and answer once; one that hangs holds up nobody for
        longer than the budget, and goes on beside the requests."""
        cold: dict[str, Channel] = {name: _Cold(channel) for name, channel in channels.items()}
        return self.ask(cold, query, dict.fromkeys(channels, 1), budget_ms)

    def _work(self, job: _Job, channels: Mapping[str, Channel], query: Query, counts: Mapping[str, int]) -> None:
        """Ask one channel after the other until there is none left to ask."""
        while (name := job.take()) is not None:
            with self._lock:
                jammed = self._stuck[name] >= STUCK
            if jammed:
                in_time = job.put(name, RuntimeError("earlier requests still wait for it"))
            else:
                in_time = job.put(name, _answer(channels[name], query, counts[name]))
            if not in_time:
                with self._lock:
                    self._stuck[name] -= 1  # it came back after all

    def _wait(self, job: _Job, work: Callable[[], None], deadline: float) -> None:
        with job.changed:
            while job.waiting and (now := time.perf_counter()) < deadline:
                patience = deadline
                if job.todo:
                    patience = job.since + max((deadline - job.since) * PATIENCE, 1e-3)
                    if now >= patience:
                        job.since = now
                        self._pool.run(work)
                        continue
                job.changed.wait(patience - now)
            job.over, late = True, list(job.asking)
        with self._lock:
            self._stuck.update(late)  # one that comes back in between has taken itself off already


def _asked_here(
    names: Sequence[str], channels: Mapping[str, Channel], query: Query, counts: Mapping[str, int], deadline: float
) -> tuple[dict[str, Any], dict[str, float]]:
    """What channels answer in this thread, and their milliseconds; those that the time is over for are not there."""
    found, ms = dict[str, Any](), dict[str, float]()
    for name in names:
        if (started := time.perf_counter()) >= deadline:
            break
        found[name] = _answer(channels[name], query, counts[name])
        ms[name] = (time.perf_counter() - started) * 1000
    return found, ms


def _in_memory(channel: Channel) -> bool:
    return getattr(channel, "in_memory", False)


def _answers(
    names: Sequence[str], came: Mapping[str, Any], ms: Mapping[str, float], query: Query, budget_ms: float
) -> Answers:
    """The candidates among what came, and what is wrong with the rest."""
    found, dropped = {}, {}
    for name in names:
        if name not in came:
            dropped[name] = f"over the time budget ({budget_ms:.0f} ms)"
            continue
        answer = came[name]
        problem = f"{type(answer).__name__}: {answer}" if isinstance(answer, Exception) else None
        try:
            problem = problem or _problem_of(answer, query)
        except Exception as error:  # noqa: BLE001  it may answer with anything
            problem = f"{type(error).__name__}: {error}"
        if problem is None:
            found[name] = answer
        else:
            dropped[name] = problem
    for name, reason in dropped.items():
        _log.warning("channel left out", channel=name, scene=query.scene, reason=reason)
    return Answers(found, ms, dropped)


@dataclass(frozen=True)
class _Cold:
    """A channel that nobody has asked yet."""

    channel: Channel
    audience: ClassVar[str] = "nobody"

    def serves(self, listener: Listener) -> bool:
        return self.channel.serves(listener)

    def recall(self, query: Query, k: int) -> Candidates:
        if isinstance(self.channel, Warms):
            self.channel.warm(query.live)
        return self.channel.recall(query, k)


def _answer(channel: Channel, query: Query, count: int) -> Any:
    try:
        return channel.recall(query, count)
    except Exception as error:  # noqa: BLE001  whatever a channel does, the listener gets an answer
        return error


def _problem_of(found: Candidates, query: Query) -> str | None:
    if found.songs.shape != found.scores.shape or found.songs.ndim != 1:
        return "songs and scores that do not pair"
    songs, scores = found.songs.astype(np.int64), found.scores.astype(np.float64)
    fault = fault_of(songs, scores, query.exclude, query.live.size)
    return None if fault == FINE else _FAULTS[fault]


class _Threads:
    """Threads that wait for work, as many as there is work at once; none of them keeps the process alive.

    Those of `concurrent.futures` would: the process waits for each at its end, and one may hang in a channel.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle, self._lock = 0, threading.Lock()

    def run(self, work: Callable[[], None]) -> None:
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
                self._work.put(work)
                return
        # an argument would be held as long as the thread lives, and with it the release that it was about
        self._work.put(work)
        threading.Thread(target=self._loop, name="recall", daemon=True).start()

    def _loop(self) -> None:
        work = self._work.get()
        while True:
            work()
            del work
            with self._lock:
                self._idle += 1
            try:
                work = self._work.get(timeout=60)
            except Empty:
                with self._lock:
                    if self._idle > 0 and self._work.empty():
                        self._idle -= 1
                        return
                work = self._work.get()
