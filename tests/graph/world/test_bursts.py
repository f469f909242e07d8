"""Bursts: songs that are suddenly sought, with the truth about them, and songs that are merely shown more."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graph.durations import DAY_MS
from graph.world import World, WorldConfig, generate
from graph.world.bursts import Bursts, taken_up

SPOTS = ("latitude", "longitude")  # drawn for all events of a world at once
BURSTING = WorldConfig(users=400, songs=400, days=24, seed=3, events=60_000, bursts=12)


@pytest.fixture(scope="module")
def bursting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bursting")
    generate(path, BURSTING)
    return path


def two(**fields: object) -> Bursts:
    usual = {"shown": [False, True], "song": [0, 1], "onset": [0, 0], "factor": [5.0, 9.0], "usual": [0.1, 0.1]}
    return Bursts(**{k: np.array(v) for k, v in {**usual, "half_life_days": [2.0, 4.0], **fields}.items()})


def around(path: Path, table: str, kind: str, days: float) -> tuple[float, float, float]:
    """Rows of the songs of a kind a day: in the 7 days before the onsets, in some days after; and by what factor their
    rates should be higher then."""
    rows, truth = pl.read_parquet(path / f"{table}.parquet"), pl.read_parquet(path / "truth" / "bursts.parquet")
    if table == "events":
        rows = rows.filter(pl.col("played_ms").is_not_null())
    both = rows.join(truth.filter(pl.col("kind") == kind), on="song_id").with_columns(
        age=pl.col("at") - pl.col("onset")
    )
    before = both.filter(pl.col("age").is_between(-7 * DAY_MS, 0)).group_by("song_id").len()
    after = both.filter(pl.col("age").is_between(0, days * DAY_MS)).height / days
    told = truth.join(before, on="song_id")
    decay = np.log(2) / told["half_life_days"].to_numpy()
    mean = 1 + (told["factor"].to_numpy() - 1) * (1 - np.exp(-decay * days)) / (decay * days)
    usual = told["len"].to_numpy() / 7
    return float(usual.sum()), after, float((usual * mean).sum() / usual.sum())


def test_a_burst_begins_at_its_factor_and_halves_what_is_above_1() -> None:
    at = np.array([-1, 0, 2 * DAY_MS, 4 * DAY_MS])
    assert two().surplus(0, at) == pytest.approx([0, 4, 2, 1])


def test_what_is_shown_more_lies_more_often_among_what_is_explored() -> None:
    b = BURSTING.behaviour
    weight = np.full(20, 0.05)
    # popularity alone shows it (0.5 + 0.25) / 20 of the time, and exploring 0.15 / 20: 8 times 1 + 5 copies more
    assert two().copies(b, weight, 0).tolist() == [1, 49, *[1] * 18]
    assert two().copies(b, weight, 4 * DAY_MS)[1] == 25


def test_songs_of_middling_heat_are_chosen_when_their_day_has_come() -> None:
    bursts = two(song=[-1, -1], onset=[DAY_MS // 2, 9 * DAY_MS])
    heat, old = np.arange(11.0), np.full(11, -100 * DAY_MS)
    bursts.choose(BURSTING.behaviour, old, heat, 0, np.random.default_rng(0))
    assert bursts.song[0] in (6, 7, 8, 9)
    assert bursts.song[1] == -1
    assert bursts.usual[0] == pytest.approx(8 * heat[bursts.song[0]] / 55)


def test_each_session_seeks_what_its_chances_say() -> None:
    pointer, songs = taken_up(np.random.default_rng(0), [(7, np.array([1.0, 0, 1])), (4, np.array([0, 0, 1.0]))], 3)
    assert pointer.tolist() == [0, 1, 1, 3]
    assert songs.tolist() == [7, 7, 4]


def test_the_truth_names_every_burst(bursting: Path) -> None:
    truth = pl.read_parquet(bursting / "truth" / "bursts.parquet")
    assert truth.columns == ["song_id", "kind", "onset", "factor", "half_life_days"]
    assert truth["kind"].value_counts().sort("kind").rows() == [("rise", 12), ("shown", 12)]
    assert truth["song_id"].n_unique() == 24
    assert truth["onset"].is_between(BURSTING.start + 8 * DAY_MS, BURSTING.start + 20 * DAY_MS).all()
    assert truth["factor"].is_between(4, 16).all()
    assert truth["half_life_days"].is_between(2, 8).all()


def test_plays_rise_by_about_the_factor(bursting: Path) -> None:
    before, after, factor = around(bursting, "events", "rise", 2)
    # friends, the policy and libraries take up what is played: the rise is what was asked for, and somewhat more
    assert 0.85 * factor < after / before < 1.5 * factor


def test_what_is_shown_more_is_shown_and_hardly_sought_more(bursting: Path) -> None:
    before, after, _ = around(bursting, "exposures", "shown", 2)
    assert after > 3 * before
    before, after, factor = around(bursting, "events", "shown", 2)
    assert after / before < 0.5 * factor


def test_before_the_first_burst_it_is_the_world_without_any(bursting: Path, tmp_path: Path) -> None:
    generate(tmp_path, dataclasses.replace(BURSTING, bursts=0))
    assert not (tmp_path / "truth" / "bursts.parquet").exists()
    assert "bursts" not in (tmp_path / "world.json").read_text()
    first = pl.read_parquet(bursting / "truth" / "bursts.parquet")["onset"].min()
    morning = first - (first - BURSTING.start) % DAY_MS
    for table in ("events", "exposures"):
        without, having = (
            pl.read_parquet(path / f"{table}.parquet").filter(pl.col("at") < morning).drop(SPOTS, strict=False)
            for path in (tmp_path, bursting)
        )
        assert len(without) > 1000
        assert without.equals(having)


def test_a_bursting_world_goes_on_as_it_was_written(bursting: Path) -> None:
    worlds = [World.load(bursting) for _ in range(2)]
    for name, value in worlds[0].simulation.bursts.arrays().items():
        assert np.array_equal(value, getattr(worlds[1].simulation.bursts, name)), name
    truth = pl.read_parquet(bursting / "truth" / "bursts.parquet")
    assert worlds[0].simulation.bursts.frame(worlds[0].ids.songs).equals(truth)
    days = [world.step() for world in worlds]
    assert days[0].events.equals(days[1].events)


@pytest.mark.parametrize(("bursts", "days"), [(-1, 60), (5, 60), (1, 5)])
def test_impossible_bursts_are_refused(bursts: int, days: int) -> None:
    with pytest.raises(ValueError, match=r"bursts .* \(got -?\d+\)"):
        WorldConfig(songs=80, bursts=bursts, days=days)
