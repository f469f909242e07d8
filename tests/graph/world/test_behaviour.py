"""What listeners do, checked against the formulas on many draws of the running world."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graph.world import World
from graph.world.behaviour import softmax_choice
from graph.world.memory import make_memory, pair_slot, with_room


def test_softmax_choice_takes_one_in_proportion_to_exp_of_its_score() -> None:
    rng = np.random.default_rng(0)
    scores = np.log(np.array([1.0, 3.0, 4.0, 99.0]))  # the last is beyond n
    picks = [softmax_choice(rng, scores, 3) for _ in range(8000)]
    assert np.bincount(picks) / 8000 == pytest.approx([0.125, 0.375, 0.5], abs=0.02)


def test_pairs_survive_a_larger_table() -> None:
    memory = make_memory(5, 2)
    for key in (0, 3, 9):
        slot = pair_slot(memory.keys, key)
        memory.keys[slot], memory.values[slot] = key, key + 1
        memory.used[0] += 1
    larger = with_room(memory, 100_000)
    assert len(larger.keys) >= 200_000
    assert [larger.values[pair_slot(larger.keys, key)] for key in (0, 3, 9)] == [1, 4, 10]


def test_songs_that_fit_are_finished_and_others_are_skipped(world_path: Path) -> None:
    events = pl.read_parquet(world_path / "events.parquet")
    truth = pl.read_parquet(world_path / "truth" / "events.parquet")
    fit = dict(events.join(truth, on="event_id").group_by("action").agg(pl.col("fit").mean()).iter_rows())
    assert fit["skip"] + 0.1 < fit["full_play"] < fit["collect"]


def test_upper_slots_are_played_more(world_path: Path) -> None:
    shown = pl.read_parquet(world_path / "exposures.parquet")["position"].value_counts().sort("position")["count"]
    events = pl.read_parquet(world_path / "events.parquet").filter(pl.col("played_ms").is_not_null())
    played = events["position"].drop_nulls().value_counts().sort("position")["count"]
    rate = played / shown
    assert rate[0] > 1.5 * rate[9]


def test_songs_of_a_session_cohere(world_path: Path) -> None:
    songs = pl.read_parquet(world_path / "truth" / "songs.parquet")
    vectors = dict(zip(songs["song_id"], songs["vector"].to_numpy(), strict=True))
    plays = pl.read_parquet(world_path / "events.parquet").filter(pl.col("played_ms").is_not_null())
    plays = plays.join(pl.read_parquet(world_path / "truth" / "events.parquet"), on="event_id").sort("user_id", "at")
    near = plays.with_columns(gap=pl.col("at").diff().over("user_id"), before=pl.col("song_id").shift())
    together = near.filter(pl.col("gap") < 900_000)
    apart = near.filter((pl.col("gap") > 3_600_000) & (pl.col("interest") != pl.col("interest").shift()))
    cosine = [
        np.mean([vectors[a] @ vectors[b] for a, b in frame.select("song_id", "before").iter_rows()])
        for frame in (together, apart)
    ]
    assert cosine[0] > cosine[1] + 0.05


def test_drift_is_seen_by_the_next_day(world_path: Path) -> None:
    world = World.load(world_path)
    songs = world.available(world.now)
    before = world.true_fit("u000000", songs)
    world.step()
    after = world.true_fit("u000000", songs)
    assert not np.array_equal(before, after)
    assert np.corrcoef(before, after)[0, 1] > 0.5
