import pytest
from segue_test_worlds import World

from recall.causes import ALIKE, CIRCLE, FOLLOWEE, NEARBY, Because, Cause
from recall.discovery import channel_type


def test_a_cause_names_the_followee_it_comes_through(lopsided: World) -> None:
    assert Cause(FOLLOWEE, "User", 1).text(lopsided.snapshot) == "Ben, whom you follow, has loved it lately"
    assert Cause(CIRCLE, "User", 1).text(lopsided.snapshot) == "loved among the people around Ben, whom you follow"
    assert Cause(ALIKE).text(lopsided.snapshot) == "loved by listeners with your taste"
    assert Cause(NEARBY).text(lopsided.snapshot) == "loved near you more than elsewhere"


@pytest.mark.parametrize("name", ["social", "lbs"])
def test_channels_of_people_and_places_say_what_caused_a_song(name: str, planted: World) -> None:
    channel = channel_type(name).build(planted.release)
    assert isinstance(channel, Because)
    query = planted.query("you", heard=True)
    found = channel.recall(query, 5).songs
    causes = channel.because(query, found)
    assert len(causes) == len(found) > 0
    assert all(isinstance(cause, Cause) for cause in causes)


def test_a_channel_without_causes_is_told_apart(planted: World) -> None:
    assert not isinstance(channel_type("popularity").build(planted.release), Because)
