"""Single edits over REST, and how soon the service knows them: a real `segue serve` over a real graph and log."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from segue_test_house import House, Server

from api.jobs.project import project
from graph.schema import id_of_name
from graph.store.config import GraphConfig
from graph.store.store import GraphStore

KNOWN_WITHIN_S = 5
ERASED: list[str] = []
"""Who was erased over REST, for the refresh that comes after."""


@pytest.fixture(scope="module")
def edited(own_house: Callable[..., House]) -> Iterator[tuple[House, Server]]:
    house = own_house().settle(sections="[refresh]\nmargin = 0.99")  # thirteen listeners measure: the gate is noise
    with GraphStore.open(GraphConfig(url=f"embedded:{house.graph}", linger_s=0)) as store:
        project(store, house.release, None, lambda *_: None)  # this graph is a copy that no refresh has written to
    with house.serve() as server:
        yield house, server


@pytest.fixture
def put(edited) -> Callable[..., httpx.Response]:
    def ask(path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        return edited[1].client.put(f"/v1/{path}", json={} if body is None else body)

    return ask


@pytest.fixture
def fan(edited) -> tuple[str, str]:
    """A listener, and the artist that they played most."""
    house, _ = edited
    snapshot = house.release.snapshot
    listened, performed = snapshot.relation("LISTENED"), snapshot.relation("PERFORMED_BY")
    user = max(range(snapshot.users), key=lambda u: len(listened.of(u)))
    artists = [int(a) for song in listened.of(user).tolist() for a in performed.of(song).tolist()]
    return snapshot.ids["User"][user], snapshot.ids["Artist"][max(set(artists), key=artists.count)]


def known(server: Server, wait_until: Any, holds: Callable[[], bool]) -> None:
    wait_until(holds, KNOWN_WITHIN_S)


SONG = {
    "title": "Brand New", "duration_ms": 200_000, "language": "en", "quality": 0.9, "tier": 3,
    "released_at": -326_246_400_000,
    "artists": [], "albums": [], "genres": ["g0"], "tags": {"loud": 2.0, "odd": None}, "cover_of": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("songs/r-1", SONG),
        ("artists/r-1", {"name": "Someone"}),
        ("albums/r-1", {"title": "First"}),
        ("genres/r-1", {"name": "dub"}),
        ("tags/r-1", {"name": "slow"}),
        ("users/r-1", {"name": "Ünï", "birth_year": 1990}),
        ("places/r-1", {"name": "Wien", "latitude": 48.2, "longitude": 16.4}),
        ("playlists/r-1", {"name": "Mix"}),
    ],
)
def test_a_node_is_made_read_changed_and_deleted(edited, put, path: str, body: dict[str, Any]) -> None:
    client = edited[1].client
    made = put(path, body)
    assert (made.status_code, made.json()) == (201, {"id": "r-1", **body})
    assert put(path, body).status_code == 200  # it is there already
    assert client.get(f"/v1/{path}").json() == {"id": "r-1", **body}
    name = "title" if "title" in body else "name"
    changed = client.patch(f"/v1/{path}", json={name: "Other"})
    assert changed.json() == {"id": "r-1", **body, name: "Other"}
    assert client.delete(f"/v1/{path}").status_code == 204
    for answer in (client.get(f"/v1/{path}"), client.patch(f"/v1/{path}", json={}), client.delete(f"/v1/{path}")):
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert "'r-1'" in answer.json()["detail"]


def test_where_a_listener_lives_is_told_no_finer_than_its_cell(put) -> None:
    told = put("users/r-3", {"latitude": 48.2082, "longitude": 16.3738}).json()
    assert (told["latitude"], told["longitude"]) != (48.2082, 16.3738)
    assert (told["latitude"], told["longitude"]) == pytest.approx((48.2082, 16.3738), abs=0.05)


def test_relations_are_replaced_kind_by_kind(put, edited) -> None:
    put("songs/r-2", {"artists": ["a", "b"], "genres": ["g"], "tags": {"t": 1.0}})
    after = edited[1].client.patch("/v1/songs/r-2", json={"artists": ["c"], "tags": {}}).json()
    assert (after["artists"], after["genres"], after["tags"]) == (["c"], ["g"], {})


@pytest.mark.parametrize("name", ["AC/DC", "a/b/", "/", "100%/2F", "../../x", "🎵/e\u0301", "what? /#", " / "])
def test_a_name_with_a_slash_is_an_id(put, edited, name: str) -> None:
    client, made = edited[1].client, id_of_name(name)
    assert put(f"artists/{quote(name, safe='')}", {"name": name}).json()["id"] == made
    for text in (name, made):
        answer = client.get(f"/v1/artists/{quote(text, safe='')}").json()
        assert (answer["id"], answer["name"]) == (made, name)
    assert put(f"songs/{quote('by ' + name, safe='')}", {"artists": [name]}).json()["artists"] == [made]
    event = {"user_id": name, "action": "play", "song_id": f"by {name}", "event_id": f"of {made}"}
    assert client.post("/v1/events", json=[event]).json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    logged = edited[0].log().of_user(id_of_name(name), 0)
    assert [one.song_id for one in logged] == [id_of_name(f"by {name}")]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("songs/x", {"titel": "X"}, "titel"),
        ("songs/x", {"quality": 1.5}, "quality"),
        ("songs/x", {"duration_ms": "long"}, "duration_ms"),
        ("songs/x", {"artists": ["a\u0000b"]}, "artists"),
        ("songs/x", {"tags": {"t": -1}}, "tags"),
        ("songs/x", {"listeners": 5}, "listeners"),  # derived: nobody may set it
        ("songs/x", {"cover_of": ["x"]}, "cover of itself"),
        ("users/x", {"latitude": 91, "longitude": 0}, "latitude"),
        ("users/x", {"latitude": 48.2}, "expected both or none"),
        ("artists/x", {"artists": ["a"]}, "artists"),
        ("artists/x", {"name": "a\u0000b"}, "name"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(edited, put, path: str, body: dict[str, Any], said: str) -> None:
    answer = put(path, body)
    assert answer.status_code == (409 if "itself" in said else answer.status_code)
    assert answer.status_code in (400, 409, 422)
    assert said in answer.json()["detail"]
    assert edited[1].client.get(f"/v1/{path}").status_code == 404


def test_a_new_song_is_recommended_within_seconds_with_a_path_that_the_graph_holds(
    edited, put, fan: tuple[str, str], wait_until
) -> None:
    (_, server), (user, artist) = edited, fan
    put("songs/r-new", {"title": "Brand New", "artists": [artist], "quality": 1.0})

    def slate(**more: Any) -> list[dict[str, Any]]:
        return list(server.post("/v1/recommend", {"user_id": user, "scene": "fresh", "n": 100, **more}).json()["items"])

    # the node and its relations are two lines of the journal: a worker may have read the first alone
    known(server, wait_until, lambda: "r-new" in [item["song_id"] for item in slate() if item["artists"]])
    item = next(item for item in slate(explain=True) if item["song_id"] == "r-new")
    assert item["title"] == "Brand New"
    assert len(item["artists"]) == 1
    for reason in item["reasons"]:
        rows = server.post("/v1/graph/query", {"query": reason["cypher"], "parameters": reason["parameters"]}).json()
        assert len(rows["rows"]) == 1
        assert [node["id"] for node in rows["rows"][0][0]] == [s["id"] for s in reason["path"] if "id" in s]
    assert item["reasons"]
    near = server.get("/v1/songs/r-new/similar").json()["items"]
    assert len(near) == 10
    back = server.get(f"/v1/songs/{near[0]['song_id']}/similar?n=200").json()["items"]
    assert "r-new" in [found["song_id"] for found in back]
    assert server.get(f"/v1/users/{user}/why/r-new").json()["paths"] == item["reasons"]


def test_a_play_of_a_new_song_moves_the_next_answer(edited, put, fan: tuple[str, str], wait_until) -> None:
    (_, server), (_, artist) = edited, fan
    put("songs/r-play", {"artists": [artist]})
    # the song alone, which a worker may have read without its artist, is like no other
    known(server, wait_until, lambda: bool(server.get("/v1/songs/r-play/similar").json().get("items")))
    event = {"user_id": "r-nobody", "action": "full_play", "song_id": "r-play"}
    assert server.get("/v1/recall/recent?user_id=r-nobody").json()["candidates"] == []
    server.post("/v1/events", [event])
    found = [c["song_id"] for c in server.get("/v1/recall/recent?user_id=r-nobody").json()["candidates"]]
    near = [c["song_id"] for c in server.get("/v1/songs/r-play/similar").json()["items"]]
    assert near[0] in found
    assert "r-play" not in found


def test_a_deleted_song_and_a_barred_one_are_gone_within_seconds(edited, put, fan: tuple[str, str], wait_until) -> None:
    (_, server), (user, artist) = edited, fan
    for song in ("r-gone", "r-barred"):
        put(f"songs/{song}", {"artists": [artist], "quality": 1.0})

    def shown() -> set[str]:
        return {c["song_id"] for c in server.get(f"/v1/recall/fresh?user_id={user}").json()["candidates"]}

    known(server, wait_until, lambda: {"r-gone", "r-barred"} <= shown())
    server.client.delete("/v1/songs/r-gone")
    server.client.patch("/v1/songs/r-barred", json={"tier": 0})
    known(server, wait_until, lambda: not {"r-gone", "r-barred"} & shown())
    assert server.get("/v1/songs/r-gone/similar").status_code == 404


def slate(server: Server, user: str) -> list[str]:
    asked = {"user_id": user, "n": 200}
    return [item["song_id"] for item in server.post("/v1/recommend", asked).json()["items"]]


def test_nothing_of_a_blocked_artist_is_answered_until_it_is_unblocked(
    edited, fan: tuple[str, str], wait_until
) -> None:
    (house, server), (user, artist) = edited, fan
    snapshot = house.release.snapshot
    performed = snapshot.relation("PERFORMED_BY").into(snapshot.ids["Artist"].index(artist))
    theirs = {snapshot.ids["Song"][song] for song in performed.tolist()}
    other = next(id_ for id_ in snapshot.ids["User"].to_list() if id_ != user)
    known(server, wait_until, lambda: bool(theirs & set(slate(server, other))))
    block = {"user_id": other, "action": "block", "target_label": "Artist", "target_id": artist}
    server.post("/v1/events", [block])
    known(server, wait_until, lambda: not theirs & set(slate(server, other)))
    candidates = server.get(f"/v1/recall/popularity?user_id={other}&k=500").json()["candidates"]
    assert not theirs & {one["song_id"] for one in candidates}
    song = next(id_ for id_ in snapshot.ids["Song"].to_list() if id_ not in theirs)
    for path, found in ((f"songs/{song}/similar?n=500", bool), (f"songs/{song}/similar?n=500&user_id={other}", None)):
        near = {one["song_id"] for one in server.get(f"/v1/{path}").json()["items"]}
        assert bool(theirs & near) == bool(found), path
    refused = server.post("/v1/events", [{**block, "target_label": "Album"}]).json()["rejected"]
    assert "expected Artist, Tag or Genre" in refused[0]["reason"]
    server.post("/v1/events", [{**block, "action": "unblock"}])
    known(server, wait_until, lambda: bool(theirs & set(slate(server, other))))


def test_somebody_erased_is_answered_as_somebody_unknown(edited, put, fan: tuple[str, str], wait_until) -> None:
    (house, server), (user, _) = edited, fan
    gone = next(id_ for id_ in reversed(house.release.snapshot.ids["User"].to_list()) if id_ != user)
    held = server.get(f"/v1/users/{gone}/export").json()
    assert len(held["events"]) > 10
    first = held["events"][0]
    assert server.client.delete(
        f"/v1/users/{gone}/history", params={"from": first["at"], "to": first["at"] + 1}
    ).json()["events"]
    assert slate(server, gone) != slate(server, "r-unknown")
    assert server.client.delete(f"/v1/users/{gone}").status_code == 204
    known(server, wait_until, lambda: slate(server, gone) == slate(server, "r-unknown"))
    held = server.get(f"/v1/users/{gone}/export").json()
    assert (held["user"], held["relationships"], held["events"]) == (None, [], [])
    assert server.client.delete(f"/v1/users/{gone}").status_code == 404
    ERASED.append(gone)


@pytest.mark.parametrize(
    ("route", "kind", "label"), [("follows", "FOLLOWS", "User"), ("follows-artist", "FOLLOWS_ARTIST", "Artist")]
)
def test_follows_are_made_and_undone(edited, put, route: str, kind: str, label: str) -> None:
    server = edited[1]
    asked = {"query": f"MATCH (:User {{id: 'r-fan'}})-[r:{kind}]->(b:{label}) RETURN b.id AS id, r.since AS since"}
    assert put(f"users/r-fan/{route}/r-idol", {"since": 77}).status_code == 204
    assert server.post("/v1/graph/query", asked).json()["rows"] == [["r-idol", 77]]
    assert put(f"users/r-fan/{route}/r-idol", {"since": 77}).status_code == 204
    assert server.client.delete(f"/v1/users/r-fan/{route}/r-idol").status_code == 204
    assert server.post("/v1/graph/query", asked).json()["rows"] == []
    assert server.client.delete(f"/v1/users/r-fan/{route}/r-idol").status_code == 204
    assert put(f"users/r-fan/{route}/r-idol", {"since": -1}).status_code == 422


def test_nobody_follows_themselves(put) -> None:
    assert put("users/r-fan/follows/r-fan").status_code == 409


def test_edits_made_at_once_are_all_kept(edited, put) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: put(f"artists/r-many-{i}", {"name": str(i)}).status_code, range(12)))
    assert answers == [201] * 12
    asked = {"query": "MATCH (a:Artist) WHERE a.id STARTS WITH 'r-many-' RETURN count(a) AS n"}
    assert edited[1].post("/v1/graph/query", asked).json()["rows"] == [[12]]


def test_a_refresh_takes_new_songs_into_the_release(edited, put, wait_until) -> None:
    house, server = edited
    put("songs/r-kept", {"title": "Kept", "artists": ["r-singer"]})
    before = house.release.id
    ran = house.segue("refresh", "--json", timeout=300)
    assert ran.status == 0, ran.err
    assert house.release.id != before
    ids = house.release.snapshot.ids
    assert ids["Song"].index("r-kept") >= 0
    assert (ids["Song"].index("r-gone"), ids["User"].index(ERASED[0])) == (-1, -1)
    wait_until(lambda: server.get("/readyz").json()["release"] == house.release.id, 10)
    time.sleep(0.5)  # a fold or two: what the release knows is not folded in again
    assert server.get("/v1/songs/r-kept").json()["title"] == "Kept"
