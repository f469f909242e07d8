import time
from collections.abc import Callable
from typing import Any

import pytest

from api import metrics
from api.exposures import ExposureWriter


class Log:
    """An event log that refuses one slate in its own way."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def append_exposures(self, rows: Any) -> int:
        songs = [row["song_id"] for row in rows]
        if "bad" in songs:
            raise ValueError("unknown exposure field")
        self.written += songs
        return len(self.written)


def lost() -> float:
    return float(metrics.EXPOSURES_LOST._value.get())  # type: ignore[no-untyped-call]


def test_what_cannot_be_written_is_counted_and_the_next_slates_are_written(
    wait_until: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    log, before = Log(), lost()
    writer = ExposureWriter(log)  # type: ignore[arg-type]
    writer.write([{"song_id": "bad"}])
    wait_until(lambda: lost() == before + 1, 5)
    writer.write([{"song_id": "good"}])
    wait_until(lambda: log.written == ["good"], 5)
    started = time.monotonic()
    writer.close()
    assert time.monotonic() - started < 5
    assert "exposures lost" in "".join(capsys.readouterr())
