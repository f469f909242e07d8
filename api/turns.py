"""Who computes next: answers on the event loop come first, and threads that compute for long give way to them.

All threads of a process share one interpreter. Whoever waits for something, be it for a compiled kernel to end, lets go
of it and has to wait for whoever took it meanwhile: an answer that does so fifty times would take fifty turns of a
thread that reasons about 500 songs.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

SWITCH_S: Final = 0.001
"""A thread that wants the interpreter waits so long at most; Python's default is five times that."""
PATIENCE_S: Final = 0.005
"""A thread gives way for so long at most, so that it gets on under any load."""
_BREATH_S: Final = 0.0001


class Turns:
    """The event loop's answers, and the threads beside it."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()
        self._free = threading.Event()
        self._free.set()

    @asynccontextmanager
    async def first(self) -> AsyncIterator[None]:
        """Compute on the event loop, one answer a turn of it, so that what takes no time (`/healthz`) is answered
        between two; threads that give way wait meanwhile."""
        async with self._one:
            self._free.clear()
            try:
                yield
            finally:
                self._free.set()

    def give_way(self) -> None:
        """Let others at the interpreter, and wait until the event loop has done; called every millisecond or so."""
        time.sleep(_BREATH_S)
        self._free.wait(PATIENCE_S)


def switch_often() -> None:
    """From here on threads of this process pass the interpreter on after `SWITCH_S`."""
    sys.setswitchinterval(SWITCH_S)
