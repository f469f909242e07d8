"""The next slate answers to what a listener has just done: each kind of thing, for somebody with a long history and for
somebody with two plays, over a release and the live log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from segue_test_house import House

from api import settings
from api.recommender import Recommender, SlateRequest
from graph.importers.base import open_importer
from graph.log.events import Event, EventLog
from graph.snapshot.histories import strengths
from graph.snapshot.snapshot import Snapshot
from ranking.claims.check import Claim, false_claims
from ranking.claims.facts import Facts
from recall.live.edits import NOT_ADMITTED

MINUTE = 60_000
WHO = ("heavy", "light")
NEW_TEXTS = ("you searched", "like ", "loved by ", "by ", "loved around", "you unblocked")


@dataclass
class Stage:
    """A release with the log behind it; every test takes listeners of its own."""

    house: House
    log: EventLog
    recommender: Recommender
    used: int = 0
    clock: int = 0

    @property
    def snapshot(self) -> Snapshot:
        return self.recommender.served.release.snapshot

    def listener(self, who: str) -> str:
        """Somebody whom no other test knows: with one of the longest histories, or new with two plays."""
        self.used += 1
        if who == "heavy":
            order = np.argsort(-np.diff(self.snapshot.histories.indptr), kind="stable")
            return self.snapshot.ids["User"][int(order[self.used % 30])]
        for i in range(2):
            self.do(f"light-{self.used}", "full_play", song_id=self.snapshot.ids["Song"][self.used + i])
        self.clock += 5 * 3600 * 1000  # those are no news any more
        return f"light-{self.used}"

    def do(self, user: str, action: str, **fields: Any) -> None:
        self.clock += MINUTE
        at = self.snapshot.as_of + self.clock
        event = {"event_id": f"e{self.clock}", "user_id": user, "action": action, "at": at, **fields}
        assert self.log.append([event]).accepted == 1
        self.recommender.served.live.check()

    def edit(self, kind: str, label: str, id_: str, payload: Mapping[str, Any]) -> None:
        self.log.append_journal(kind, label, id_, payload)
        self.recommender.served.live.check()

    def follow(self, user: str, target: str, label: str = "User") -> None:
        self.clock += MINUTE
        self.edit("follow", label, user, {"target": target, "since": self.snapshot.as_of + self.clock})

    def slate(self, user: str) -> dict[str, list[str]]:
        """The texts of the reasons of each of the next ten songs."""
        at = self.snapshot.as_of + self.clock + 1
        answer = self.recommender.recommend(SlateRequest(user, n=10, at=at, explain=True))
        return {item["song_id"]: [r["text"] for r in item["reasons"]] for item in answer["items"]}

    def near(self, song: str, most: int = 10) -> list[str]:
        """The songs nearest to one."""
        near = self.recommender.served.release.arrays("similar/song2vec")[0]["songs"]
        return [self.snapshot.ids["Song"][s] for s in near[self.snapshot.ids["Song"].index(song)].tolist()[:most]]

    def answers(self, user: str, song: str) -> set[str]:
        """The ten songs that the channel would answer with, had somebody just played one."""
        cascade, live = self.recommender.served.cascades["radio"], self.recommender.served.live
        at = self.snapshot.as_of + self.clock + MINUTE
        play = Event(event_id="p", user_id=user, action="full_play", song_id=song, at=at)
        query = cascade.query(user, at, latest=[*live.latest(user), play], overlay=live.overlay)
        return {self.snapshot.ids["Song"][s] for s in cascade.channels["latest"].recall(query, 10).songs.tolist()}

    def proposed(self, user: str) -> list[int]:
        """What the channel proposes for all that somebody has done."""
        cascade, live = self.recommender.served.cascades["radio"], self.recommender.served.live
        at = self.snapshot.as_of + self.clock + 1
        query = cascade.query(user, at, latest=live.latest(user), overlay=live.overlay)
        return [int(song) for song in cascade.channels["latest"].recall(query, 50).songs]

    def songs_of(self, relation: str, position: int) -> list[str]:
        return [self.snapshot.ids["Song"][s] for s in self.snapshot.relation(relation).into(position).tolist()]

    def admitted(self) -> list[str]:
        """Songs that are recommended to somebody."""
        tiers = self.snapshot.column("Song", "tier").tolist()
        return [s for s, tier in zip(self.snapshot.ids["Song"].to_list(), tiers, strict=True) if tier != NOT_ADMITTED]

    def heard(self, user: str) -> set[str]:
        query = self.recommender.served.cascades["radio"].query(user, 0, latest=self.log.of_user(user))
        return {self.snapshot.ids["Song"][s] for s in query.listener.heard.tolist()}

    def loved(self, person: int) -> set[str]:
        """The songs that the release's events of somebody speak for."""
        h, mine = self.snapshot.histories, self.snapshot.histories.of(person)
        weight = np.bincount(h.song[mine], strengths(h.action[mine], h.count[mine]), self.snapshot.songs)
        return {self.snapshot.ids["Song"][s] for s in np.flatnonzero(weight > 0).tolist()}


@pytest.fixture(scope="module")
def stage(refreshed: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    house = refreshed.copy(tmp_path_factory.mktemp("reacts"))
    more = {"scenes": {"radio": {"budget_ms": 60_000}}}
    with house.log() as log:
        yield Stage(house, log, Recommender(settings.load(house.config, more), log))
    house.close()


def new_claims(stage: Stage, user: str) -> Iterator[Claim]:
    """What the slate just after somebody's last event tells without a path."""
    done = stage.log.of_user(user)
    last = max(event.at or 0 for event in done)
    place = stage.recommender.served.live.overlay.edits.homes.get(user)
    for event in done:
        if event.latitude is not None and event.longitude is not None:
            place = event.latitude, event.longitude
    for item in stage.recommender.recommend(SlateRequest(user, n=10, at=last + 1, explain=True))["items"]:
        for reason in item["reasons"]:
            if reason["text"].startswith(NEW_TEXTS) and len(reason["path"]) == 1:
                yield Claim(reason, item["song_id"], user, place=place)


def told(slate: Mapping[str, list[str]], text: str) -> set[str]:
    """The songs of a slate of which a reason says this first."""
    return {song for song, texts in slate.items() if texts[:1] == [text]}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("action", ["play", "full_play", "like", "collect", "share", "download", "playlist_add"])
def test_a_song_near_to_what_was_just_liked_comes_in(stage: Stage, who: str, action: str) -> None:
    user = stage.listener(who)
    before, heard = stage.slate(user), stage.heard(user)
    songs = [s for s in stage.snapshot.ids["Song"].to_list() if s not in heard and s not in before]
    far = next(s for s in songs if not stage.answers(user, s) & {*before})
    answers = stage.answers(user, far)
    stage.do(user, action, song_id=far)
    assert answers & {*stage.slate(user)}
    assert answers <= {*stage.near(far, 50)}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("action", ["skip", "dislike", "block"])
def test_songs_near_to_what_was_just_turned_down_go(stage: Stage, who: str, action: str) -> None:
    user = stage.listener(who)
    before = {*stage.slate(user)}
    bad = max(before, key=lambda song: len(before & {*stage.near(song, 50)}))
    crowd = before & {*stage.near(bad, 50)}
    assert len(crowd) >= 2
    stage.do(user, action, song_id=bad)
    after = {*stage.slate(user)}
    assert bad not in after
    assert len(after & {*stage.near(bad, 50)}) < len(crowd)
    assert not stage.recommender.recall(user, ["latest"], 10)["candidates"]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(
    ("label", "relation"), [("Artist", "PERFORMED_BY"), ("Tag", "HAS_TAG"), ("Genre", "HAS_GENRE")]
)
def test_songs_of_what_was_searched_come_in(stage: Stage, who: str, label: str, relation: str) -> None:
    user = stage.listener(who)
    before, heard = {*stage.slate(user)}, stage.heard(user)
    songs = {i: {*stage.songs_of(relation, i)} for i in range(len(stage.snapshot.ids[label]))}
    able = [i for i, mine in songs.items() if mine - heard]
    wanted = min(able, key=lambda i: len(songs[i] & before))
    name = stage.snapshot.name(label, wanted)
    stage.do(user, "search", query=name.upper())
    assert told(stage.slate(user), f"you searched for {name.upper()}") & songs[wanted]


@pytest.mark.parametrize("who", WHO)
def test_a_song_whose_title_was_searched_comes_in(stage: Stage, who: str) -> None:
    user = stage.listener(who)
    out = {*stage.slate(user)} | stage.heard(user)
    song = next(s for s in stage.admitted() if s not in out)
    title = stage.snapshot.name("Song", stage.snapshot.ids["Song"].index(song))
    stage.do(user, "search", query=title)
    assert song in told(stage.slate(user), f"you searched for {title}")


@pytest.mark.parametrize("who", WHO)
def test_a_search_that_means_nothing_moves_nothing(stage: Stage, who: str) -> None:
    user = stage.listener(who)
    before = stage.proposed(user)
    stage.do(user, "search", query="zzzz qqqq")
    assert stage.proposed(user) == before
    assert not told(stage.slate(user), "you searched for zzzz qqqq")


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("logged", [True, False])
def test_what_a_person_just_followed_loves_comes_in(stage: Stage, who: str, logged: bool) -> None:
    user = stage.listener(who)
    person = int(np.argsort(-np.diff(stage.snapshot.histories.indptr), kind="stable")[40])
    id_, name = stage.snapshot.ids["User"][person], stage.snapshot.name("User", person)
    text = f"loved by {name}, whom you just followed"
    assert not told(stage.slate(user), text)
    if logged:
        stage.do(user, "follow", target_label="User", target_id=id_)
    else:
        stage.follow(user, id_)
    assert told(stage.slate(user), text) & stage.loved(person)
    if logged:
        stage.do(user, "unfollow", target_label="User", target_id=id_)
        assert not told(stage.slate(user), text)


@pytest.mark.parametrize("who", WHO)
def test_what_a_person_who_came_after_the_release_loves_comes_in(stage: Stage, who: str) -> None:
    user = stage.listener(who)
    out = {*stage.slate(user)} | stage.heard(user)
    song = next(s for s in stage.admitted() if s not in out)
    stage.edit("upsert", "User", f"late-{who}", {"properties": {"name": f"Late {who}"}})
    stage.do(f"late-{who}", "like", song_id=song)
    stage.follow(user, f"late-{who}")
    assert told(stage.slate(user), f"loved by Late {who}, whom you just followed") == {song}


@pytest.mark.parametrize("who", WHO)
def test_songs_of_an_artist_just_followed_come_in(stage: Stage, who: str) -> None:
    user = stage.listener(who)
    before, heard = {*stage.slate(user)}, stage.heard(user)
    songs = {i: {*stage.songs_of("PERFORMED_BY", i)} for i in range(len(stage.snapshot.ids["Artist"]))}
    wanted = min((i for i, mine in songs.items() if mine - heard), key=lambda i: len(songs[i] & before))
    stage.follow(user, stage.snapshot.ids["Artist"][wanted], "Artist")
    name = stage.snapshot.name("Artist", wanted)
    assert told(stage.slate(user), f"by {name}, whom you just followed") & songs[wanted]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("how", ["follow", "search"])
def test_the_song_of_an_artist_who_came_after_the_release_comes_in(stage: Stage, who: str, how: str) -> None:
    user, key = stage.listener(who), f"{who}-{how}"
    stage.edit("upsert", "Artist", f"artist-{key}", {"properties": {"name": f"Quokka {key}"}})
    stage.edit("upsert", "Song", f"song-{key}", {"properties": {"title": "Unheard"}})
    stage.edit("relations", "Song", f"song-{key}", {"artists": [f"artist-{key}"]})
    assert f"song-{key}" not in stage.slate(user)
    if how == "follow":
        stage.follow(user, f"artist-{key}", "Artist")
        text = f"by Quokka {key}, whom you just followed"
    else:
        stage.do(user, "search", query=f"quokka {key}")
        text = f"you searched for quokka {key}"
    assert told(stage.slate(user), text) == {f"song-{key}"}


@pytest.mark.parametrize("who", WHO)
def test_what_was_unblocked_may_come_back(stage: Stage, who: str) -> None:
    user = stage.listener(who)
    song = [*stage.slate(user)][-1]
    stage.do(user, "block", song_id=song)
    assert song not in stage.slate(user)
    stage.do(user, "unblock", song_id=song)
    assert song in told(stage.slate(user), "you unblocked it")


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("how", ["home", "event"])
def test_what_is_loved_at_a_new_home_comes_in(stage: Stage, who: str, how: str) -> None:
    user, snapshot = stage.listener(who), stage.snapshot
    lives = snapshot.relation("LIVES_IN")
    mine = snapshot.ids["User"].index(user)
    home = lives.of(mine).tolist() if mine >= 0 else []
    sizes = np.diff(lives.reverse_indptr)
    place = max((p for p in range(len(sizes)) if p not in home), key=lambda p: sizes[p])
    where = {name: float(snapshot.column("Place", name)[place]) for name in ("latitude", "longitude")}
    text = "loved around the place where you are now"
    assert not told(stage.slate(user), text)
    if how == "home":
        stage.edit("upsert", "User", user, {"properties": where})
    else:
        stage.do(user, "search", query="zzzz qqqq", **where)
    residents = lives.into(place).tolist()
    assert told(stage.slate(user), text) & set().union(*(stage.loved(p) for p in residents))


def test_each_thing_done_at_once_has_a_place_and_three_at_most(stage: Stage) -> None:
    user = stage.listener("heavy")
    before = stage.slate(user)
    person = stage.snapshot.ids["User"][int(np.argsort(-np.diff(stage.snapshot.histories.indptr))[41])]
    stage.follow(user, person)
    stage.do(user, "search", query=stage.snapshot.name("Artist", 3))
    far = next(s for s in stage.snapshot.ids["Song"].to_list() if s not in stage.heard(user) and s not in before)
    stage.do(user, "full_play", song_id=far)
    cascade = stage.recommender.served.cascades["radio"]
    at, live = stage.snapshot.as_of + stage.clock + 1, stage.recommender.served.live
    query = cascade.query(user, at, latest=live.latest(user), overlay=live.overlay)
    with_, (_, _, rows, _) = cascade.slate(query, 10), cascade.ordered(query, 10)
    answers, _ = cascade.answers(query, with_.pool)
    assert {0, 1, 2} <= {*answers[with_.rows].tolist()}
    assert len({*with_.rows.tolist()} - {*rows.tolist()}) <= 3


def test_every_new_claim_is_true(stage: Stage, pristine: House) -> None:
    """Of all that the tests above did, as the log and the journal have it."""
    batch = open_importer("tables", pristine.folder / "world").read(lambda *_: None)
    facts = Facts(batch.nodes, batch.relationships, stage.log.frame())
    edits = stage.recommender.served.live.overlay.edits
    for (user, label), made in edits.followed.items():
        for target, since in made.items():
            facts.follow(user, target, since, "FOLLOWS" if label == "User" else "FOLLOWS_ARTIST")
    for event in stage.log.frame().filter(action="follow").to_dicts():
        facts.follow(event["user_id"], event["target_id"], event["at"])
    facts.names |= dict(edits.names)
    for song in edits.songs.values():
        facts.names["Song", song.id] = str(song.properties.get("title"))
        for artist in song.relations.get("artists", ()):
            facts._entities["PERFORMED_BY", song.id].append(artist)
    users = sorted({*stage.log.frame(after=stage.recommender.served.release.offset)["user_id"]})
    seen = [c for user in users if not user.startswith("late") for c in new_claims(stage, user)]
    assert [(c.user, c.song, wrong) for c in seen for wrong in false_claims(facts, c)] == []
    assert len(seen) >= 20
