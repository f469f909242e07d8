"""A written world: whole, deterministic, valid, and silent about its truth."""

import itertools
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graph import schema
from graph.errors import InvalidInput
from graph.world import AUDIO_ATTRIBUTES, WorldConfig, exists, generate
from graph.world.model import END

EVENT = (
    *("event_id", "user_id", "action", "song_id", "target_label", "target_id", "query", "at", "played_ms", "scene"),
    *("request_id", "position", "latitude", "longitude"),
)
EXPOSURE = ("request_id", "user_id", "song_id", "position", "at", "scene", "channel", "score", "propensity", "policy")
TINY = WorldConfig(users=30, songs=80, days=4, seed=1, events=600)


def tables(path: Path) -> dict[str, pl.DataFrame]:
    return {p.stem: pl.read_parquet(p) for p in sorted(path.glob("*.parquet"))}


@pytest.fixture(scope="module")
def read(world_path: Path) -> dict[str, pl.DataFrame]:
    return tables(world_path)


def test_every_table_has_columns_of_the_schema_only(read: dict[str, pl.DataFrame]) -> None:
    expected = {"events": set(EVENT), "exposures": set(EXPOSURE)}
    expected["audio_segments"] = {"song_id", "segment", *AUDIO_ATTRIBUTES}
    for label in schema.LABELS:
        if label.table:
            expected[label.table] = {"id", *(p.name for p in label.properties)}
    for r in schema.RELATIONSHIPS:
        if r.table:
            expected[r.table] = {r.source_column, r.target_column, *(p.name for p in r.properties)}
    assert set(read) == set(expected)
    for name, frame in read.items():
        assert set(frame.columns) <= expected[name], name
        assert len(frame), name


def test_values_are_of_the_schemas_kind_and_in_its_bounds(read: dict[str, pl.DataFrame]) -> None:
    kinds = {"string": pl.String, "integer": pl.Int64, "float": pl.Float64}
    owners = [
        *((x.table, x.properties) for x in schema.LABELS),
        *((x.table, x.properties) for x in schema.RELATIONSHIPS),
    ]
    for table, properties in owners:
        for p in properties:
            if table is None or p.name not in read[table].columns:
                continue
            column = read[table][p.name]
            assert column.dtype == kinds[p.kind] or (p.kind == "float" and column.dtype == pl.Float32), (table, p.name)
            if p.low is not None:
                assert column.min() >= p.low, (table, p.name)
            if p.high is not None:
                assert column.max() <= p.high, (table, p.name)


def test_ids_are_valid_unique_and_known_where_they_are_used(read: dict[str, pl.DataFrame]) -> None:
    nodes = {x.name: read[x.table]["id"] for x in schema.LABELS if x.table}
    for name, ids in nodes.items():
        assert ids.n_unique() == len(ids), name
        assert not [i for i in ids if schema.problem_of_id(i)]
    for r in schema.RELATIONSHIPS:
        if r.table:
            frame = read[r.table]
            assert frame[r.source_column].is_in(nodes[r.source].implode()).all(), r.key
            assert frame[r.target_column].is_in(nodes[r.target].implode()).all(), r.key
            assert not frame.select(r.source_column, r.target_column).is_duplicated().any(), r.key
    for name in ("events", "exposures"):
        assert read[name]["user_id"].is_in(nodes["User"].implode()).all()
        assert read[name]["song_id"].drop_nulls().is_in(nodes["Song"].implode()).all()


def test_an_event_has_what_its_action_needs(read: dict[str, pl.DataFrame]) -> None:
    e = read["events"]
    assert set(e["action"]) <= set(schema.ACTIONS)
    assert e["event_id"].n_unique() == len(e)
    assert e["at"].is_sorted()
    assert e.filter(pl.col("action").is_in(schema.SONG_ACTIONS))["song_id"].null_count() == 0
    assert e.filter(pl.col("action") == "follow").select("target_label", "target_id").null_count().row(0) == (0, 0)
    assert e.filter(pl.col("action") == "search")["query"].null_count() == 0
    assert (e["played_ms"].is_not_null() == e["action"].is_in(schema.PLAYBACK_ACTIONS)).all()


def test_nobody_hears_a_song_or_listens_before_it_or_they_are_there(read: dict[str, pl.DataFrame]) -> None:
    plays = read["events"].filter(pl.col("song_id").is_not_null())
    songs, users = read["songs"].rename({"id": "song_id"}), read["users"].rename({"id": "user_id"})
    for frame in (plays, read["exposures"]):
        both = frame.join(songs, on="song_id").join(users, on="user_id", suffix="_user")
        assert (both["at"] >= both["uploaded_at"]).all()
        assert (both["at"] >= both["joined_at"]).all()


def test_new_songs_and_new_listeners_keep_arriving(read: dict[str, pl.DataFrame], small: WorldConfig) -> None:
    for column in (read["songs"]["uploaded_at"], read["users"]["joined_at"]):
        late = column.filter(column >= small.start)
        assert len(late) > 0.1 * len(column)
        assert late.max() < END
        assert late.min() < small.start + (END - small.start) // 2


def test_propensities_are_probabilities_and_slates_have_no_song_twice(read: dict[str, pl.DataFrame]) -> None:
    x = read["exposures"]
    assert x["propensity"].is_between(0, 1, closed="right").all()
    assert not x.select("request_id", "song_id").is_duplicated().any()
    assert not x.select("request_id", "position").is_duplicated().any()


def test_a_played_slot_names_a_slate_that_showed_it(read: dict[str, pl.DataFrame]) -> None:
    played = read["events"].filter(pl.col("request_id").is_not_null() & pl.col("played_ms").is_not_null())
    keys = ["request_id", "user_id", "song_id", "position"]
    assert len(played)
    assert len(played.join(read["exposures"], on=keys, how="semi")) == len(played)


def test_truth_is_beside_the_tables_and_never_in_them(world_path: Path, read: dict[str, pl.DataFrame]) -> None:
    truth = {p.stem for p in (world_path / "truth").glob("*.parquet")}
    assert {"interests", "songs", "artists", "users", "events", "exposures"} <= truth
    hidden = {"quality", "tier", "fit", "vector", "curiosity", "activity", "fame", "prior", "interest"}
    assert not [(name, c) for name, frame in read.items() for c in frame.columns if c in hidden]


def test_interests_drift(world_path: Path) -> None:
    interests = pl.read_parquet(world_path / "truth" / "interests.parquet")
    first, last = (interests.filter(pl.col("day") == day).sort("user_id", "interest") for day in (0, 14))
    cosine = (np.stack(first["vector"].to_list()) * np.stack(last["vector"].to_list())).sum(1)
    assert 0.8 < np.median(cosine) < 0.9999
    assert np.mean(cosine < 0.7) > 0.01  # the ones that were replaced
    assert set(first["user_id"].value_counts()["count"]) == {1, 2, 3, 4, 5}


def test_same_config_same_world_and_another_seed_another_one(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(tmp_path / name, WorldConfig(**{**TINY.as_dict(), "seed": seed, "behaviour": TINY.behaviour}))
    a, b, c = (tables(tmp_path / name) for name in "abc")
    assert all(a[name].equals(b[name]) for name in a)
    assert not any(a[name].equals(c[name]) for name in ("songs", "events", "exposures", "follows", "audio_segments"))
    truths = [tables(tmp_path / name / "truth") for name in "ab"]
    assert all(truths[0][name].equals(truths[1][name]) for name in truths[0])


def test_the_number_of_events_is_near_the_goal(read: dict[str, pl.DataFrame], small: WorldConfig) -> None:
    assert small.events is not None
    assert abs(len(read["events"]) - small.events) < 0.05 * small.events


def test_marginals_are_those_of_music(read: dict[str, pl.DataFrame]) -> None:
    plays = read["events"].filter(pl.col("action").is_in(schema.PLAYBACK_ACTIONS))
    counts = plays["song_id"].value_counts(sort=True)["count"]
    assert 0.10 < counts.head(20).sum() / counts.sum() < 0.45  # the top 5 % of songs
    repeats = 1 - len(plays.select("user_id", "song_id").unique()) / len(plays)
    assert 0.2 < repeats < 0.6
    gap = plays.sort("user_id", "at").select(pl.col("at").diff().over("user_id").alias("gap"))["gap"]
    assert 5 < len(plays) / (gap.is_null() | (gap > 1_800_000)).sum() < 12
    full = (plays["action"] == "full_play").mean()
    assert isinstance(full, float)
    assert 0.5 < full < 0.8


def test_friends_have_more_taste_in_common_than_strangers(world_path: Path, read: dict[str, pl.DataFrame]) -> None:
    interests = pl.read_parquet(world_path / "truth" / "interests.parquet").filter(pl.col("day") == 0).sort("user_id")
    weighted = np.stack(interests["vector"].to_list()) * interests["weight"].to_numpy()[:, None]
    user = interests["user_id"].rank("dense").to_numpy() - 1
    taste = np.zeros((user.max() + 1, weighted.shape[1]))
    np.add.at(taste, user, weighted)
    taste /= np.linalg.norm(taste, axis=1, keepdims=True)
    pairs = [(int(a[1:]), int(b[1:])) for a, b in read["follows"].select("user_id", "followed_id").iter_rows()]
    friends = np.mean([taste[a] @ taste[b] for a, b in pairs])
    assert friends > np.mean(taste @ taste.T) + 0.1


def test_a_half_written_world_does_not_exist(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if (what, done) == ("tables", 3):
            raise Stop

    with pytest.raises(Stop):
        generate(tmp_path / "w", TINY, stop)
    assert not exists(tmp_path / "w", TINY)
    generate(tmp_path / "w", TINY)
    assert exists(tmp_path / "w", TINY)


def test_a_world_of_another_config_does_not_exist(world_path: Path, small: WorldConfig) -> None:
    assert exists(world_path, small)
    assert not exists(world_path, TINY)
    assert not exists(world_path / "nowhere", small)


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    generate(tmp_path / "w", TINY, lambda *x: told.append(x))
    for _, group in itertools.groupby(told, key=lambda x: x[0]):
        last = list(group)[-1]
        assert last[1] == last[2]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(InvalidInput, match=r"found letters\.txt"):
        generate(tmp_path, TINY)
    assert (tmp_path / "letters.txt").read_text() == "dear"


def test_the_marker_holds_the_config(world_path: Path, small: WorldConfig) -> None:
    marker = json.loads((world_path / "world.json").read_text())
    assert WorldConfig.from_dict(marker["config"]) == small
