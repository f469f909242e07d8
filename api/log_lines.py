"""The log of the service: one JSON object a line on stderr, and a fault that repeats once a minute."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, Final

import orjson
import structlog

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""Id of the request that is answered here; lines and problems carry it."""
EVERY_S: Final = 60.0
MOST: Final = 1000
_FAULTS: Final = frozenset({"warning", "error", "critical"})
# What differs between two times that the same fault comes.
_OF_ONE_TIME: Final = frozenset({"request_id", "timestamp", "exc_info", "path", "job", "level"})
# Uvicorn's own warnings go the same way.
UVICORN: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"segue": {"class": "api.log_lines.Handler"}},
    "loggers": {"uvicorn": {"handlers": ["segue"], "level": "WARNING", "propagate": False}},
}

Line = MutableMapping[str, Any]
_at_the_end: Final[list[Callable[[], None]]] = []


@dataclass
class _Seen:
    """A fault that was written: until when it is only counted, how often it came since, and its last line."""

    until: float
    times: int = 0
    line: dict[str, Any] = field(default_factory=dict)


class Repeats:
    """Lets a fault through at once, and counts it for a minute; `due` are the lines that say how often it came.

    Faults are the same when all that they say is the same but for the request. Past `MOST` different ones, those of the
    same event are taken for one.
    """

    def __init__(self, every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._clock = every_s, clock
        self._seen: dict[tuple[str, ...], _Seen] = {}
        self._lock = threading.Lock()

    def __call__(self, _logger: Any, _method: str, line: Line) -> Line:
        """A structlog processor.

        Raises: structlog.DropEvent for what is only counted.
        """
        if line.get("level") not in _FAULTS:
            return line
        with self._lock:
            fault = _identity(line)
            if len(self._seen) >= MOST and fault not in self._seen:
                fault = (str(line["event"]),)
            seen = self._seen.get(fault)
            if seen is None:
                self._seen[fault] = _Seen(self._clock() + self._every_s)
                return line
            seen.times += 1
            seen.line = {key: value for key, value in line.items() if key != "exc_info"}
        raise structlog.DropEvent

    def due(self, *, last: bool = False) -> list[dict[str, Any]]:
        """The lines of faults that came again in the minute that is over, each with `times`; `last` takes all."""
        now, lines = self._clock(), []
        with self._lock:
            for fault, seen in list(self._seen.items()):
                if now < seen.until and not last:
                    continue
                if seen.times:
                    lines.append({**seen.line, "times": seen.times})
                    self._seen[fault] = _Seen(now + self._every_s)
                else:
                    del self._seen[fault]
        return lines


class Handler(logging.Handler):
    """Takes the standard library's log lines, which are Uvicorn's, into this log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        structlog.get_logger().log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


def use_json(to: BinaryIO | None = None) -> None:
    """From here on this process logs JSON lines to stderr, or to `to`."""
    out = structlog.BytesLogger(to or sys.stderr.buffer)
    repeats = Repeats()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _with_request,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            repeats,
            structlog.processors.format_exc_info,
            _rendered,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: out,
    )

    def write(*, last: bool = False) -> None:
        for line in repeats.due(last=last):
            out.msg(_rendered(None, "", line))

    def count() -> None:
        while True:
            time.sleep(1.0)
            write()

    threading.Thread(target=count, name="log", daemon=True).start()
    _at_the_end[:] = [partial(write, last=True)]


def write_last() -> None:
    """Write how often faults came since their last line. Called while the service shuts down: a worker ends by a
    signal, and runs nothing afterwards."""
    for write in _at_the_end:
        write()


def _with_request(_logger: Any, _method: str, line: Line) -> Line:
    if (id_ := REQUEST_ID.get()) is not None:
        line.setdefault("request_id", id_)
    return line


def _rendered(_logger: Any, _method: str, line: Line) -> bytes:
    try:
        return orjson.dumps(line, default=str)
    except (TypeError, ValueError):  # a lone surrogate, or a key that is no text
        return orjson.dumps({str(key): ascii(value) for key, value in line.items()})


def _identity(line: Line) -> tuple[str, ...]:
    said = [f"{key}={value}" for key, value in sorted(line.items()) if key not in _OF_ONE_TIME]
    return (*said, _place(line.get("exc_info")))


def _place(raised: Any) -> str:
    """The type of an exception and the line that raised it; empty for none."""
    error = raised[1] if isinstance(raised, tuple) else sys.exc_info()[1] if raised is True else raised
    if not isinstance(error, BaseException):
        return ""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(error).__name__} {where}"
