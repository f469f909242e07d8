from typing import Any

import numpy as np
import pytest
from segue_test_worlds import NOW, World

from graph.log.events import JournalEntry
from graph.snapshot.snapshot import UNKNOWN_INTEGER
from recall.listeners.listener import Forgotten
from recall.live.edits import Edits, NewSongs

ANA, BEN, CY = range(3)


@pytest.fixture
def edits(lopsided: World) -> Edits:
    return Edits(lopsided.snapshot, 0)


def lines(*rows: tuple[str, str, str, dict[str, Any]]) -> list[JournalEntry]:
    return [JournalEntry(offset, *row) for offset, row in enumerate(rows, start=1)]


def made(id_: str, **properties: Any) -> tuple[str, str, str, dict[str, Any]]:
    return "upsert", "Song", id_, {"properties": properties}


def related(id_: str, **ends: Any) -> tuple[str, str, str, dict[str, Any]]:
    return "relations", "Song", id_, ends


def test_new_songs_stand_after_those_of_the_release_in_the_order_they_came(edits: Edits) -> None:
    after = edits.after(lines(made("z"), made("s1", title="Uno"), made("a"), made("z", title="Zed")))
    assert [after.song(i) for i in ("s1", "s5", "z", "a", "??")] == [0, 4, 5, 6, -1]
    assert after.offset == 4
    assert NewSongs(after, None).ids == ["z", "a"]
    assert [NewSongs(after, None).title(i) for i in (0, 1)] == ["Zed", "a"]


def test_workers_that_fold_in_other_portions_agree(edits: Edits) -> None:
    whole = lines(made("z"), related("y", artists=["alba"]), made("x"), ("delete", "Song", "y", {}), made("w"))
    portions = edits.after(whole[:2]).after(whole[2:3]).after(whole[3:])
    assert portions.places == edits.after(whole).places == {"z": 5, "y": 6, "x": 7, "w": 8}


def test_a_new_song_is_composed_of_what_is_known_of_it(lopsided: World, edits: Edits) -> None:
    after = edits.after(
        lines(
            made("n", language="ro", uploaded_at=7, quality=0.5),
            related("n", artists=["nobody", "brio"], tags={"calm": 2.0}),
        )
    )
    new = NewSongs(after, lopsided.vectors)
    assert new.unit[0] == pytest.approx([0, 1])  # brio at 90 degrees
    assert (new.artist.tolist(), new.released.tolist(), new.quality.tolist()) == ([1], [7], [0.5])
    assert {name: places[0].tolist() for name, places in new.entities.items() if len(places[0])} == {
        "PERFORMED_BY": [1],
        "HAS_TAG": [0],
        "LANGUAGE": [1],
    }


def test_a_property_of_none_leaves_what_is_there_and_relations_are_replaced(edits: Edits) -> None:
    after = edits.after(
        lines(
            made("n", title="New", released_at=1),
            related("n", artists=["alba"], genres=["folk"]),
            made("n", title=None, released_at=2),
            related("n", artists=[]),
        )
    )
    new = NewSongs(after, None)
    assert (new.title(0), new.released.tolist(), new.artist.tolist()) == ("New", [2], [-1])
    assert new.entities["HAS_GENRE"][0].tolist() == [0]
    assert NewSongs(edits.after(lines(made("bare"))), None).released.tolist() == [UNKNOWN_INTEGER]


def test_a_deleted_song_is_withheld_until_it_is_made_again(edits: Edits) -> None:
    gone = edits.after(lines(made("n"), ("delete", "Song", "n", {}), ("delete", "Song", "s2", {})))
    assert gone.withheld.tolist() == [1, 5]
    assert gone.after(lines(made("n"), made("s2"))).withheld.tolist() == []
    assert gone.after(lines(("delete", "Song", "never", {}))).withheld.tolist() == [1, 5]
    again = gone.after(lines(made("n", title="Again")))
    assert (again.song("n"), NewSongs(again, None).title(0)) == (5, "Again")


def test_a_tier_bars_a_song_and_lets_it_in_again(edits: Edits) -> None:
    barred = edits.after(lines(made("s1", tier=0), made("s2", tier=2), made("n", tier=0)))
    assert (barred.withheld.tolist(), barred.readmitted.tolist()) == ([0, 5], [1])
    assert barred.after(lines(made("s1", tier=1))).withheld.tolist() == [5]


def test_follows_are_as_they_are_now(edits: Edits) -> None:
    assert edits.follows("ana", ANA, "User").tolist() == [BEN, CY]
    after = edits.after(
        lines(
            ("unfollow", "User", "ana", {"target": "ben"}),
            ("follow", "User", "ben", {"target": "cy", "since": NOW}),
            ("follow", "User", "dan", {"target": "ana", "since": NOW}),
            ("follow", "Artist", "ana", {"target": "alba", "since": NOW}),
            ("follow", "User", "ana", {"target": "??", "since": NOW}),
        )
    )
    assert after.follows("ana", ANA, "User").tolist() == [CY]
    assert after.follows("ben", BEN, "User").tolist() == [CY]
    assert after.follows("dan", -1, "User").tolist() == [ANA]  # somebody who came after the release
    assert after.follows("ana", ANA, "Artist").tolist() == [0]
    assert after.follows(None, -1, "User").tolist() == []
    again = after.after(lines(("follow", "User", "ana", {"target": "ben", "since": NOW})))
    assert again.follows("ana", ANA, "User").tolist() == [BEN, CY]
    undone = again.after(lines(("unfollow", "User", "ben", {"target": "cy"})))
    assert undone.follows("ben", BEN, "User").tolist() == []


def test_edits_of_other_labels_change_no_song(edits: Edits) -> None:
    after = edits.after(
        [*lines(("upsert", "Artist", "new", {"properties": {}})), JournalEntry(2, "import", None, None, {})]
    )
    assert (dict(after.places), after.offset) == ({}, 2)


def test_taking_gives_rows_of_the_release_and_of_new_songs(lopsided: World, edits: Edits) -> None:
    new = NewSongs(edits.after(lines(related("n", artists=["brio"]))), lopsided.vectors)
    taken = new.take(lopsided.vectors.unit, new.unit, np.array([5, 0]))
    assert taken == pytest.approx(np.array([[0, 1], [1, 0]]))
    assert new.take(np.arange(5.0), -1.0, np.array([3, 5])).tolist() == [3, -1]


def test_names_and_homes_are_as_the_last_edit_says(edits: Edits) -> None:
    after = edits.after(
        lines(
            ("upsert", "User", "ana", {"properties": {"name": "Anna", "latitude": 1.0, "longitude": 2.0}}),
            ("upsert", "User", "ana", {"properties": {"language": "ro", "latitude": None}}),
            ("upsert", "Artist", "new", {"properties": {"name": "New"}}),
        )
    )
    assert after.homes == {"ana": (1.0, 2.0)}
    named = [("User", "ana"), ("User", "ben"), ("User", "cy"), ("Artist", "new"), ("Artist", "brio"), ("Tag", "??")]
    assert [after.name(*one) for one in named] == ["Anna", "Ben", "cy", "New", "Brio", "??"]


def test_nobody_follows_what_was_deleted(lopsided: World, edits: Edits) -> None:
    ids = lopsided.snapshot.ids["User"]
    follow = ("follow", "User", ids[ANA], {"target": "new", "since": 1})
    before = edits.after(lines(follow))
    after = before.after([JournalEntry(2, "delete", "User", "new", {"events": 7})])
    assert before.followed[ids[ANA], "User"] == {"new": 1}
    assert not after.followed[ids[ANA], "User"]
    assert after.of_listener("new") == ({}, Forgotten(before=7))
    for target in edits.follows(ids[ANA], ANA, "User").tolist():
        gone = edits.after([JournalEntry(1, "delete", "User", ids[target], {"events": 0})])
        assert target not in gone.follows(ids[ANA], ANA, "User")
