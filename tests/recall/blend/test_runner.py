import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
from segue_test_worlds import World

from recall.base import UNTIL_CHANGED, Candidates, Channel, Query
from recall.blend.runner import STUCK, Runner
from recall.listeners.listener import Listener
from recall.live.live import Overlay


@dataclass(frozen=True)
class Says:
    """A channel that answers with one song, after a while."""

    song: int = 0
    seconds: float = 0.0
    meanwhile: Callable[[], object] = dict
    audience: ClassVar[str] = "everybody"

    def serves(self, listener: Listener) -> bool:
        raise NotImplementedError

    def recall(self, query: Query, k: int) -> Candidates:
        self.meanwhile()
        time.sleep(self.seconds)
        return Candidates(np.array([self.song], dtype=np.int32), np.ones(1))


def test_all_that_answer_in_time_are_there(lopsided: World) -> None:
    channels: dict[str, Channel] = {f"c{i}": Says(i) for i in range(5)}
    began = time.perf_counter()
    answers = Runner().ask(channels, lopsided.query("ana"), dict.fromkeys(channels, 3), 8000.0)
    assert time.perf_counter() - began < 1.5  # a quarter of the budget would be waiting for somebody who is late
    assert [answers.found[name].songs.tolist() for name in channels] == [[0], [1], [2], [3], [4]]
    assert answers.ms.keys() == channels.keys()


def test_one_that_takes_long_holds_up_nobody_and_is_named(lopsided: World) -> None:
    channels: dict[str, Channel] = {"slow": Says(0, 1.0), "quick": Says(1), "other": Says(2)}
    began = time.perf_counter()
    answers = Runner().ask(channels, lopsided.query("ana"), dict.fromkeys(channels, 3), 300.0)
    assert list(answers.found) == ["quick", "other"]
    assert answers.dropped == {"slow": "over the time budget (300 ms)"}
    assert time.perf_counter() - began < 0.9


def test_many_requests_at_once_are_not_taken_for_stuck_ones(lopsided: World) -> None:
    runner, channels = Runner(), {"c": Says(0, 0.1)}
    with ThreadPoolExecutor(3 * STUCK) as pool:
        asked = [pool.submit(runner.ask, channels, lopsided.query("ana"), {"c": 3}, 8000.0) for _ in range(3 * STUCK)]
        assert all("c" in one.result().found for one in asked)


def test_one_that_came_back_late_is_asked_again(lopsided: World) -> None:
    runner, channels = Runner(), {"c": Says(0, 0.15)}
    for _ in range(2 * STUCK):
        assert "budget" in runner.ask(channels, lopsided.query("ana"), {"c": 3}, 20.0).dropped["c"]
        time.sleep(0.3)


def test_several_that_take_long_each_give_way(lopsided: World) -> None:
    channels: dict[str, Channel] = {"a": Says(0, 1.0), "b": Says(1, 1.0), "quick": Says(2)}
    answers = Runner().ask(channels, lopsided.query("ana"), dict.fromkeys(channels, 3), 400.0)
    assert list(answers.found) == ["quick"]


def test_songs_that_come_twice_or_do_not_exist_are_refused(lopsided: World) -> None:
    class Twice(Says):
        def recall(self, query: Query, k: int) -> Candidates:
            return Candidates(np.array([1, 0, 1], dtype=np.int32), np.ones(3))

    channels: dict[str, Channel] = {"twice": Twice(), "beyond": Says(5), "below": Says(-1), "fine": Says(4)}
    answers = Runner().ask(channels, lopsided.query("ana"), dict.fromkeys(channels, 3), 2000.0)
    assert list(answers.found) == ["fine"]
    assert answers.dropped["twice"] == "the same song twice"
    assert answers.dropped["beyond"] == answers.dropped["below"] == "songs that do not exist"


@pytest.mark.parametrize("budget", [2000.0, float("inf")])
def test_the_order_of_the_answers_is_that_of_the_channels(lopsided: World, budget: float) -> None:
    asked: list[str] = []
    channels: dict[str, Channel] = {
        name: Says(i, meanwhile=partial(asked.append, name)) for i, name in enumerate("zax")
    }
    answers = Runner().ask(channels, lopsided.query("ana"), dict.fromkeys(channels, 1), budget)
    assert asked == list(answers.found) == ["z", "a", "x"]


def test_a_channel_is_asked_to_count_before_it_answers(lopsided: World) -> None:
    done: list[str] = []

    class Counts(Says):
        def warm(self, live: Overlay) -> None:
            done.append(f"counted {live.size}")

    channels: dict[str, Channel] = {"c": Counts(meanwhile=partial(done.append, "answered")), "d": Says(1)}
    assert list(Runner().warm(channels, lopsided.query("ana"), 8000.0).found) == ["c", "d"]
    assert done == ["counted 5", "answered"]


def test_a_channel_that_hangs_when_it_is_to_count_holds_up_nobody(lopsided: World) -> None:
    class Hangs(Says):
        def warm(self, live: Overlay) -> None:
            time.sleep(2.0)

    channels: dict[str, Channel] = {"hangs": Hangs(), "quick": Says(1)}
    began = time.perf_counter()
    answers = Runner().warm(channels, lopsided.query("ana"), 200.0)
    assert time.perf_counter() - began < 1.0
    assert (list(answers.found), list(answers.dropped)) == (["quick"], ["hangs"])


@dataclass(frozen=True)
class FromMemory(Says):
    """One that says that it never waits."""

    in_memory: ClassVar[bool] = True


def test_one_that_answers_from_memory_is_asked_in_the_request_s_own_thread(lopsided: World) -> None:
    threads: dict[str, int] = {}

    def asked(name: str) -> Callable[[], object]:
        return lambda: threads.setdefault(name, threading.get_ident())

    channels: dict[str, Channel] = {
        "here": FromMemory(0, meanwhile=asked("here")),
        "beside": Says(1, 0, asked("beside")),
    }
    answers = Runner().ask(channels, lopsided.query("ana"), dict.fromkeys(channels, 3), 8000.0)
    assert list(answers.found) == ["here", "beside"]
    assert answers.ms.keys() == channels.keys()
    assert threads["here"] == threading.get_ident() != threads["beside"]


def test_those_from_memory_are_asked_until_the_time_is_over(lopsided: World) -> None:
    channels: dict[str, Channel] = {"quick": FromMemory(0), "slow": FromMemory(1, 2.1), "late": FromMemory(2)}
    answers = Runner().ask(channels, lopsided.query("ana"), dict.fromkeys(channels, 3), 2000.0)
    assert list(answers.found) == ["quick", "slow"]
    assert answers.dropped == {"late": "over the time budget (2000 ms)"}


def test_an_answer_that_holds_is_not_asked_for_again_and_a_wrong_one_is(lopsided: World) -> None:
    class Lasts(Says):
        lasts_ms: ClassVar[float] = UNTIL_CHANGED

    times: dict[str, int] = {"right": 0, "wrong": 0}

    def asked(name: str) -> Callable[[], object]:
        return lambda: times.update({name: times[name] + 1})

    channels: dict[str, Channel] = {"right": Lasts(0, 0, asked("right")), "wrong": Lasts(99, 0, asked("wrong"))}
    runner, query = Runner(), lopsided.query("ana")
    for anew, count in ((False, 3), (False, 3), (True, 3), (False, 4)):
        answers = runner.ask(channels, query, dict.fromkeys(channels, count), 8000.0, anew=anew)
        assert answers.found["right"].songs.tolist() == [0]
    assert times == {"right": 3, "wrong": 4}  # once, once anew, once for another number
