from segue_test_worlds import World

from recall.channels.popularity import Popularity


def test_songs_by_listeners_and_ties_by_first_appearance(lopsided: World) -> None:
    answer = lopsided.answer(Popularity(lopsided.release), "unknown")
    assert list(answer.items()) == [("s4", 2), ("s2", 2), ("s1", 1), ("s3", 1)]


def test_a_song_without_listeners_is_not_popular(lopsided: World) -> None:
    assert "s5" not in lopsided.answer(Popularity(lopsided.release), "ana")
