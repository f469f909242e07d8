import pytest
from segue_test_worlds import World

from recall.channels.attributes import Attributes, AttributesConfig


def test_weighs_affinities_and_bends_them_by_popularity(lopsided: World) -> None:
    # Ana: s1 +2.0 (4 halved once), s2 -0.6; Alba (2.0 - 0.6) / 2.6; folk (2.0 - 0.3) / 2.6
    score = 3 * 1.4 / 2.6 + 1 * 1.7 / 2.6
    channel = Attributes(lopsided.release, AttributesConfig({"PERFORMED_BY": 3.0, "HAS_GENRE": 1.0}, popularity=0.5))
    answer = lopsided.answer(channel, "ana")
    assert answer["s5"] == pytest.approx(score, abs=1e-5)  # nobody has heard it: 1 ^ 0.5
    assert answer["s1"] == pytest.approx(score * 2**0.5, abs=1e-5)  # one listener
    assert "s3" not in answer  # rock, which Ana skips


def test_a_tag_counts_by_its_share_of_the_song(lopsided: World) -> None:
    channel = Attributes(lopsided.release, AttributesConfig({"HAS_TAG": 1.0}, popularity=0.0))
    # all that Ana's tagged songs say goes to `calm`, a quarter of s5
    assert lopsided.answer(channel, "ana") == {"s1": 1.0, "s5": 0.25}


def test_an_unknown_relation_has_no_say(lopsided: World) -> None:
    channel = Attributes(lopsided.release, AttributesConfig({"RELATED:nothing": 1.0}))
    assert lopsided.answer(channel, "ana") == {}
