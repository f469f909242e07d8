"""What takes longer than a few milliseconds is computed beside the event loop."""

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from api.recommender import SlateRequest
from api.routes.recommend import recommend
from api.schemas import RecommendBody
from api.turns import Turns


class Recommender:
    """Says in which thread it was asked."""

    thread: int | None = None

    def check_scene(self, scene: str) -> None:
        pass

    def recommend(self, ask: SlateRequest, pause: Callable[[], object] = lambda: None) -> dict[str, Any]:
        pause()
        self.thread = threading.get_ident()
        return {"trace": []}


@pytest.mark.parametrize(
    ("asked", "beside"),
    [
        ({}, False),
        ({"n": 50}, False),
        ({"n": 51}, True),
        ({"explain": True}, True),
        ({"n": 500, "explain": True}, True),
    ],
)
def test_a_large_slate_or_one_with_reasons_does_not_hold_up_the_event_loop(asked: dict[str, Any], beside: bool) -> None:
    recommender = Recommender()
    request: Any = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace()))
    request.app.state.service = SimpleNamespace(recommender=recommender, turns=Turns())
    answer = asyncio.run(recommend(request, RecommendBody(user_id="ana", **asked)))
    assert answer.status_code == 200
    assert (recommender.thread != threading.get_ident()) == beside
