"""A catalogue that nobody has listened to yet: it is refreshed and served, and says so."""

from __future__ import annotations

import pytest
from segue_test_house import House

from graph.store import embedded

SONGS = "id,title,released_at\n" + "".join(f"s{i},Song {i},{1_700_000_000_000 + i}\n" for i in range(6))
USERS = "id\nana\nben\n"
ARTISTS = "song_id,artist_id\n" + "".join(f"s{i},{'alba' if i < 3 else 'cato'}\n" for i in range(6))
FOLLOWS = "user_id,artist_id\nana,alba\n"


@pytest.fixture(scope="module")
def silent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("silent")
    tables = folder / "tables"
    tables.mkdir()
    for name, text in {"songs": SONGS, "users": USERS, "song_artist": ARTISTS, "artist_follows": FOLLOWS}.items():
        (tables / f"{name}.csv").write_text(text)
    house = House(folder, folder / "graph").settle()
    assert house.segue("import", "tables", str(tables), "--json").status == 0
    report = house.segue("refresh", "--json").json
    assert report["published"]
    assert report["reason"] == "the first release: no held-out song measures it"
    yield house
    house.close()
    embedded.stop(house.graph)


@pytest.mark.parametrize("scene", ["radio", "daily", "similar", "nearby", "following", "fresh"])
@pytest.mark.parametrize("user", ["ana", "nobody"])
def test_every_scene_gives_songs_and_says_that_there_is_no_history(silent, user, scene):
    answer = silent.segue("recommend", user, "--scene", scene, "-n", "3", "--json").json
    assert len(answer["items"]) == 3
    assert answer["note"].startswith("there is no listening history yet")


def test_a_followed_artist_comes_first(silent):
    answer = silent.segue("recommend", "ana", "--scene", "following", "-n", "3", "--json").json
    assert {item["song_id"] for item in answer["items"]} == {"s0", "s1", "s2"}


def test_a_second_refresh_finds_nothing_new(silent):
    assert silent.segue("refresh", "--json").json["reason"] == "nothing has changed"


def test_one_listener_with_three_events_is_enough_to_go_on(silent):
    events = silent.folder / "more"
    events.mkdir()
    rows = "".join(f"ana,full_play,s{i},{1_700_000_100_000 + i * 240_000}\n" for i in range(3))
    (events / "events.csv").write_text("user_id,action,song_id,at\n" + rows)
    assert silent.segue("import", "tables", str(events), "--merge", "--json").status == 0
    assert silent.segue("refresh", "--json").json["published"]
    answer = silent.segue("recommend", "ana", "-n", "3", "--json").json
    assert answer["items"]
    assert "little listening history" in answer["note"]
