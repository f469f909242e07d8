import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from segue_test_worlds import LOPSIDED_EDGES, LOPSIDED_NODES, planted_snapshot

from api.commands.evaluate import read_data
from graph.batch import Batch
from graph.errors import FitError, InvalidInput, SettingsError
from graph.log.checks import EVENT_COLUMNS
from graph.schema import relationship
from graph.snapshot.arrays import Array
from ranking.evaluation import Data, evaluate, model_names, prepare, split, teaching
from ranking.learning import Learner, LearningConfig
from ranking.training import CHANNEL_TRAIN, RANKER_TRAIN


def log(rows: list[tuple[str, str, int | None]], **columns: Any) -> pl.DataFrame:
    """Plays of (listener, song, time)."""
    schema = {"user_id": pl.String, "song_id": pl.String, "at": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        action=pl.lit("full_play"), count=pl.lit(1, dtype=pl.Int64), **columns
    )
    missing = [name for name in EVENT_COLUMNS if name not in frame.columns]
    return frame.with_columns(pl.lit(None, dtype=EVENT_COLUMNS[name]).alias(name) for name in missing)


def cut(frame: pl.DataFrame, protocol: str, seed: int = 0) -> str:
    """The folds of the events, by their first letters: `r` train, `v` valid, `t` test."""
    letters = {"train": "r", "valid": "v", "test": "t"}
    return "".join(letters[fold] for fold in split(frame, protocol, seed).to_list())


# ---- how the log is cut


def test_leave_one_out_tests_on_the_last_event_and_validates_on_the_one_before() -> None:
    rows = [("b", "s1", 3), ("a", "s1", 5), ("a", "s2", 9), ("b", "s2", 1), ("a", "s3", 7), ("b", "s3", 2)]
    assert cut(log(rows), "leave-one-out") == "trtrvv"


def test_leave_one_out_takes_the_order_of_the_log_without_times_and_spares_the_short() -> None:
    rows = [("a", "s1", None), ("a", "s2", None), ("b", "s1", None), ("a", "s3", None), ("b", "s2", None)]
    assert cut(log(rows), "leave-one-out") == "rvrtr"


def test_ratio_cuts_each_listener_8_1_1() -> None:
    rows = [("a", f"s{i}", None) for i in range(10)] + [("b", f"s{i}", None) for i in range(20)]
    folds = cut(log(rows), "ratio", 4)
    assert [folds[:10].count(x) for x in "rvt"] == [8, 1, 1]
    assert [folds[10:].count(x) for x in "rvt"] == [16, 2, 2]
    assert folds == cut(log(rows), "ratio", 4) != cut(log(rows), "ratio", 5)


def test_temporal_tests_on_the_last_tenth_of_the_time() -> None:
    rows = [("a", "s1", at) for at in (0, 500, 800, 801, 900, 901, 1000)]
    assert cut(log(rows), "temporal") == "rrrvvtt"


def test_given_reads_the_split_of_the_data() -> None:
    frame = log([("a", "s1", None), ("a", "s2", None)], split=pl.Series(["train", "test"]))
    assert cut(frame, "given") == "rt"


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ("given", "come without a split"),
        ("temporal", "1 of 2 events have no time"),
        ("random", r"unknown protocol 'random' \(expected one of given, leave-one-out, ratio, temporal\)"),
    ],
)
def test_what_cannot_be_cut_is_said(protocol: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        split(log([("a", "s1", None), ("a", "s2", 3)]), protocol, 0)


# ---- what is trained on and what is held out


def batch(frame: pl.DataFrame) -> Batch:
    made = Batch("test")
    made.events = frame
    return made


def given(train: list[tuple[str, str]], test: list[tuple[str, str]]) -> Data:
    rows = [(*pair, None) for pair in (*train, *test)]
    folds = pl.Series(["train"] * len(train) + ["test"] * len(test))
    return prepare(batch(log(rows, split=folds)), "given", 0)


# first appearance: z, y, x; listeners: z 2, y 2, x 1, and w and v stand in the test only
TRAIN = [("u1", "z"), ("u1", "y"), ("u2", "z"), ("u2", "x"), ("u3", "y")]


def test_training_sees_only_its_part_but_every_song_is_ranked() -> None:
    data = given(TRAIN, [("u1", "x"), ("u3", "w"), ("u3", "z"), ("u1", "z"), ("u4", "v")])
    assert data.train.ids["Song"].to_list() == ["v", "w", "x", "y", "z"]
    assert len(data.train.histories) == 5
    # what a listener has in training is no truth
    assert [(u, s.tolist()) for u, s in data.truth] == [(0, [2]), (2, [1, 4]), (3, [0])]


def test_the_validation_part_is_for_choosing_and_is_neither_trained_on_nor_tested() -> None:
    rows = [("u1", "s1"), ("u1", "s2"), ("u1", "s1"), ("u2", "s2"), ("u2", "s1"), ("u2", "s3")]
    folds = pl.Series(["train", "valid", "valid", "train", "test", "valid"])
    data = prepare(batch(log([(*pair, None) for pair in rows], split=folds)), "given", 0)
    assert len(data.train.histories) == 2
    # what a listener has in training is no truth
    assert [(u, s.tolist()) for u, s in data.valid] == [(0, [1]), (1, [2])]
    assert [(u, s.tolist()) for u, s in data.truth] == [(1, [0])]


def test_leave_one_out_trains_on_the_validation_too() -> None:
    rows = [("a", "s1", 1), ("a", "s2", 2), ("a", "s3", 3)]
    data = prepare(batch(log(rows)), "leave-one-out", 0)
    assert len(data.train.histories) == 2
    assert data.valid == []
    assert data.trained_valid is not None
    assert data.trained_valid.tolist() == [False, True]
    assert [(u, s.tolist()) for u, s in data.truth] == [(0, [2])]


def test_only_leave_one_out_trains_on_its_validation_part() -> None:
    assert given(TRAIN, [("u1", "x")]).trained_valid is None


@pytest.mark.parametrize("marked", [None, np.array([False, False])])
def test_a_learner_keeps_its_shares_where_no_event_is_marked(marked: Array | None) -> None:
    learner, data = Learner({}, LearningConfig()), given(TRAIN, [("u1", "x")])
    assert teaching(learner, replace(data, trained_valid=marked)) is learner


def test_fusion_and_ranker_learn_from_the_marked_events_and_models_from_the_others() -> None:
    rows = [(user, f"s{i}", i) for user in "ab" for i in range(4)]
    data = prepare(batch(log(rows)), "leave-one-out", 0)
    split = teaching(Learner({}, LearningConfig()), data).split(data.train)
    assert split.subset.tolist() == [CHANNEL_TRAIN, CHANNEL_TRAIN, RANKER_TRAIN] * 2


@pytest.mark.parametrize(
    ("protocol", "seen"), [("leave-one-out", ["s0", "s1", "s2"]), ("temporal", ["s0", "s1", "s2"]), ("ratio", None)]
)
def test_what_speaks_against_a_song_is_seen_up_to_what_is_held_out(protocol: str, seen: list[str] | None) -> None:
    # s1 was skipped before the last song that was liked (s3), which is held out, and s4 after it
    rows = [("a", f"s{i}", at) for i, at in enumerate((0, 1, 2, 99, 100))]
    rows += [("b", f"t{i}", i) for i in range(20)]
    actions = ["full_play", "skip", "play", "full_play", "skip", *["play"] * 20]
    train = prepare(batch(log(rows).with_columns(action=pl.Series(actions))), protocol, 0).train
    mine = train.histories.of(train.ids["User"].index("a"))
    songs = [train.ids["Song"][song] for song in train.histories.song[mine].tolist()]
    if seen is None:
        assert {"s1", "s4"} <= set(songs)
    else:
        assert songs == seen


def test_what_cannot_be_tested_is_said() -> None:
    with pytest.raises(InvalidInput, match="hold no event that says a listener liked a song"):
        prepare(batch(log([])), "ratio", 0)
    with pytest.raises(InvalidInput, match="nothing is held out"):
        given(TRAIN, [TRAIN[0]])


# ---- what is measured


def test_popularity_worked_by_hand_with_ties_by_first_appearance_and_training_masked() -> None:
    # u1 (heard z, y) is shown x: hit at 1. u3 (heard y) is shown z, x: truth z and w: one hit of two, at 1.
    report = evaluate("popularity", given(TRAIN, [("u1", "x"), ("u3", "w"), ("u3", "z")]), ks=(1, 10))
    assert (report["users"], report["items"]) == (2, 4)
    assert report["metrics"]["recall@1"] == (1 + 0.5) / 2
    assert report["metrics"]["mrr"] == 1
    assert report["metrics"]["ndcg@10"] == pytest.approx((1 + 1 / (1 + 1 / np.log2(3))) / 2, abs=1e-6)
    # u5 heard nothing: z, which appeared first, before y with as many listeners, before x
    report = evaluate("popularity", given(TRAIN, [("u5", "y")]))
    assert report["metrics"]["mrr"] == 0.5


def test_every_channel_is_a_model_and_so_are_graph_networks_and_the_cascade() -> None:
    assert {"cascade", "popularity", "item-knn", "song2vec", "lightgcn", "lightgcnpp"} <= set(model_names())
    data = given(TRAIN, [("u1", "x")])
    with pytest.raises(InvalidInput, match="unknown model 'item_knn'"):
        evaluate("item_knn", data)
    with pytest.raises(SettingsError, match="unknown option 'neighbors'"):
        evaluate("item-knn", data, options={"neighbors": 3})


def planted_batch() -> Batch:
    """The planted world, with what `you` will play next as the split's test."""
    snapshot = planted_snapshot()
    histories = snapshot.histories
    users, songs = snapshot.ids["User"].to_list(), snapshot.ids["Song"].to_list()
    rows = [
        (users[u], songs[s], int(at)) for u, s, at in zip(histories.user, histories.song, histories.at, strict=True)
    ]
    folds = pl.Series(["train"] * len(rows) + ["test"])
    return batch(log([*rows, ("you", "a-answer", max(at for *_, at in rows) + 1)], split=folds))


PLANTED = {
    "item-knn": {"shrink": 1.0},
    "song2vec": {"epochs": 20, "embedding_dim": 16},
    "song-to-song": {"embed.epochs": 20, "embed.embedding_dim": 16},
    "lightgcn": {"training.epochs": 60, "training.learning_rate": 0.02, "embedding_dim": 16},
}


@pytest.mark.parametrize("model", PLANTED)
def test_models_find_the_planted_answer(model: str) -> None:
    options = PLANTED[model]
    report = evaluate(model, prepare(planted_batch(), "given", 0), seed=1, options=options)
    assert report["metrics"]["recall@10"] == 1
    assert report["metrics"]["mrr"] == 1


def test_the_cascade_needs_new_songs_to_learn_from_and_says_so() -> None:
    options = {"embed.song2vec.epochs": 1, "embed.song2vec.embedding_dim": 4}
    with pytest.raises(FitError, match="too few events"):
        evaluate("cascade", prepare(planted_batch(), "given", 0), options=options)


def test_the_cascade_ranks_and_learns_from_the_newest_of_its_training_part() -> None:
    # everybody meets the songs of their scene one by one, so there is always a new one to learn from
    rng = np.random.default_rng(2)
    rows = []
    for listener in range(30):
        scene = "ab"[listener % 2]
        rows += [(f"u{listener}", f"{scene}{song}", at) for at, song in enumerate(rng.permutation(15).tolist())]
    options = {"embed.song2vec.epochs": 5, "embed.song2vec.embedding_dim": 8, "rank_share": 0.2}
    report = evaluate("cascade", prepare(batch(log(rows)), "leave-one-out", 0), options=options, ks=(1, 10))
    # one song of 15 is left of their scene, and 15 of the other one are wrong
    assert report["metrics"]["recall@10"] == 1
    assert report["metrics"]["recall@1"] > 0.9


def test_the_same_seed_measures_the_same() -> None:
    data = prepare(planted_batch(), "given", 0)
    options = {"embed.epochs": 1, "embed.embedding_dim": 4}
    metrics = [evaluate("song2vec", data, seed=s, options=options)["metrics"] for s in (1, 1)]
    assert metrics[0] == metrics[1]


@pytest.mark.data
def test_popularity_on_the_split_of_lightgcnpp() -> None:
    folder = Path(os.environ.get("SEGUE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "lastfm-lightgcnpp"
    if not folder.exists():
        pytest.skip("the data set lastfm-lightgcnpp is not in SEGUE_DATA")
    data = prepare(read_data(f"lightgcn:{folder}", "given", lambda *_: None), "given", 0)
    report = evaluate("popularity", data)
    assert report["users"] == 1863
    assert report["metrics"]["recall@10"] == pytest.approx(0.0718, abs=0.0002)
    assert report["metrics"]["ndcg@10"] == pytest.approx(0.0789, abs=0.0002)


def test_the_graph_beside_the_events_comes_along() -> None:
    made = batch(log([("ana", f"s{i}", i) for i in range(1, 6)]))
    made.nodes, made.relationships = dict(LOPSIDED_NODES), dict(LOPSIDED_EDGES)
    data = prepare(made, "leave-one-out", 0)
    assert data.train.relation("PERFORMED_BY").of(0).tolist() == [0]


def test_playlists_and_uploads_do_not_tell_of_held_out_items() -> None:
    frame = log([("a", f"s{i}", 100 * i) for i in range(11)])
    data = batch(frame)
    owns, contains = relationship("OWNS", "User", "Playlist"), relationship("CONTAINS", "Playlist", "Song")
    data.relationships[owns] = pl.DataFrame({"source": ["a"], "target": ["mix"]})
    songs = pl.DataFrame({"source": ["mix"] * 2, "target": ["s1", "s10"], "position": [0, 1], "at": [None, None]})
    data.relationships[contains] = songs.cast({"at": pl.Int64})
    uploaded = relationship("UPLOADED", "User", "Song")
    data.relationships[uploaded] = pl.DataFrame({"source": ["a", "a"], "target": ["s2", "s9"], "at": [100, 100]})
    train = prepare(data, "temporal", 0).train
    assert [train.ids["Song"][i] for i in train.relation("CONTAINS", "Playlist").of(0)] == ["s1"]
    assert [train.ids["Song"][i] for i in train.relation("UPLOADED").of(0)] == ["s2"]


def test_the_seed_of_an_evaluation_is_the_cascade_s_own() -> None:
    data = prepare(planted_batch(), "ratio", 0)
    options = {"rankers.linear.l2": 0.5, "reranker": "mmr"}
    config = evaluate("cascade", data, seed=5, options=options)["config"]
    assert config["seed"] == 5
    assert config["rankers"] == {"linear": {"options": {"l2": 0.5}, "use": None}}


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("ranker", "lineal", r"scene\.ranker: unknown ranker 'lineal'"),
        ("rankers.linear.l3", 1, r"scene\.rankers\.linear: unknown option 'l3'"),
        ("rerankers.mmr.balance", 7, r"scene\.rerankers\.mmr: balance must be between 0 and 1"),
        ("rankers", 3, "--set rankers: a value, not a table"),
        ("rankers.linear", 3, r"rankers\.linear must be a table"),
        ("linear.l2", 1, "evaluate cascade: unknown option 'linear'"),
    ],
)
def test_an_unknown_option_of_the_cascade_is_refused(option: str, value: object, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        evaluate("cascade", prepare(planted_batch(), "ratio", 0), options={option: value})
