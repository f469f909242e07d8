"""The world with somebody else's recommender in it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graph.errors import InvalidInput
from graph.world import World, WorldConfig
from graph.world.model import END


def oracle(world: World):
    def recommend(users: list[str], at: int, n: int) -> list[list[str]]:
        songs = np.array(world.available(at))
        return [songs[np.argsort(-world.true_fit(user, songs.tolist()))[:n]].tolist() for user in users]

    return recommend


def random(world: World):
    rng = np.random.default_rng(0)

    def recommend(users: list[str], at: int, n: int) -> list[list[str]]:
        songs = np.array(world.available(at))
        return [rng.permutation(songs)[:n].tolist() for _ in users]

    return recommend


def test_a_day_goes_on_where_the_written_world_ended(world_path: Path, small: WorldConfig) -> None:
    day = World.load(world_path).step()
    written = pl.read_parquet(world_path / "events.parquet")
    assert (day.day, day.at) == (small.days, END)
    assert day.events["at"].min() >= END
    assert day.events.schema == written.schema
    assert not set(day.events["event_id"]) & set(written["event_id"])
    shown = pl.read_parquet(world_path / "exposures.parquet")
    assert day.exposures.schema == shown.schema
    assert not set(day.exposures["request_id"]) & set(shown["request_id"])


def test_two_days_are_the_same_for_the_same_recommender(world_path: Path) -> None:
    results = []
    for _ in range(2):
        world = World.load(world_path)
        results.append([world.step(oracle(world)) for _ in range(2)])
    for a, b in zip(*results, strict=True):
        assert a.events.equals(b.events)
        assert a.satisfaction == b.satisfaction
    assert not results[0][0].events.equals(results[0][1].events)


def test_what_is_shown_is_what_was_recommended(world_path: Path) -> None:
    world = World.load(world_path)
    songs = world.available(END)[:15]
    day = world.step(lambda users, _at, _n: ([songs for _ in users], [[0.5] * 15 for _ in users]), policy="fixed")
    assert set(day.exposures["policy"]) == {"fixed"}
    assert set(day.exposures["channel"]) == {"external"}
    assert set(day.exposures["propensity"]) == {0.5}
    for slate in day.exposures.group_by("request_id", maintain_order=True).agg("song_id")["song_id"]:
        assert slate.to_list() in (songs[:10], songs[10:])


def test_an_oracle_satisfies_more_than_chance_and_is_played_more(world_path: Path) -> None:
    best, worst = World.load(world_path), World.load(world_path)
    good, bad = best.step(oracle(best)), worst.step(random(worst))
    assert good.satisfaction > bad.satisfaction + 0.3
    rates = [
        len(d.events.filter(pl.col("request_id").is_not_null() & pl.col("played_ms").is_not_null())) / len(d.exposures)
        for d in (good, bad)
    ]
    assert rates[0] > 1.4 * rates[1]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda users: [[] for _ in users][1:], r"lists \(expected"),
        (lambda users: [["nobody's"] for _ in users], 'unknown song "nobody\'s"'),
        (lambda users: [["s000000", "s000000"] for _ in users], "a song twice"),
    ],
)
def test_a_wrong_answer_is_named(world_path: Path, answer, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        World.load(world_path).step(lambda users, _at, _n: answer(users))


def test_a_recommender_may_have_nothing_to_say(world_path: Path) -> None:
    day = World.load(world_path).step(lambda users, _at, _n: [[] for _ in users])
    assert len(day.exposures) == 0
    assert np.isnan(day.satisfaction)
    assert len(day.events) > 0


def test_a_folder_without_a_world_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no whole world"):
        World.load(tmp_path)
