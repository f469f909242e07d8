"""The REST interface, asked of a real `segue serve` over a real release, event log and graph (design, section 7)."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

SLATE = {"request_id", "release", "items", "trace"}
ITEM = {"song_id", "title", "artists", "score", "channels", "reasons"}
REASON = {"kind", "text", "score", "path", "cypher", "parameters"}
EXPOSURE = {
    "request_id", "user_id", "song_id", "position", "at", "scene", "channel", "score", "propensity", "policy"
}  # fmt: skip
CHANNELS = {
    "song2vec", "relation_gamma_gcn", "als", "listener_kernel", "song_to_song", "recent", "latest", "item_knn",
    "attributes", "social", "trending", "fresh", "popularity", "fallback", "lbs"
}  # fmt: skip


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Checks that an answer is RFC 9457 problem details of that status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body.keys() >= {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert body["detail"]
    return dict(body)


@pytest.fixture(scope="module")
def snapshot(served_house):
    return served_house.release.snapshot


@pytest.fixture(scope="module")
def listener(snapshot):
    """Somebody with a long history and people to follow."""
    return max(
        snapshot.ids["User"].to_list(),
        key=lambda i: min(
            len(snapshot.relation("FOLLOWS").of(snapshot.ids["User"].index(i))) * 20,
            len(snapshot.relation("LISTENED").of(snapshot.ids["User"].index(i))),
        ),
    )


@pytest.fixture
def slate(server):
    def ask(**body: Any) -> dict[str, Any]:
        answer = server.post("/v1/recommend", body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    return ask


def songs(answer: dict[str, Any]) -> list[str]:
    return [item["song_id"] for item in answer["items"]]


# ---- recommend


def test_a_listener_gets_ten_songs_with_the_keys_of_the_contract(slate, listener, served_house):
    answer = slate(user_id=listener)
    assert answer.keys() == SLATE
    assert answer["release"] == served_house.releases.current()
    assert len(answer["items"]) == len(set(songs(answer))) == 10
    for item in answer["items"]:
        assert item.keys() == ITEM
        assert item["reasons"] == []
        assert item["title"]
        assert item["artists"]
        assert item["channels"]
        for found in item["channels"]:
            assert found.keys() == {"channel", "rank", "score"}
            assert found["channel"] in CHANNELS


def test_the_trace_tells_every_stage(slate, listener):
    trace = slate(user_id=listener)["trace"]
    assert [stage["stage"] for stage in trace] == ["recall", "merge", "rank", "rerank"]
    for stage in trace:
        assert stage.keys() == {"stage", "in", "out", "ms", "dropped"}
        assert stage["dropped"] == []
    assert trace[-1]["out"] == 10


def test_songs_heard_before_do_not_come_back_on_the_radio(slate, listener, snapshot):
    user = snapshot.ids["User"].index(listener)
    heard = {snapshot.ids["Song"][int(s)] for s in snapshot.histories.song[snapshot.histories.of(user)]}
    assert heard
    assert not heard & set(songs(slate(user_id=listener, n=50)))


def test_an_unknown_listener_gets_an_answer(slate):
    assert len(songs(slate(user_id="nobody ever heard of"))) == 10


def test_a_session_gets_songs_that_it_does_not_hold(slate, snapshot):
    session = [snapshot.ids["Song"][i] for i in (3, 5, 8)]
    answer = slate(session=session)
    assert len(songs(answer)) == 10
    assert not set(session) & set(songs(answer))


def test_a_session_of_unknown_songs_gets_an_answer(slate):
    assert len(songs(slate(session=["no such song"]))) == 10


def test_scene_n_and_exclude_are_obeyed(slate, listener):
    assert len(songs(slate(user_id=listener, scene="daily"))) == 30
    assert len(songs(slate(user_id=listener, n=3))) == 3
    first = songs(slate(user_id=listener))
    second = songs(slate(user_id=listener, exclude=first[:5]))
    assert not set(first[:5]) & set(second)


def test_the_time_of_the_question_counts(slate, listener, snapshot):
    """Heard songs come back to the daily mix after a fortnight."""
    now = songs(slate(user_id=listener, scene="daily", n=100, context={"at": snapshot.as_of}))
    later = songs(slate(user_id=listener, scene="daily", n=100, context={"at": snapshot.as_of + 30 * 86_400_000}))
    user = snapshot.ids["User"].index(listener)
    heard = {snapshot.ids["Song"][int(s)] for s in snapshot.histories.song[snapshot.histories.of(user)]}
    assert len(heard & set(later)) > len(heard & set(now))


def test_a_place_in_the_question_is_taken(slate, listener):
    assert len(songs(slate(user_id=listener, context={"latitude": 52.5, "longitude": 13.4}))) == 10


def test_what_is_loved_at_the_place_of_the_question_is_in_the_default_scene(slate, listener, snapshot):
    point = {name: float(snapshot.column("Place", name)[0]) for name in ("latitude", "longitude")}
    there = [item for item in slate(user_id=listener, context=point, explain=True)["items"] if by_place(item)]
    assert len(there) >= 2
    assert any("near you" in reason["text"] for item in there for reason in item["reasons"])
    assert not any(by_place(item) for item in slate(user_id=listener)["items"])


def by_place(item):
    return "lbs" in {found["channel"] for found in item["channels"]}


def test_every_slate_is_logged_as_exposures(slate, listener, served_house, snapshot, wait_until):
    answer = slate(user_id=listener, n=4, context={"at": snapshot.as_of})

    def logged() -> list[dict[str, Any]]:
        return [row for row in log.exposures().to_dicts() if row["request_id"] == answer["request_id"]]

    with served_house.log() as log:
        # they are written beside the answer, some milliseconds after it
        wait_until(logged, 10)
        mine = logged()
    assert [row["song_id"] for row in mine] == songs(answer)
    assert [row["position"] for row in mine] == [0, 1, 2, 3]
    for row, item in zip(mine, answer["items"], strict=True):
        assert row.keys() - {"offset"} == EXPOSURE
        assert row["user_id"] == listener
        assert row["scene"] == "radio"
        assert row["at"] == snapshot.as_of
        assert row["score"] == pytest.approx(item["score"])
        assert row["channel"] in {found["channel"] for found in item["channels"]}
        assert 0 < row["propensity"] <= 1
        assert row["policy"]


# ---- reasons


def shows_its_path(server, reason: dict[str, Any]) -> None:
    """A reason's Cypher, run with its parameters, returns one row: the path that it names."""
    assert reason.keys() == REASON
    answer = server.post("/v1/graph/query", {"query": reason["cypher"], "parameters": reason["parameters"]})
    assert answer.status_code == 200, answer.text
    table = answer.json()
    assert table["columns"] == ["nodes", "relationships"]
    assert len(table["rows"]) == 1, reason
    nodes, relationships = table["rows"][0]
    assert [(n["label"], n["id"]) for n in nodes] == [(n["label"], n["id"]) for n in reason["path"][::2]]
    named = [(r["relationship"], r["direction"]) for r in reason["path"][1::2]]
    assert [(r["type"], r["direction"]) for r in relationships] == named


def test_every_reason_of_a_slate_can_be_seen_in_the_graph(server, slate, listener):
    reasons = [reason for item in slate(user_id=listener, explain=True)["items"] for reason in item["reasons"]]
    assert len(reasons) >= 10
    for reason in reasons:
        shows_its_path(server, reason)
        assert reason["path"][-1]["label"] == "Song"
        assert all(node.keys() == {"label", "id", "name"} for node in reason["path"][::2])
        assert all(edge.keys() == {"relationship", "direction", "properties"} for edge in reason["path"][1::2])


def test_every_reason_of_a_session_can_be_seen_in_the_graph(server, slate, snapshot):
    items = slate(session=snapshot.ids["Song"].to_list()[:3], explain=True)["items"]
    for reason in [reason for item in items for reason in item["reasons"]]:
        shows_its_path(server, reason)
    assert sum(any(len(reason["path"]) > 1 for reason in item["reasons"]) for item in items) >= 0.9 * len(items)


def test_somebody_unknown_is_told_that_a_song_is_popular(server, slate):
    reasons = [r for item in slate(user_id="somebody new", explain=True)["items"] for r in item["reasons"]]
    assert {reason["kind"] for reason in reasons} == {"popular"}
    for reason in reasons:
        shows_its_path(server, reason)


def test_reasons_name_only_people_whom_the_listener_follows(server, slate, listener, snapshot):
    user = snapshot.ids["User"].index(listener)
    followed = {snapshot.ids["User"][int(u)] for u in snapshot.relation("FOLLOWS").of(user)}
    for item in slate(user_id=listener, explain=True, n=50)["items"]:
        for reason in item["reasons"]:
            people = {node["id"] for node in reason["path"] if node.get("label") == "User"}
            assert people <= followed | {listener}


def test_why_lists_the_paths_to_one_song(server, slate, listener, served_house):
    song = songs(slate(user_id=listener))[0]
    answer = server.get(f"/v1/users/{listener}/why/{song}").json()
    assert answer.keys() == {"release", "user_id", "song_id", "paths"}
    assert (answer["user_id"], answer["song_id"]) == (listener, song)
    assert answer["paths"]
    for reason in answer["paths"]:
        shows_its_path(server, reason)


def test_why_without_an_edge_tells_what_is_lost(server, slate, listener):
    for song in songs(slate(user_id=listener)):
        paths = server.get(f"/v1/users/{listener}/why/{song}").json()["paths"]
        edge = next(p["path"] for p in paths)
        if len(edge) < 3:
            continue
        ends = [edge[0]["id"], edge[2]["id"]][:: 1 if edge[1]["direction"] == "out" else -1]
        without = f"{edge[1]['relationship']}:{ends[0]}:{ends[1]}"
        answer = server.get(f"/v1/users/{listener}/why/{song}", params={"without": without}).json()
        assert answer["lost"]
        assert answer["rank"] in {None, *range(1, 11)}
        assert answer["recommended"] == (answer["rank"] is not None)
        assert len(answer["lost"]) + len(answer["paths"]) >= len(paths)
        assert edge not in [reason["path"] for reason in answer["paths"]]
        return
    pytest.fail("no song has a path of its own")


def test_why_without_an_edge_that_no_path_uses_loses_nothing(server, slate, listener):
    song = songs(slate(user_id=listener))[0]
    paths = server.get(f"/v1/users/{listener}/why/{song}").json()["paths"]
    answer = server.get(f"/v1/users/{listener}/why/{song}", params={"without": "LIKED:a:b:c"}).json()
    assert (answer["paths"], answer["lost"]) == (paths, [])
    assert (answer["still"], answer["recommended"], answer["rank"], answer["replaced_by"]) == (True, True, 1, None)


@pytest.mark.parametrize(
    "without", ["", "LIKED", "LIKED:u1", "LIKED::s1", "LIKED:u1:", "ADORED:u1:s1", "::", "x/y:a:b"]
)
def test_why_without_something_that_is_no_edge_is_400(server, listener, snapshot, without):
    song = snapshot.ids["Song"][0]
    answer = server.get(f"/v1/users/{listener}/why/{song}", params={"without": without})
    assert "TYPE:from_id:to_id" in is_problem(answer, 400)["detail"]


def test_why_an_unknown_song_is_404(server, listener):
    assert "no such song" in is_problem(server.get(f"/v1/users/{listener}/why/no such song"), 404)["detail"]


# ---- recall and similar


def test_recall_gives_every_channel_its_own_list(server, listener):
    answer = server.post("/v1/recall", {"user_id": listener, "k": 7}).json()
    assert answer.keys() == {"release", "user_id", "candidates"}
    rows = answer["candidates"]
    assert all(row.keys() == {"song_id", "channel", "rank", "score"} for row in rows)
    assert {row["channel"] for row in rows} <= CHANNELS
    for channel in ("song2vec", "item_knn", "popularity"):
        assert [row["rank"] for row in rows if row["channel"] == channel] == list(range(1, 8))


@pytest.mark.parametrize(("channel", "how"), [("ease", "give a scene the channel"), ("lightgcn", "embed.lightgcn")])
def test_a_channel_that_the_release_was_made_without_says_how_to_get_it(server, listener, channel, how):
    problem = is_problem(server.get(f"/v1/recall/{channel}", params={"user_id": listener}), 409)
    assert how in problem["detail"]


def test_recall_of_one_channel(server, listener):
    rows = server.get("/v1/recall/popularity", params={"user_id": listener, "k": 5}).json()["candidates"]
    assert [row["channel"] for row in rows] == ["popularity"] * 5
    chosen = server.post("/v1/recall", {"user_id": listener, "channels": ["popularity"], "k": 5}).json()["candidates"]
    assert rows == chosen


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        ({"method": "POST", "url": "/v1/recommend", "json": {"user_id": "u", "scene": "telepathy"}}, "body.scene"),
        ({"method": "POST", "url": "/v1/recall", "json": {"user_id": "u", "channels": ["als", "telepathy"]}},
         "body.channels.1"),
        ({"method": "GET", "url": "/v1/recall/telepathy?user_id=u"}, "path.channel"),
        ({"method": "GET", "url": "/v1/songs/SONG/similar?by=telepathy"}, "query.by"),
        ({"method": "GET", "url": "/v1/artists/ARTIST/similar?by=telepathy"}, "query.by"),
    ],
)  # fmt: skip
def test_an_unknown_scene_channel_or_model_is_422_like_other_fields(server, snapshot, ask, field):
    url = ask["url"].replace("SONG", snapshot.ids["Song"][0]).replace("ARTIST", snapshot.ids["Artist"][0])
    problem = is_problem(server.client.request(**{**ask, "url": url}), 422)
    assert problem["title"] == "Malformed request"
    assert problem["errors"][0]["field"] == field
    assert "'telepathy'" in problem["errors"][0]["reason"]
    assert "(known: " in problem["errors"][0]["reason"]


def test_similar_songs_come_the_nearest_first(server, snapshot):
    song = snapshot.ids["Song"][0]
    answer = server.get(f"/v1/songs/{song}/similar", params={"n": 5}).json()
    assert answer.keys() == {"release", "song_id", "by", "gamma", "items"}
    assert answer["by"] == "fusion"
    assert all(item.keys() == {"song_id", "score"} for item in answer["items"])
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 5
    assert song not in songs(answer)


def test_songs_are_compared_by_each_source_of_the_release(server, snapshot):
    song = max(
        snapshot.ids["Song"].to_list(),
        key=lambda i: len(snapshot.relation("LISTENED").into(snapshot.ids["Song"].index(i))),
    )
    found = {}
    for by in ("fusion", "attributes", "item_knn", "song2vec"):
        answer = server.get(f"/v1/songs/{song}/similar", params={"by": by}).json()
        assert answer["by"] == by
        found[by] = tuple(songs(answer))
    assert len(set(found.values())) == 4


def test_a_model_that_the_release_was_made_without_is_409_with_the_way_to_get_it(server, snapshot):
    song, artist = snapshot.ids["Song"][0], snapshot.ids["Artist"][0]
    for path in (f"/v1/songs/{song}/similar", f"/v1/artists/{artist}/similar"):
        detail = is_problem(server.get(path, params={"by": "lightgcn"}), 409)["detail"]
        assert "enable [embed.lightgcn] and refresh" in detail
        assert "(known: fusion, attributes, item_knn, als, relation_gamma_gcn, song2vec" in detail


@pytest.mark.parametrize("label", ["Artist", "Tag", "Genre"])
def test_similar_artists_tags_and_genres(server, snapshot, label):
    id_, key, path = snapshot.ids[label][0], f"{label.lower()}_id", f"/v1/{label.lower()}s"
    answer = server.get(f"{path}/{id_}/similar", params={"n": 3}).json()
    assert answer.keys() == {"release", key, "by", "gamma", "items"}
    assert (answer[key], answer["by"]) == (id_, "fusion")
    found = [item[key] for item in answer["items"]]
    assert 0 < len(found) == len(set(found)) <= 3
    assert id_ not in found
    assert all(snapshot.ids[label].index(other) >= 0 for other in found)
    by_model = server.get(f"{path}/{id_}/similar", params={"n": 3, "by": "song2vec"}).json()
    assert by_model["items"] != answer["items"]
    assert "no such" in is_problem(server.get(f"{path}/no such/similar"), 404)["detail"]
    is_problem(server.get(f"{path}/{id_}/similar", params={"by": "smell"}), 422)
    is_problem(server.get(f"{path}/{id_}/similar", params={"gamma.NO_SUCH": 1}), 400)


def test_gamma_weighs_a_relation_anew_and_keeps_the_others(server, snapshot):
    path = f"/v1/songs/{snapshot.ids['Song'][0]}/similar"
    ask = {"by": "song2vec"}
    trained = server.get(path, params=ask).json()
    genre = server.get(path, params={**ask, "gamma.HAS_GENRE": 50}).json()
    assert genre["gamma"] == {**trained["gamma"], "HAS_GENRE": 50.0}
    assert len(genre["gamma"]) > 1
    assert songs(genre) != songs(trained)
    for answer in (trained, genre):
        back = {f"gamma.{name}": value for name, value in answer["gamma"].items()}
        assert server.get(path, params={**ask, **back}).json() == answer
    fused = server.get(path, params={"gamma.HAS_GENRE": 50}).json()
    assert fused["gamma"] == {"HAS_GENRE": 50.0}


@pytest.mark.parametrize("query", ["gamma.NO_SUCH=1", "gamma.HAS_GENRE=much", "gamma.HAS_GENRE=nan", "x=1"])
def test_a_wrong_question_about_similar_songs_is_400(server, snapshot, query):
    is_problem(server.get(f"/v1/songs/{snapshot.ids['Song'][0]}/similar?{query}"), 400)


# ---- events


def test_posted_events_are_counted_and_the_bad_ones_named(server, served_house):
    good = {"event_id": "rest-1", "user_id": "u-rest", "action": "play", "song_id": "song-x", "private": True}
    bad = {"user_id": "u-rest", "action": "dance", "song_id": "song-x"}
    answer = server.post("/v1/events", [good, bad, good, 7])
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["duplicates"]) == (1, 1)
    assert [row["index"] for row in body["rejected"]] == [1, 3]
    assert body["rejected"][0]["reason"].startswith("action: expected one of play, full_play")
    again = server.post("/v1/events", {"events": [good]}).json()
    assert again == {"accepted": 0, "duplicates": 1, "rejected": []}
    with served_house.log() as log:
        assert [(event.event_id, event.private) for event in log.of_user("u-rest")] == [("rest-1", 1)]


@pytest.mark.parametrize("action", ["full_play", "block", "skip"])
def test_what_a_listener_does_counts_in_the_next_answer(server, slate, action, snapshot):
    listener = snapshot.ids["User"][{"full_play": 7, "block": 8, "skip": 9}[action]]
    song = songs(slate(user_id=listener))[0]
    server.post("/v1/events", [{"user_id": listener, "action": action, "song_id": song, "at": snapshot.as_of + 1}])
    assert song not in songs(slate(user_id=listener))


def test_a_new_listener_is_known_after_the_first_songs(server, slate, snapshot):
    before = songs(slate(user_id="fresh", n=20))
    liked = snapshot.ids["Song"][11]
    at = snapshot.as_of + 1
    events = [{"user_id": "fresh", "action": a, "song_id": liked, "at": at} for a in ("full_play", "collect")]
    assert server.post("/v1/events", events).json()["accepted"] == 2
    answer = slate(user_id="fresh", n=20)
    assert songs(answer) != before
    assert liked not in songs(answer)
    assert "item_knn" in {found["channel"] for item in answer["items"] for found in item["channels"]}


def test_coordinates_are_coarsened_before_they_are_written(server, served_house):
    exact = {"latitude": 52.520008, "longitude": 13.404954}
    server.post("/v1/events", [{"user_id": "u-where", "action": "search", "query": "x", **exact}])
    with served_house.log() as log:
        event = log.of_user("u-where")[0]
    assert event.latitude != exact["latitude"]
    assert event.latitude == pytest.approx(exact["latitude"], abs=0.05)


def test_more_than_a_thousand_events_at_once_are_refused(server):
    is_problem(server.post("/v1/events", [{"user_id": "u", "action": "search", "query": "x"}] * 1001), 400)


# ---- the graph


def test_the_graph_answers_cypher(server, snapshot):
    query = "MATCH (s:Song {id: $id}) RETURN s.id AS id, s AS song, 1.5 AS x"
    body = {"query": query, "parameters": {"id": snapshot.ids["Song"][0]}}
    answer = server.post("/v1/graph/query", body).json()
    assert answer.keys() == {"columns", "rows", "truncated"}
    assert answer["columns"] == ["id", "song", "x"]
    many = server.post("/v1/graph/query", {"query": "MATCH (s:Song) RETURN s AS song", "limit": 3}).json()
    assert many["truncated"]
    assert len(many["rows"]) == 3
    assert many["rows"][0][0].keys() == {"label", "id", "properties"}


def test_the_graph_cannot_be_written_from_outside(server):
    is_problem(server.post("/v1/graph/query", {"query": "CREATE (n:Song {id: 'evil'}) RETURN n AS n"}), 403)
    count = server.post("/v1/graph/query", {"query": "MATCH (n:Song {id: 'evil'}) RETURN count(n) AS n"}).json()
    assert count["rows"] == [[0]]


# ---- health and metrics


def test_the_service_lives_and_is_ready(server, served_house):
    assert server.get("/healthz").json() == {"status": "ok"}
    ready = server.get("/readyz").json()
    assert ready["status"] == "ready"
    assert ready["release"] == served_house.releases.current()
    assert (ready["live"], ready["reason"]) == ("attached", None)
    assert ready["graph"] in ("starting", "ready")


def test_ready_tells_how_far_the_log_is_ahead(house, wait_until):
    with house.serve() as server:
        before = server.get("/readyz").json()["lag"]
        server.post("/v1/events", [{"user_id": "u", "action": "search", "query": "x"}] * 3)
        wait_until(lambda: server.get("/readyz").json()["lag"] == before + 3, 10)


def test_the_age_of_the_release_is_told_without_a_question_for_it(house):
    with house.serve(ready=False) as server:
        as_of = float(house.release.snapshot.as_of)
        text = server.get("/metrics").text
        line = next(row for row in text.splitlines() if row.startswith("segue_release_as_of_ms"))
        assert float(line.split()[-1]) == as_of


def test_metrics_count_requests_by_route_and_not_by_listener(server, slate):
    slate(user_id="somebody counted")
    text = server.get("/metrics").text
    assert 'segue_requests_total{method="POST",route="/v1/recommend",status="200"}' in text
    assert 'segue_stage_seconds_count{stage="rank"}' in text
    assert "somebody counted" not in text


# ---- what a client does wrong


def test_an_unknown_path_is_404_and_a_wrong_method_405(server):
    is_problem(server.get("/v1/nothing"), 404)
    answer = server.get("/v1/recommend")
    is_problem(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_a_body_over_the_limit_is_413(server):
    is_problem(server.client.post("/v1/events", content=b"[" + b" " * (8 * 1024 * 1024) + b"]"), 413)


def test_a_body_over_the_limit_without_a_declared_length_is_413(server):
    is_problem(server.client.post("/v1/events", content=(b" " * 65536 for _ in range(200))), 413)


def test_a_body_of_the_wrong_shape_is_422_and_the_field_is_named(server):
    problem = is_problem(server.post("/v1/recommend", {"user_id": "u", "n": "ten"}), 422)
    assert problem["errors"][0]["field"] == "body.n"


# ---- keys


def test_with_keys_nobody_else_is_answered(house):
    house.settle(sections='[api]\nkeys = ["open sesame, please", "the second of them"]')
    with house.serve() as server:
        assert server.get("/healthz").status_code == 200
        is_problem(server.get("/v1/releases"), 401)
        for wrong in ("Bearer wrong", "Bearer", ""):
            is_problem(server.get("/v1/releases", headers={"Authorization": wrong}), 401)
        for headers in ({"Authorization": "Bearer open sesame, please"}, {"X-API-Key": "the second of them"}):
            assert server.get("/v1/releases", headers=headers).status_code == 200
    warned = (house.folder / "serve.log").read_text(encoding="utf-8")
    assert "api.keys: key 2 is plain text and may do everything" in " ".join(warned.split())
    assert "sesame" not in warned


# ---- releases and jobs


def test_a_release_can_be_activated_and_the_service_takes_it_up(own_house, wait_until):
    house = own_house()
    first = house.releases.current()
    house.settle(more="seed = 5", sections="[refresh]\nmargin = 0.99")
    with house.serve() as server:
        report = house.segue("refresh", "--json")
        assert report.json["published"], report
        second = house.releases.current()
        assert second != first
        wait_until(lambda: server.get("/readyz").json()["release"] == second, 10)
        listed = server.get("/v1/releases").json()
        assert listed.keys() == {"current", "releases"}
        assert listed["current"] == second
        assert [row["id"] for row in listed["releases"]] == [first, second]
        assert all(r.keys() == {"id", "as_of", "parent", "metrics", "size_bytes"} for r in listed["releases"])
        assert server.post(f"/v1/releases/{first}/activate").json() == {"current": first}
        assert server.post("/v1/recommend", {"user_id": "u"}).json()["release"] == first
        assert house.releases.current() == first
        missing = "20200101T000000Z-000000000000"
        told = is_problem(server.post(f"/v1/releases/{missing}/activate"), 404)["detail"]
        assert told == f"no release '{missing}'"


def test_a_release_of_another_log_is_served_detached(house):
    (house.folder / "events.db").unlink()
    with house.serve() as server:
        ready = server.get("/readyz").json()
        assert ready["live"] == "detached"
        assert "another event log" in ready["reason"]
        assert len(server.post("/v1/recommend", {"user_id": "u"}).json()["items"]) == 10


def test_without_a_release_the_service_says_so_until_there_is_one(house):
    hidden = house.folder / "aside"
    (house.folder / "releases").rename(hidden)
    with house.serve(ready=False) as server:
        problem = server.get("/readyz")
        assert problem.status_code == 503
        assert "segue refresh" in problem.json()["reason"]
        assert problem.json()["graph"] in ("starting", "ready")
        assert str(house.folder) not in problem.text
        is_problem(server.post("/v1/recommend", {"user_id": "u"}), 503)
        (house.folder / "releases").rmdir() if (house.folder / "releases").exists() else None
        hidden.rename(house.folder / "releases")
        deadline = time.monotonic() + 10
        while server.get("/readyz").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(server.post("/v1/recommend", {"user_id": "u"}).json()["items"]) == 10


def finished(server, job: dict[str, Any], limit_s: float = 90) -> dict[str, Any]:
    end = time.monotonic() + limit_s
    while job["status"] in {"queued", "running"}:
        assert time.monotonic() < end, job
        time.sleep(0.05)
        job = server.get(f"/v1/jobs/{job['id']}").json()
    return job


def test_a_refresh_job_runs_to_its_end_and_another_is_refused_meanwhile(house):
    with house.serve() as server:
        started = server.post("/v1/jobs/refresh")
        assert started.status_code == 202
        job = started.json()
        assert job.keys() == {"id", "status", "steps", "release", "error"}
        assert job["id"] in is_problem(server.post("/v1/jobs/refresh"), 409)["detail"]
        done = finished(server, job)
        assert done["status"] == "done", done
        assert done["release"] == house.releases.current()
        assert [step["name"] for step in done["steps"]][:5] == ["snapshot", "embed", "recall", "rank", "evaluate"]
        assert [j["id"] for j in server.get("/v1/jobs").json()["jobs"]] == [job["id"]]


def test_a_job_can_be_cancelled_and_the_next_one_runs(house):
    with house.serve() as server:
        job = server.post("/v1/jobs/refresh", {"full": True}).json()
        assert server.client.delete(f"/v1/jobs/{job['id']}").json()["status"] == "cancelled"
        time.sleep(0.2)
        assert server.get(f"/v1/jobs/{job['id']}").json()["status"] == "cancelled"
        second = server.post("/v1/jobs/refresh")
        # the one that was cancelled may be letting go of the lock still
        assert second.status_code == 202, second.text
        assert finished(server, second.json())["status"] in {"done", "failed"}
        is_problem(server.get("/v1/jobs/none"), 404)
        is_problem(server.client.delete("/v1/jobs/none"), 404)


def test_a_job_that_fails_says_why(house):
    with house.releases.lock(), house.serve() as server:
        failed = finished(server, server.post("/v1/jobs/refresh").json())
        assert failed["status"] == "failed"
        assert "another process works on" in failed["error"]


def test_a_job_whose_server_died_is_failed_and_blocks_nobody(house):
    with house.serve() as server:
        job = server.post("/v1/jobs/refresh", {"full": True}).json()
        server.kill()
    with house.serve() as server:
        assert finished(server, server.get(f"/v1/jobs/{job['id']}").json())["status"] in {"failed", "done"}


# ---- several workers


def test_several_workers_answer_as_one(house):
    with house.serve("--workers", "2") as server:
        posted = server.post("/v1/events", [{"event_id": "w", "user_id": "u", "action": "search", "query": "x"}])
        assert posted.json()["accepted"] == 1
        answers = {len(server.post("/v1/recommend", {"user_id": f"u{i}"}).json()["items"]) for i in range(20)}
        assert answers == {10}
        assert "segue_requests_total" in server.get("/metrics").text
