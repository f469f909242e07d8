"""The logged policy's probabilities on five songs of two genres, one of them fresh."""

import numpy as np
import pytest

from graph.world import Behaviour
from graph.world.memory import Memory, Songs, grouped, make_memory
from graph.world.policy import make_today, probability, slate

GENRE = np.array([0, 0, 1, 1, 1])
UPLOADED = np.array([1, 1, 1, 1, 90 * 86_400_000])
B = Behaviour(show_popular=0.4, show_genre=0.3, show_fresh=0.2, show_explore=0.1)
NOW = 91 * 86_400_000


def five_songs() -> Songs:
    by_genre, zero = grouped(GENRE, UPLOADED, 2), np.zeros(5, np.int64)
    by_one = grouped(zero, UPLOADED, 1)
    vec = np.zeros((5, 24), np.float32)
    return Songs(vec, np.full(5, 0.5), zero, GENRE, zero, zero, UPLOADED, zero, *by_one, *by_genre, *by_one)


def today():
    return make_today(five_songs(), np.array([1.0, 3.0, 1.0, 2.0, 1.0]), np.array([0.0, 0.0, 0.0, 0.0, 1.0]), 14.0, NOW)


def test_probability_of_each_song_by_hand() -> None:
    # weights 1 3 1 2 2 (W = 9); genre 1 has 5; the fifth song is the only fresh one
    declared = np.array([1, -1, -1])
    found = [probability(B, today(), five_songs(), declared, s) for s in range(5)]
    expected = [
        0.1 / 5 + 0.4 * 1 / 9,
        0.1 / 5 + 0.4 * 3 / 9,
        0.1 / 5 + 0.4 * 1 / 9 + 0.3 * 1 / 5,
        0.1 / 5 + 0.4 * 2 / 9 + 0.3 * 2 / 5,
        0.1 / 5 + 0.4 * 2 / 9 + 0.3 * 2 / 5 + 0.2,
    ]
    assert found == pytest.approx(expected)
    assert sum(found) == pytest.approx(1.0)


def test_without_declared_genres_their_share_goes_to_popular() -> None:
    found = [probability(B, today(), five_songs(), np.array([-1, -1, -1]), s) for s in range(5)]
    assert found[1] == pytest.approx(0.1 / 5 + 0.7 * 3 / 9)
    assert sum(found) == pytest.approx(1.0)


class Listener:
    """Just enough of `Minds` for the uncompiled policy."""

    declared = np.array([[1, -1, -1]])


def shown(rng: np.random.Generator, memory: Memory) -> tuple[list[int], list[float]]:
    songs, channels, chances = np.full(2, -1, np.int64), np.zeros(2, np.int64), np.zeros(2)
    slate.py_func(rng, B, today(), five_songs(), Listener, memory, 0, songs, channels, chances)
    return songs.tolist(), chances.tolist()


def test_logged_propensity_is_how_often_a_song_is_shown_given_the_slots_above() -> None:
    rng, memory = np.random.default_rng(0), make_memory(5, 1)
    draws = [shown(rng, memory) for _ in range(3000)]
    first = {song: chance for (song, _), (chance, _) in draws}
    for song, chance in first.items():
        assert np.mean([s[0] == song for s, _ in draws]) == pytest.approx(chance, abs=0.03)
    after_four = [(s, c) for s, c in draws if s[0] == 4]
    second = {s[1]: c[1] for s, c in after_four}
    assert sum(second.values()) == pytest.approx(1.0)
    for song, chance in second.items():
        assert np.mean([s[1] == song for s, _ in after_four]) == pytest.approx(chance, abs=0.05)


def test_a_blocked_song_is_not_shown_and_the_others_share_its_probability() -> None:
    memory = make_memory(5, 1)
    memory.blocked[0, 0], memory.blocked_n[0] = 4, 1
    rng = np.random.default_rng(0)
    draws = [shown(rng, memory) for _ in range(300)]
    assert all(4 not in songs for songs, _ in draws)
    assert sum({songs[0]: chances[0] for songs, chances in draws}.values()) == pytest.approx(1.0)
