import time
from concurrent.futures import ThreadPoolExecutor

from segue_test_worlds import lopsided_snapshot

from recall.once import once


def test_two_threads_share_what_is_computed_once() -> None:
    snapshot, calls = lopsided_snapshot(), []

    def compute() -> object:
        calls.append(1)
        time.sleep(0.05)
        return object()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: once(snapshot, "answer", compute), range(4)))
    assert len(calls) == 1
    assert len(set(map(id, found))) == 1


def test_what_is_computed_may_ask_for_something_else() -> None:
    snapshot = lopsided_snapshot()
    assert once(snapshot, "outer", lambda: once(snapshot, "inner", lambda: 1) + 1) == 2


def test_every_view_of_a_snapshot_has_its_own() -> None:
    first, second = lopsided_snapshot(), lopsided_snapshot()
    assert once(first, "which", lambda: 1) == 1
    assert once(second, "which", lambda: 2) == 2
