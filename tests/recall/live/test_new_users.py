from types import SimpleNamespace

import numpy as np

from recall.live.new_users import NewUsers
from recall.live.since import KEPT


def happened(users: list[int], songs: list[int]) -> SimpleNamespace:
    n = len(users)
    rest = {"action": np.full(n, 1), "at": np.arange(n) + 7, "count": np.full(n, 2)}
    return SimpleNamespace(user=np.array(users), song=np.array(songs), **rest)


def test_events_of_whom_the_release_does_not_know_are_kept_by_id() -> None:
    new_users = NewUsers()
    new_users.add(["new", "ana", "other", "new"], happened([-1, 0, -1, -1], [4, 3, 2, 1]))
    assert [column.tolist() for column in new_users.of("new")] == [[4, 1], [1, 1], [7, 10], [2, 2]]
    assert [len(column) for column in new_users.of("ana")] == [0, 0, 0, 0]


def test_the_latest_events_of_each_are_kept() -> None:
    new_users = NewUsers()
    new_users.add(["new"] * (KEPT + 5), happened([-1] * (KEPT + 5), list(range(KEPT + 5))))
    assert new_users.of("new")[0].tolist() == list(range(5, KEPT + 5))
