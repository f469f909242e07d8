from collections.abc import Callable

from segue_test_worlds import NOW, World, events

from graph.paths import Paths
from graph.reasons.asker import Asker
from graph.reasons.edges import Edges
from graph.reasons.listeners import listeners_who_like

ROWS = [(user, "full_play", song, NOW) for user in ("u1", "u2", "u3") for song in ("s1", "s4")]
MORE = [
    ("ana", "full_play", "s1", NOW),
    ("u4", "full_play", "s1", NOW),
    ("u4", "skip", "s4", NOW),
    ("u5", "like", "s4", NOW),
    ("u6", "like", "s4", NOW),
    ("u6", "block", "s4", NOW),
]


def test_who_skips_or_blocks_a_song_does_not_like_it(make_world: Callable[..., World]) -> None:
    snapshot = make_world(log=events(ROWS + MORE)).snapshot
    names = [snapshot.ids["User"][int(user)] for user in listeners_who_like(snapshot, 3)]
    assert names == ["u1", "u2", "u3", "u5"]
    assert Edges(snapshot).common_listeners(0, 3) == 3


def test_a_song_is_heard_beside_another_from_three_listeners_on(make_world: Callable[..., World]) -> None:
    def said(rows: list[tuple[str, str, str, int]]) -> list[str]:
        world = make_world(log=events(rows))
        user = world.snapshot.ids["User"].index("ana")
        reasons = Paths(world.release).why(Asker(user), world.song("s4"), 20)
        assert {r.kind for r in reasons if r.path[-2]["relationship"] == "SIMILAR_TO"} == {"neighbour"}
        return [r.text for r in reasons if r.kind == "neighbour"]

    assert said(ROWS + MORE) == ["heard beside One by 3 listeners"]
    assert said(ROWS[2:] + MORE) == ["similar to One, which you played"]
