"""What a worker does with a release before it answers from it."""

from typing import Any

import pytest
from segue_test_house import House

from api import settings
from api.recommender import Ask, Recommender


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
        assert not recommender.recommend(Ask(listener, scene=scene))["trace"][0]["dropped"]
