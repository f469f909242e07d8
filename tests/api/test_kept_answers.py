"""Whatever happens, a listener who has asked before is answered as one who asks for the first time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from segue_test_house import House

from api import settings
from api.recommender import Recommender, SlateRequest
from graph.durations import DAY_MS, HOUR_MS
from graph.log.events import EventLog
from recall.listeners.kept import KeptListeners

UNHURRIED: dict[str, Any] = {
    "scenes": {
        "radio": {"budget_ms": 60_000},
        "daily": {"budget_ms": 60_000, "heard": "after 12h"},
    }
}
SONG_ACTIONS = ("play", "full_play", "skip", "like", "collect", "block", "unblock", "dislike", "uncollect")


class Asked:
    """A recommender in this process, and what happens behind its release."""

    def __init__(self, house: House, log: EventLog, seed: int) -> None:
        self.recommender = Recommender(settings.load(house.config, UNHURRIED), log, expose=lambda _: None)
        self.log, self.rng = log, np.random.default_rng(seed)
        snapshot = house.release.snapshot
        self.users, self.songs = (snapshot.ids[label].to_list() for label in ("User", "Song"))
        self.artists = snapshot.ids["Artist"].to_list()
        self.at = snapshot.as_of + 5 * HOUR_MS // 2
        self.count = 0

    def slate(self, user: str, scene: str, n: int, exclude: Sequence[str] = ()) -> list[tuple[str, float]]:
        request = SlateRequest(user, scene=scene, at=self.at, n=n, exclude=exclude)
        answer = self.recommender.recommend(request)
        assert not answer["trace"][0]["dropped"]
        return [(item["song_id"], item["score"]) for item in answer["items"]]

    def anew(self, user: str, scene: str, n: int) -> list[tuple[str, float]]:
        """The slate of a listener of whom nothing is kept."""
        served = self.recommender.served
        kept = served.listeners
        served.__dict__["listeners"] = KeptListeners(served.release.snapshot, served.live.latest)
        try:
            return self.slate(user, scene, n)
        finally:
            served.__dict__["listeners"] = kept

    def happen(self, what: str, user: str) -> None:
        song, self.count = str(self.rng.choice(self.songs)), self.count + 1
        if what in {"mine", "theirs"}:
            action = str(self.rng.choice(SONG_ACTIONS))
            who = user if what == "mine" else str(self.rng.choice(self.users))
            self.log.append([{"user_id": who, "action": action, "song_id": song, "at": self.at}])
        elif what == "follow":
            label, others = ("User", self.users) if self.rng.random() < 0.5 else ("Artist", self.artists)
            kind, other = str(self.rng.choice(["follow", "unfollow"])), str(self.rng.choice(others))
            self.log.append_journal(kind, label, user, {"target": other, "since": self.at})
        elif what == "shown":
            self.log.append_exposures(
                [{"request_id": f"r{self.count}", "user_id": user, "song_id": song, "position": 0, "at": self.at}]
            )
        elif what == "new song":
            properties = {"title": f"New {self.count}", "uploaded_at": self.at - DAY_MS}
            self.log.append_journal("upsert", "Song", f"new{self.count}", {"properties": properties})
            artist = {"artists": [str(self.rng.choice(self.artists))]}
            self.log.append_journal("relations", "Song", f"new{self.count}", artist)
            self.songs.append(f"new{self.count}")
        elif what == "deleted":
            self.log.append_journal("delete", "Song", song, {})
        elif what == "tier":
            tier = int(self.rng.choice([0, 2]))
        elif what == "closed":
            tier = 0
        if what in {"tier", "closed"}:
            self.log.append_journal("upsert", "Song", song, {"properties": {"tier": tier}})
        self.at += {"minute": HOUR_MS // 60, "hours": 7 * HOUR_MS, "days": 9 * DAY_MS}.get(what, 1)
        self.recommender.served.live.check()


HAPPENS = ("mine", "theirs", "follow", "shown", "new song", "deleted", "tier", "minute", "hours", "days", "nothing")


@pytest.mark.parametrize("seed", range(3))
def test_what_is_kept_is_what_would_be_computed(house: House, seed: int) -> None:
    with house.log() as log:
        asked = Asked(house, log, seed)
        for turn in range(60):
            user = asked.users[turn % 4]
            what = str(asked.rng.choice(HAPPENS))
            asked.happen(what, user)
            for scene, n in (("radio", 10), ("radio", 30), ("daily", 10)):
                kept, anew = asked.slate(user, scene, n), asked.anew(user, scene, n)
                assert [song for song, _ in kept] == [song for song, _ in anew], (turn, what, scene)
                assert [score for _, score in kept] == pytest.approx([score for _, score in anew]), (turn, what, scene)


def test_a_song_comes_back_as_soon_as_it_may(house: House) -> None:
    with house.log() as log:
        asked = Asked(house, log, 0)
        user = asked.users[0]
        played = [song for song, _ in asked.slate(user, "daily", 10)]
        log.append([{"user_id": user, "action": "full_play", "song_id": song, "at": asked.at} for song in played])
        for hours in (1, 7, 3):
            asked.at += hours * HOUR_MS
            assert not {song for song, _ in asked.slate(user, "daily", 10)} & set(played)
        asked.at += 2 * HOUR_MS
        assert {song for song, _ in asked.slate(user, "daily", 10)} & set(played)


def test_what_one_request_excludes_is_not_kept_out_of_the_next(house: House) -> None:
    with house.log() as log:
        asked = Asked(house, log, 0)
        user = asked.users[0]
        usual = asked.slate(user, "radio", 10)
        without = [usual[0][0], usual[3][0]]
        assert not set(without) & {song for song, _ in asked.slate(user, "radio", 10, without)}
        assert asked.slate(user, "radio", 10) == usual


def test_only_what_something_happened_to_is_asked_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with house.log() as log:
        asked = Asked(house, log, 0)
        cascade, names = asked.recommender.served.cascades["radio"], list[str]()
        for name, channel in cascade.channels.items():

            def recall(query: Any, k: int, name: str = name, known: Any = channel.recall) -> Any:
                names.append(name)
                return known(query, k)

            monkeypatch.setattr(channel, "recall", recall)

        def recalled(what: str) -> set[str]:
            asked.happen(what, asked.users[0])
            names.clear()
            asked.slate(asked.users[0], "radio", 10)
            return set(names)

        everything = recalled("nothing")
        live = {"latest", "trending"}
        assert everything > live | {"social", "fresh", "song2vec", "item_knn"}
        assert recalled("nothing") == recalled("minute") == recalled("shown") == live
        assert recalled("hours") == live | {"attributes", "social", "fresh"}
        assert recalled("follow") == live | {"social"}
        assert recalled("theirs") == live | {"social"}
        assert recalled("closed") == everything
        assert recalled("mine") == everything
        assert recalled("new song") == everything
