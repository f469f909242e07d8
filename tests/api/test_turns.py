import asyncio
import sys
import threading
import time

import pytest

from api import turns
from api.turns import Turns, switch_often


def test_a_thread_gives_way_until_the_event_loop_has_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 10.0)
    mine, went_on = Turns(), threading.Event()

    async def answer() -> bool:
        async with mine.first():
            threading.Thread(target=lambda: (mine.give_way(), went_on.set()), daemon=True).start()
            return went_on.wait(0.2)

    assert not asyncio.run(answer())
    assert went_on.wait(5.0)


def test_its_patience_has_an_end() -> None:
    mine = Turns()

    async def answer() -> float:
        async with mine.first():
            started = time.monotonic()
            await asyncio.to_thread(mine.give_way)
            return time.monotonic() - started

    assert asyncio.run(answer()) < 5.0


def test_what_takes_no_time_is_answered_between_two_answers() -> None:
    mine, done = Turns(), list[str]()

    async def answer(name: str) -> None:
        async with mine.first():
            done.append(name)

    async def health() -> None:
        done.append("health")

    async def come() -> None:
        await asyncio.gather(answer("1"), answer("2"), health(), answer("3"))
        async with mine.first():
            waiting = [asyncio.create_task(answer(name)) for name in "456"]
            await asyncio.sleep(0)
            alive = asyncio.create_task(health())
        await asyncio.gather(*waiting, alive)

    asyncio.run(come())
    assert done.index("health", 4) < done.index("6")


def test_the_interpreter_is_passed_on_often() -> None:
    before = sys.getswitchinterval()
    switch_often()
    assert sys.getswitchinterval() == pytest.approx(turns.SWITCH_S)
    sys.setswitchinterval(before)
