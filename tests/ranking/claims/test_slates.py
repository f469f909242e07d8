"""Every claim of every listener's slate, and of sessions, against the tables that were imported and the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from segue_test_house import House

from api import settings
from api.recommender import Recommender, SlateRequest
from graph.importers.base import open_importer
from graph.reasons.phrases import NEVER_CITED
from ranking.claims.check import Claim, false_claims, forbidden
from ranking.claims.facts import Facts

DAY = 86_400_000


def facts_of(pristine: House, refreshed: House) -> Facts:
    batch = open_importer("tables", pristine.folder / "world").read(lambda *_: None)
    release = refreshed.release
    ids = release.snapshot.ids["Song"].to_list()
    similar = [
        (ids[song], ids[near], model)
        for model in release.names("similar")
        for song, row in enumerate(release.arrays(f"similar/{model}")[0]["songs"][:, :20].tolist())
        for near in row
        if near >= 0
    ]
    with refreshed.log() as log:
        return Facts(batch.nodes, batch.relationships, log.frame(), similar)


@pytest.fixture(scope="module")
def facts(pristine: House, refreshed: House) -> Facts:
    return facts_of(pristine, refreshed)


@pytest.fixture(scope="module")
def recommender(refreshed: House) -> Recommender:
    return Recommender(settings.load(refreshed.config), None)


Place = tuple[float, float] | None


def claims(
    recommender: Recommender, scene: str, user: str | None, session: Sequence[str] = (), place: Place = None
) -> Iterator[Claim]:
    latitude, longitude = place or (None, None)
    ask = SlateRequest(user, session, scene=scene, n=10, latitude=latitude, longitude=longitude, explain=True)
    for item in recommender.recommend(ask)["items"]:
        for reason in item["reasons"]:
            yield Claim(reason, item["song_id"], user, session, place)


@pytest.mark.parametrize("scene", ["radio", "daily", "similar", "nearby", "following", "fresh"])
def test_every_claim_of_every_listener_is_true(
    refreshed: House, recommender: Recommender, facts: Facts, scene: str
) -> None:
    users = refreshed.release.snapshot.ids["User"].to_list()
    made = [claim for user in users for claim in claims(recommender, scene, user)]
    assert len(made) > 100
    assert [(claim.user, claim.song, wrong) for claim in made for wrong in false_claims(facts, claim)] == []
    assert [tag for claim in made for tag in forbidden(claim, NEVER_CITED)] == []


@pytest.mark.parametrize("scene", ["radio", "nearby"])
def test_what_is_said_of_the_place_of_a_request_is_true_of_that_place(
    refreshed: House, recommender: Recommender, facts: Facts, scene: str
) -> None:
    snapshot = refreshed.release.snapshot
    point = tuple(float(snapshot.column("Place", name)[0]) for name in ("latitude", "longitude"))
    ids = snapshot.ids["User"].to_list()[:40]
    made = [claim for user in ids for claim in claims(recommender, scene, user, place=(point[0], point[1]))]
    assert [(claim.user, claim.song, wrong) for claim in made for wrong in false_claims(facts, claim)] == []
    here = [claim for claim in made if "near you" in claim.reason["text"]]
    assert len(here) > len(ids) // 2
    ocean = (-40.0, -20.0)
    assert all(false_claims(facts, Claim(claim.reason, claim.song, claim.user, (), ocean)) for claim in here)


def test_every_claim_of_a_session_is_true_and_most_songs_have_a_path(
    refreshed: House, recommender: Recommender, facts: Facts
) -> None:
    ids = refreshed.release.snapshot.ids["Song"].to_list()
    made = [claim for i in range(0, 180, 6) for claim in claims(recommender, "radio", None, ids[i : i + 3])]
    assert [(claim.session, claim.song, wrong) for claim in made for wrong in false_claims(facts, claim)] == []
    songs = {(tuple(claim.session), claim.song) for claim in made}
    with_path = {(tuple(claim.session), claim.song) for claim in made if len(claim.nodes) > 1}
    assert len(songs) == 300
    assert len(with_path) >= 0.9 * len(songs)


def test_what_the_channel_went_by_comes_first(refreshed: House, recommender: Recommender) -> None:
    """A song that the listener's followees brought is told by them, and no cause is called popular."""
    kinds: Counter[str] = Counter()
    for user in refreshed.release.snapshot.ids["User"].to_list():
        for item in recommender.recommend(SlateRequest(user, scene="following", explain=True))["items"]:
            first = min(item["channels"], key=lambda found: found["rank"])["channel"]
            if first == "social" and item["reasons"]:
                kinds[item["reasons"][0]["kind"]] += 1
                assert "follow" in item["reasons"][0]["text"] or "your taste" in item["reasons"][0]["text"]
    assert kinds["path"] > 0
    assert kinds["popular"] == 0


def test_what_was_followed_since_the_release_is_told_and_true(house: House, facts: Facts) -> None:
    """Who came after the release and follows an artist and a listener hears of them, not of how popular songs are."""
    snapshot = house.release.snapshot
    artists = snapshot.relation("PERFORMED_BY")
    artist = snapshot.ids["Artist"][int(np.diff(artists.reverse_indptr).argmax())]
    person = snapshot.ids["User"][int(np.diff(snapshot.histories.indptr).argmax())]
    since = snapshot.as_of + DAY
    with house.log() as log:
        log.append_journal("follow", "User", "late", {"target": person, "since": since})
        log.append_journal("follow", "Artist", "late", {"target": artist, "since": since})
        recommender = Recommender(settings.load(house.config), log)
        recommender.served.live.check()
        made = list(claims(recommender, "following", "late"))
    facts.follow("late", person, since)
    facts.follow("late", artist, since, "FOLLOWS_ARTIST")
    assert [wrong for claim in made for wrong in false_claims(facts, claim)] == []
    first = {claim.song: claim.reason for claim in reversed(made)}
    assert {reason["kind"] for reason in first.values()} == {"path"}
    assert all("follow" in reason["text"] for reason in first.values())
    assert {reason["path"][1]["properties"]["since"] for reason in first.values()} == {since}


# ---- the checker finds what is false


def a_claim(recommender: Recommender, facts: Facts, users: Sequence[str], wanted: str) -> Claim:
    """A true claim whose path holds a relationship."""
    return next(
        claim
        for user in users
        for claim in claims(recommender, "radio", user)
        if wanted in [hop["relationship"] for hop in claim.hops]
    )


def changed(claim: Claim, **fields: Any) -> Claim:
    return Claim({**claim.reason, **fields}, claim.song, claim.user, claim.session)


def test_a_wrong_count_name_person_or_edge_is_found(refreshed: House, recommender: Recommender, facts: Facts) -> None:
    users = refreshed.release.snapshot.ids["User"].to_list()
    heard = a_claim(recommender, facts, users, "LISTENED")
    assert false_claims(facts, heard) == []
    assert false_claims(facts, changed(heard, text=heard.reason["text"] + "!"))
    assert false_claims(facts, Claim(heard.reason, heard.song, "somebody"))
    assert false_claims(facts, Claim(heard.reason, "another", heard.user))
    path = [dict(step) for step in heard.reason["path"]]
    path[-1]["name"] = "no such name"
    assert false_claims(facts, changed(heard, path=path))
    path = [dict(step) for step in heard.reason["path"]]
    for step in path[1::2]:
        step["properties"] = {**step["properties"], "plays": -1}
    assert false_claims(facts, changed(heard, path=path))


@pytest.mark.parametrize(
    "text",
    [
        "played 1000000 times by 2 listeners",
        "heard beside No Such Song by 3 listeners",
        "similar to No Such Song, which you played",
        "Nobody, whom you follow, loves it",
        "loved by 1000 listeners with your taste",
        "loved by a listener around Nobody, whom you follow",
        "by Nobody, whom you follow",
        "by Nobody, whom you just followed",
        "loved by Nobody, whom you just followed",
        "you searched for nothing",
        "like No Such Song, found when you searched",
        "you unblocked it",
        "by Nobody, near Nothing (No Such Song which you played)",
        "loved in the region around you more than elsewhere, I think",
        "by Nobody, whom listeners near you love",
        "it is nice",
    ],
)
def test_what_is_only_told_is_checked_too(refreshed: House, facts: Facts, text: str) -> None:
    song = refreshed.release.snapshot.ids["Song"][0]
    node = {"label": "Song", "id": song, "name": facts.name("Song", song)}
    user = refreshed.release.snapshot.ids["User"][0]
    claim = Claim({"kind": "neighbour", "text": text, "path": [node]}, song, user)
    assert false_claims(facts, claim) == [f"not true: {text}"]


def test_a_search_is_told_of_what_its_words_mean_alone(refreshed: House, facts: Facts) -> None:
    snapshot = refreshed.release.snapshot
    song, user = snapshot.ids["Song"][0], snapshot.ids["User"][0]
    artist = snapshot.name("Artist", int(snapshot.relation("PERFORMED_BY").of(0)[0]))
    node = {"label": "Song", "id": song, "name": facts.name("Song", song)}
    facts.searches["who searches"] |= {artist, "something else"}

    def told(words: str, who: str = "who searches") -> bool:
        reason = {"kind": "neighbour", "text": f"you searched for {words}", "path": [node]}
        return not false_claims(facts, Claim(reason, song, who))

    assert told(artist)
    assert not told(artist, user)
    assert not told("something else")


def test_words_that_are_never_cited_are_found() -> None:
    tag = {"label": "Tag", "id": "t", "name": "Songs I Love"}
    claim = Claim({"path": [tag], "text": "", "kind": "path"}, "s")
    assert forbidden(claim, ["love"]) == ["Songs I Love"]
    assert forbidden(claim, ["lov"]) == []
    told = Claim({"path": [{"label": "Song"}], "text": "tagged doom, near metal (One which you played)"}, "s")
    assert forbidden(told, ["metal"]) == ["metal"]
