"""What a worker does with a release before it answers from it."""

from typing import Any

import pytest
from segue_test_house import House

from api import settings
from api.recommender import Recommender, SlateRequest


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
