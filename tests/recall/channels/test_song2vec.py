import pytest
from segue_test_worlds import World

from recall.channels.song2vec import Song2Vec, Song2VecConfig


def test_songs_by_their_cosine_with_what_is_loved(lopsided: World) -> None:
    # Ana loves s1 alone, at 0 degrees
    answer = lopsided.answer(Song2Vec(lopsided.release), "ana", heard=True, k=2)
    assert answer == pytest.approx({"s3": 3**0.5 / 2, "s4": 0.5}, abs=1e-5)
    assert lopsided.answer(Song2Vec(lopsided.release), "ana", exclude=["s1", "s2"])["s5"] == pytest.approx(-1, abs=1e-5)


def test_only_the_most_loved_songs_make_the_vector(lopsided: World) -> None:
    # Ben's s4 at 60 degrees outweighs s3 at 30
    answer = lopsided.answer(Song2Vec(lopsided.release, Song2VecConfig(loves=1)), "ben", heard=True, k=1)
    assert answer == pytest.approx({"s2": 3**0.5 / 2}, abs=1e-5)
