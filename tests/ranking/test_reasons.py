from typing import Any

import numpy as np
import pytest
from segue_test_worlds import NOW, World

from graph.reasons.phrases import NEVER_CITED
from ranking.cascade import Cascade
from ranking.reasons import Reasons
from ranking.scene import ChannelUse, SceneConfig
from recall.base import Candidates, Query
from recall.causes import ALIKE, ATTRIBUTE, BESIDE, CIRCLE, FOLLOWEE, NEARBY, SIMILAR, Cause

S1, S2, S3, S4, S5 = range(5)


class Says:
    """A channel that proposes one song, and says why."""

    audience = "tests"

    def __init__(self, song: int, cause: Cause | None) -> None:
        self._song, self._cause = song, cause

    def recall(self, query: Query, k: int) -> Candidates:
        return Candidates(np.array([self._song], dtype=np.int32), np.ones(1))

    def because(self, query: Query, songs: Any) -> list[Cause | None]:
        return [self._cause] * len(songs)


def reasons(
    world: World, user: str | None, song: int, cause: Cause | None, session: tuple[str, ...] = ()
) -> list[tuple[str, str]]:
    """Kind and text of the reasons for the one song of a slate."""
    scene = SceneConfig(heard="always", channels={"popularity": ChannelUse()}, budget_ms=60_000)
    cascade = Cascade(world.release, scene)
    cascade.channels = {"popularity": Says(song, cause)}
    query = cascade.query(user, NOW, session=session)
    slate = cascade.slate(query)
    (found,) = Reasons(world.release, NEVER_CITED).of_slate(cascade, query, slate, 3)
    assert [step["id"] for reason in found for step in reason.path[-1:]] == [world.ids([song])[0]] * len(found)
    return [(reason.kind, reason.text) for reason in found]


@pytest.mark.parametrize(
    ("cause", "kind", "text"),
    [
        (Cause(FOLLOWEE, "User", 2), "path", "you follow cy, who played it once"),
        (Cause(SIMILAR, "Song", S1), "neighbour", "similar to One, which you collected"),
        (Cause(BESIDE, "Song", S1), "neighbour", "similar to One, which you collected"),  # nobody has both
        (Cause(CIRCLE, "User", 1, people=2), "neighbour", "loved by 2 listeners around Ben, whom you follow"),
        (Cause(ALIKE, people=1), "neighbour", "loved by a listener with your taste"),
        (Cause(NEARBY), "neighbour", "loved near you more than elsewhere"),
    ],
)
def test_what_the_channel_went_by_leads(lopsided: World, cause: Cause, kind: str, text: str) -> None:
    found = reasons(lopsided, "ana", S4, cause)
    assert found[0] == (kind, text)
    assert len(found) == 3
    assert found[1][1] == "you follow Ben, who liked it"  # the strongest of the others


def test_without_a_cause_the_strongest_path_leads(lopsided: World) -> None:
    assert reasons(lopsided, "ana", S4, None)[0] == ("path", "you follow Ben, who liked it")


def test_an_attribute_leads_over_its_path(lopsided: World) -> None:
    rock = lopsided.snapshot.ids["Genre"].index("folk")
    assert reasons(lopsided, "ana", S5, Cause(ATTRIBUTE, "Genre", rock))[0][1] == "folk, like One which you collected"


def test_a_widened_attribute_names_the_one_it_is_near(lopsided: World) -> None:
    found = reasons(lopsided, "ana", S3, Cause(ATTRIBUTE, "Artist", 1, by=0))
    assert found[0] == ("neighbour", "by Brio, near Alba (One which you collected)")


@pytest.mark.parametrize(
    "cause",
    [
        Cause(BESIDE, "Song", S2),
        Cause(SIMILAR, "Song", S2),  # she skips it
        Cause(ATTRIBUTE, "Artist", 0),  # the song is not by Alba
        Cause(ATTRIBUTE, "Artist", 0, by=1),  # nothing that she likes is by Brio
    ],
)
def test_a_cause_that_is_not_true_of_what_the_listener_likes_is_left_out(lopsided: World, cause: Cause) -> None:
    assert reasons(lopsided, "ana", S4, cause) == reasons(lopsided, "ana", S4, None)


def test_a_session_is_told_of_its_songs(lopsided: World) -> None:
    found = reasons(lopsided, None, S4, Cause(SIMILAR, "Song", S1), session=("s1",))
    assert found[0] == ("neighbour", "similar to One from this session")


def test_what_nothing_else_speaks_for_is_popular(lopsided: World) -> None:
    assert reasons(lopsided, "nobody", S4, None) == [("popular", "played 2 times by 2 listeners")]
