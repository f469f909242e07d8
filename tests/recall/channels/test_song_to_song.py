import pytest
from segue_test_worlds import World

from recall.channels.song_to_song import SongToSong, SongToSongConfig

COS30, COS60 = 3**0.5 / 2, 0.5


def test_neighbours_of_the_latest_songs_with_the_older_fading(lopsided: World) -> None:
    # Ben: s4 (60 degrees) last, s3 (30) before; s1 stands at 0, s2 at 90, s5 at 180
    answer = lopsided.answer(SongToSong(lopsided.release), "ben", heard=True)
    expected = {"s2": COS30 + 0.95 * COS60, "s1": COS60 + 0.95 * COS30}
    assert answer == pytest.approx(expected, abs=1e-5)
    assert list(answer) == ["s2", "s1"]


def test_with_one_seed_only_the_last_song_is_asked(lopsided: World) -> None:
    answer = lopsided.answer(SongToSong(lopsided.release, SongToSongConfig(seeds=1)), "ben", heard=True)
    assert answer == pytest.approx({"s2": COS30, "s1": COS60}, abs=1e-5)
