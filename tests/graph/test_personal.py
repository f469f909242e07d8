"""What is held of a listener: told whole, forgotten for a time, erased."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graph.catalogue import Catalogue
from graph.errors import InvalidInput
from graph.importers.base import run_import
from graph.log.events import EventLog
from graph.personal import erase, exported, forget_time
from graph.snapshot.export import export
from graph.snapshot.histories import CODE
from graph.snapshot.snapshot import Snapshot
from graph.store.store import GraphStore
from recall.listeners.listener import Listener
from recall.live.edits import Edits

T = 1_600_000_000_000
FILES = {
    "users.csv": "id,name\nana,Ana\nben,Ben\n",
    "songs.csv": "id,title\ns1,One\ns2,Two\ns3,Three\n",
    "follows.csv": f"user_id,followed_id,since\nben,ana,{T}\nana,ben,{T}\n",
    "events.csv": "user_id,action,song_id,at,private\n"
    + "".join(f"{user},play,s{i},{T + i * 1000},{int(i == 2)}\n" for user in ("ana", "ben") for i in (1, 2, 3)),
    "exposures.csv": f"request_id,user_id,song_id,position,at\nr,ana,s1,0,{T}\n",
}


@pytest.fixture
def bring(embedded_store: GraphStore, sqlite_log: EventLog, tmp_path: Path) -> Any:
    folder = tmp_path / "data"
    folder.mkdir()

    def again(extra: str = "") -> dict[str, Any]:
        for name, text in FILES.items():
            (folder / name).write_text(text + (extra if name == "events.csv" else ""))
        return run_import("tables", folder, embedded_store, sqlite_log, tmp_path / "var")

    again()
    return again


def snapshot(store: GraphStore, log: EventLog) -> Snapshot:
    return export(store, log, upto=log.last_offset(), wall_clock=10**13)


def heard(found: Snapshot, user: str, edits: Edits | None = None, log: EventLog | None = None) -> list[str]:
    """The songs of a listener as a service knows them."""
    places, forgotten = ({}, None) if edits is None else edits.of_listener(user)
    latest = [] if log is None else log.of_user(user, found.meta.get("offset", 0))
    listener = Listener.of(found, user, latest, places, forgotten)
    return [found.ids["Song"][song] for song in listener.song.tolist()]


def test_all_that_is_held_is_told(bring: Any, embedded_store: GraphStore, sqlite_log: EventLog) -> None:
    held = exported(embedded_store, sqlite_log, "ana")
    assert held["user"]["name"] == "Ana"
    assert {(end["type"], end["direction"], end["id"]) for end in held["relationships"]} == {
        ("FOLLOWS", "out", "ben"),
        ("FOLLOWS", "in", "ben"),
    }
    assert [(event["song_id"], event["private"]) for event in held["events"]] == [("s1", 0), ("s2", 1), ("s3", 0)]
    assert [row["request_id"] for row in held["exposures"]] == ["r"]
    assert exported(embedded_store, sqlite_log, "nobody")["user"] is None


def test_private_events_are_no_part_of_the_profile(
    bring: Any, embedded_store: GraphStore, sqlite_log: EventLog
) -> None:
    found = snapshot(embedded_store, sqlite_log)
    assert heard(found, "ana") == ["s1", "s3"]
    assert found.relation("LISTENED").into(found.ids["Song"].index("s2")).tolist() == []
    sqlite_log.append([{"user_id": "ana", "action": "like", "song_id": "s2", "private": 1}])
    latest = sqlite_log.of_user("ana", 6)
    assert len(latest) == 1
    assert len(Listener.of(found, "ana", latest)) == 2


def test_a_time_that_is_forgotten_counts_no_more(bring: Any, embedded_store: GraphStore, sqlite_log: EventLog) -> None:
    before = snapshot(embedded_store, sqlite_log)
    edits = Edits(before, sqlite_log.last_journal_offset())
    assert forget_time(sqlite_log, "ana", T + 3000, None) == 1
    assert forget_time(sqlite_log, "ben", T, T + 2000) == 1
    now = edits.after(sqlite_log.journal(edits.offset))
    assert (heard(before, "ana", now), heard(before, "ben", now)) == (["s1"], ["s3"])
    after = snapshot(embedded_store, sqlite_log)
    assert (heard(after, "ana"), heard(after, "ben")) == (["s1"], ["s3"])
    sqlite_log.append([{"user_id": "ana", "action": "play", "song_id": "s3", "at": T + 4000}])  # said again later
    latest = sqlite_log.of_user("ana", 6)
    again = Listener.of(before, "ana", latest, *now.of_listener("ana"))
    assert [before.ids["Song"][song] for song in again.song.tolist()] == ["s1", "s3"]
    with pytest.raises(InvalidInput, match=r"to: expected a time after from \(5\), got 5"):
        forget_time(sqlite_log, "ana", 5, 5)


def test_nothing_is_left_of_somebody_erased(
    bring: Any, embedded_store: GraphStore, sqlite_log: EventLog, tmp_path: Path
) -> None:
    with Catalogue(embedded_store, sqlite_log) as catalogue:
        catalogue.upsert_node("User", "ana", {"name": "Ana Maria"})
        catalogue.follow("ben", "ana")
        catalogue.follow("ana", "cy")
    before = snapshot(embedded_store, sqlite_log)
    edits = Edits(before, sqlite_log.last_journal_offset())
    assert erase(embedded_store, sqlite_log, "ana", tmp_path / "var") == {"user_id": "ana", "events": 3}
    now = edits.after(sqlite_log.journal(edits.offset))
    assert heard(before, "ana", now) == []
    assert now.follows("ben", before.ids["User"].index("ben"), "User").tolist() == []
    held = exported(embedded_store, sqlite_log, "ana")
    assert held == {"user_id": "ana", "user": None, "relationships": [], "events": [], "exposures": []}
    lines = [(line.kind, line.id, line.payload) for line in sqlite_log.journal()]
    assert "Ana Maria" not in str(lines)
    assert [kind for kind, id_, payload in lines if "ana" in (id_, payload.get("target"))] == ["upsert", "delete"]
    assert any("deleted on purpose" in text for text in bring("ben,play,s1,1600000009000,0\n")["warnings"])
    after = snapshot(embedded_store, sqlite_log)
    assert after.ids["User"].to_list() == ["ben", "cy"]
    assert np.count_nonzero(after.histories.action == CODE["play"]) == 3
    assert erase(embedded_store, sqlite_log, "ana", tmp_path / "var")["events"] == 0
