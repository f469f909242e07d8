import numpy as np
import pytest
from segue_test_worlds import lopsided_snapshot

from graph.snapshot.snapshot import UNKNOWN_INTEGER
from recall.release_times import release_time, release_times


def test_a_song_comes_out_when_it_is_released_else_uploaded(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot, unknown = lopsided_snapshot(), UNKNOWN_INTEGER
    columns = {"released_at": [5, unknown, 7, unknown, 0], "uploaded_at": [6, 3, unknown, unknown, 9]}
    monkeypatch.setattr(type(snapshot), "column", lambda _self, _label, name: np.array(columns[name]))
    assert release_times(snapshot).tolist() == [5, 3, 7, unknown, 0]


@pytest.mark.parametrize(
    ("properties", "at"),
    [
        ({"released_at": 5, "uploaded_at": 6}, 5),
        ({"released_at": 0, "uploaded_at": 9}, 0),
        ({"uploaded_at": 3}, 3),
        ({}, UNKNOWN_INTEGER),
    ],
)
def test_a_new_song_comes_out_by_the_same_rule(properties: dict[str, int], at: int) -> None:
    assert release_time(properties) == at
