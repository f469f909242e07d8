"""What a worker does with a release before it answers from it."""

from typing import Any

import numpy as np
import pytest
from segue_test_house import House

from api import settings
from api.recommender import Recommender, SlateRequest
from graph.log.events import JournalEntry
from recall.live.counters import Counters
from recall.live.edits import Edits, NewSongs
from recall.live.live import Overlay

UNHURRIED = {"scenes": {name: {"budget_ms": 60_000} for name in ("radio", "daily")}}


def test_what_channels_count_is_counted_before_the_first_request(
    refreshed: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender = Recommender(settings.load(refreshed.config), None)
    recommender.warm()
    counters = recommender.served.live.overlay.counters
    for kind in ("events", "exposures"):
        known = getattr(counters, kind)

        def asked(key: Any, make: Any, known: Any = known) -> Any:
            return known(key, lambda: pytest.fail(f"{key} is counted while somebody waits"))

        monkeypatch.setattr(counters, kind, asked)
    listener = refreshed.release.snapshot.ids["User"][0]
    for scene in recommender.served.cascades:
        assert not recommender.recommend(SlateRequest(listener, scene=scene))["trace"][0]["dropped"]


def test_the_same_question_has_the_same_answer_while_nothing_happens(refreshed: House) -> None:
    # over REST each answer is logged as shown, which trending counts from the next fold on
    unhurried = {"scenes": {"radio": {"budget_ms": 60_000}}}
    recommender = Recommender(settings.load(refreshed.config, unhurried), None)
    for user in refreshed.release.snapshot.ids["User"].to_list()[:10]:
        first, second = (recommender.recommend(SlateRequest(user)) for _ in range(2))
        assert [item["song_id"] for item in first["items"]] == [item["song_id"] for item in second["items"]]
        assert len(first["items"]) == 10


def test_the_title_of_a_song_since_the_release_is_that_of_now(refreshed: House) -> None:
    served = Recommender(settings.load(refreshed.config), None).served
    snapshot = served.release.snapshot
    for title in ("First", "Second"):
        edits = Edits(snapshot, 0).after([JournalEntry(1, "upsert", "Song", "new", {"properties": {"title": title}})])
        live = Overlay(Counters(snapshot), edits, NewSongs(edits, None))
        assert served.told(snapshot.songs, live) == {"song_id": "new", "title": title, "artists": []}
        assert served.told(0, live)["title"] == snapshot.name("Song", 0)


def test_a_command_makes_the_scene_that_it_asks_and_a_service_all(refreshed: House) -> None:
    settings_ = settings.load(refreshed.config)
    once, service = (Recommender(settings_, None, budgeted=budgeted) for budgeted in (False, True))
    once.recommend(SlateRequest(refreshed.release.snapshot.ids["User"][0], scene="daily"))
    assert list(once.served.cascades._made) == ["daily"]
    assert list(service.served.cascades._made) == list(once.served.cascades) == list(settings_.scene_configs())


# ---- a place in the request's context


def places(house: House) -> list[tuple[float, float]]:
    """The two places of the catalogue that lie farthest apart."""
    columns = [house.release.snapshot.column("Place", name) for name in ("latitude", "longitude")]
    points = np.stack(columns, axis=1)
    apart = np.linalg.norm(points[:, None] - points[None, :], axis=2)
    return [tuple(points[i].tolist()) for i in np.unravel_index(apart.argmax(), apart.shape)]


def near(answer: dict[str, Any]) -> set[str]:
    """Songs of a slate that the channel of places proposed."""
    return {item["song_id"] for item in answer["items"] if "lbs" in {found["channel"] for found in item["channels"]}}


@pytest.mark.parametrize("scene", ["radio", "daily"])
def test_a_place_in_the_context_brings_songs_that_are_loved_there(refreshed: House, scene: str) -> None:
    recommender, moved = Recommender(settings.load(refreshed.config, UNHURRIED), None), list[bool]()
    for user in refreshed.release.snapshot.ids["User"].to_list()[:10]:
        one, other = (
            near(recommender.recommend(SlateRequest(user, scene=scene, n=10, latitude=at[0], longitude=at[1])))
            for at in places(refreshed)
        )
        assert len(one) >= 2
        assert len(other) >= 2
        plain = {item["song_id"] for item in recommender.recommend(SlateRequest(user, scene=scene, n=10))["items"]}
        moved.append(one != other)
        assert one != other or one <= plain  # a slate that holds enough of both places already stays as it is
    assert sum(moved) >= 9


@pytest.mark.parametrize("scene", ["radio", "daily"])
def test_without_a_place_the_answer_is_that_of_a_scene_without_its_channel(refreshed: House, scene: str) -> None:
    without = {scene: {"budget_ms": 60_000, "channels": {"lbs": {"quota": 0}}}}
    two = (settings.load(refreshed.config, UNHURRIED), settings.load(refreshed.config, {"scenes": without}))
    ours, theirs = (Recommender(given, None) for given in two)
    assert "lbs" in ours.served.cascades[scene].channels
    assert "lbs" not in theirs.served.cascades[scene].channels
    assert ours.served.cascades[scene].ranker is not None
    for user in refreshed.release.snapshot.ids["User"].to_list()[:20]:
        assert (
            ours.recommend(SlateRequest(user, scene=scene))["items"]
            == theirs.recommend(SlateRequest(user, scene=scene))["items"]
        )
