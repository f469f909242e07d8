import dataclasses
import gc
import importlib
import pkgutil
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from segue_test_worlds import DAY, LOPSIDED_NODES, NOW, World, built

from embeddings.vectors.model_vectors import ModelVectors
from graph.errors import SettingsError
from graph.log.events import Event, JournalEntry
from graph.release import Release
from graph.units import UnitUse
from ranking.cascade import LATE, STANDING, Cascade, Slate, keeping
from ranking.fine.linear import Linear
from ranking.reserve import Reserve
from ranking.scene import ChannelUse, SceneConfig
from ranking.training import best_first
from recall import kernels
from recall.base import Candidates, Query
from recall.blend.fusion import Fusion
from recall.blend.runner import STUCK
from recall.channels.popularity import Popularity
from recall.live.counters import Counters
from recall.live.edits import Edits, NewSongs
from recall.live.live import EventBatch, Overlay
from recall.recordings import recordings


def cascade(world: World, **scene: Any) -> Cascade:
    """A scene whose one channel proposes every song that may come back."""
    made = Cascade(world.release, SceneConfig(channels={"popularity": ChannelUse()}, budget_ms=60_000, **scene))
    made.channels = {"popularity": Answers(lambda query: found(*np.flatnonzero(query.allowed).tolist()))}
    return made


def slate(made: Cascade, world: World, user: str | None = "ana", n: int = 10, **more: Any) -> list[str]:
    return sorted(world.ids(made.slate(made.query(user, NOW, **more), n).songs))


class Answers:
    """A channel that answers with the given songs."""

    audience = "tests"

    def __init__(self, answer: Callable[[Query], Any]) -> None:
        self._answer = answer

    def recall(self, query: Query, k: int) -> Any:
        return self._answer(query)


def found(*songs: int, scores: list[float] | None = None) -> Candidates:
    values = np.linspace(1, 0.5, len(songs)) if scores is None else np.array(scores)
    return Candidates(np.array(songs, dtype=np.int32), values)


# ---- what may come back


@pytest.mark.parametrize(
    ("heard", "user", "expected"),
    [
        ("never", "ana", ["s3", "s4", "s5"]),
        ("always", "ana", ["s1", "s2", "s3", "s5"]),  # s4 is a cover of s1
        ("after 14d", "ana", ["s1", "s3", "s5"]),  # s1 three weeks ago, s2 just now
        ("after 30d", "ana", ["s3", "s4", "s5"]),
        ("after 7d", "ben", ["s1", "s2", "s5"]),  # nobody knows when s3 was
        ("always", "ben", ["s1", "s2", "s3", "s5"]),
    ],
)
def test_heard_songs_come_back_as_the_scene_says(lopsided: World, heard: str, user: str, expected: list[str]) -> None:
    assert slate(cascade(lopsided, heard=heard), lopsided, user) == expected


def test_a_blocked_song_never_comes_back(lopsided: World) -> None:
    assert "s3" not in slate(cascade(lopsided, heard="always"), lopsided, "cy")


def test_a_song_that_is_not_admitted_is_not_recommended(make_world: Callable[..., World]) -> None:
    songs = LOPSIDED_NODES["Song"].with_columns(tier=np.array([0, 1, 2, 3, 0]))
    world = make_world(node_tables={"Song": songs})
    assert slate(cascade(world, heard="always"), world) == ["s2", "s3", "s4"]


def test_what_the_question_excludes_stays_out(lopsided: World) -> None:
    assert slate(cascade(lopsided), lopsided, exclude=["s5", "unknown"]) == ["s3", "s4"]


def test_events_since_the_release_count(lopsided: World) -> None:
    latest = [Event(event_id="1", user_id="ana", action="block", song_id="s4", at=NOW)]
    assert slate(cascade(lopsided), lopsided, latest=latest) == ["s3", "s5"]


def test_a_session_of_songs_is_a_listener(lopsided: World) -> None:
    assert slate(cascade(lopsided), lopsided, None, session=["s1", "unknown", "s3"]) == ["s2", "s4", "s5"]


def test_an_unknown_listener_gets_a_slate(lopsided: World) -> None:
    assert slate(cascade(lopsided), lopsided, "unknown") == ["s1", "s2", "s3", "s5"]


def test_a_recording_is_in_a_slate_once_and_the_reserve_takes_its_place(lopsided: World) -> None:
    made = cascade(lopsided, heard="always", pool=3)
    made.channels = {"popularity": Answers(lambda _: found(3, 0, 2, 1))}  # s4 is a cover of s1
    pool, trace = made.pool(made.query("unknown", NOW), 3)
    assert lopsided.ids(pool.songs) == ["s4", "s3", "s2"]
    assert [(stage.stage, stage.entered, stage.left) for stage in trace[1:]] == [("merge", 4, 3)]


def test_a_new_song_that_is_a_cover_is_in_a_slate_beside_no_other_cover(lopsided: World) -> None:
    cover = ("relations", "Song", "new", {"cover_of": ["s1"]})
    live = overlay(lopsided, NEW, cover)
    made = cascade(lopsided, heard="always")
    made.channels = {"popularity": Answers(lambda _: found(5, 3, 2))}
    query = made.query("unknown", NOW, overlay=live)
    assert [live.song_id(song) for song in made.pool(query)[0].songs.tolist()] == ["new", "s3"]


# ---- channels that fail


def raises(query: Query) -> Candidates:
    raise RuntimeError("no luck")


def sleeps(query: Query) -> Candidates:
    time.sleep(0.3)
    return found(2)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (raises, "RuntimeError: no luck"),
        (sleeps, "over the time budget"),
        (lambda _: found(2, scores=[float("nan")]), "not finite"),
        (lambda _: found(2, scores=[float("inf")]), "not finite"),
        (lambda _: found(2, 2), "the same song twice"),
        (lambda query: found(*query.exclude.tolist()), "songs that are excluded"),
        (lambda _: found(99), "songs that do not exist"),
        (lambda _: found(-1), "songs that do not exist"),
        (lambda _: Candidates(np.array([2, 3]), np.ones(1)), "do not pair"),
        (lambda _: None, "AttributeError"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_bad_channel_costs_its_own_candidates_only(
    lopsided: World, bad: Callable[[Query], Any], reason: str, first: bool
) -> None:
    made = Cascade(lopsided.release, SceneConfig(channels={"popularity": ChannelUse()}, budget_ms=200.0))
    good = {"good": Answers(lambda _: found(3, 4))}
    both = {"bad": Answers(bad), **good} if first else {**good, "bad": Answers(bad)}
    made.channels = both
    made.scene = dataclasses.replace(made.scene, channels=dict.fromkeys(both, ChannelUse()))
    slate = made.slate(made.query("ana", NOW), 10)
    assert [slate.channel(i) for i in range(len(slate.songs))][:2] == ["good", "good"]
    assert sorted(lopsided.ids(slate.songs[:2])) == ["s4", "s5"]  # behind them what stands ready fills up
    (dropped,) = slate.trace[0].dropped
    assert dropped["channel"] == "bad"
    assert reason in dropped["reason"]


def hanging(until: threading.Event) -> Answers:
    def hang(query: Query) -> Candidates:
        until.wait(60)
        return found(3)

    return Answers(hang)


def test_channels_that_hang_hold_up_neither_the_request_nor_the_others(lopsided: World) -> None:
    made, end = cascade(lopsided), threading.Event()
    good = Answers(lambda _: found(3))
    made.channels = {"a": hanging(end), "b": good, "c": hanging(end), "d": good}
    made.scene = SceneConfig(budget_ms=2000, channels=dict.fromkeys(made.channels, ChannelUse()))
    proposals, stage = made.propose(made.query("ana", NOW))
    end.set()
    assert sorted(proposals) == ["b", "d"]
    assert stage.dropped == [{"channel": name, "reason": "over the time budget (2000 ms)"} for name in ("a", "c")]


def test_a_channel_that_hangs_again_and_again_is_not_asked_any_more(lopsided: World) -> None:
    made, end = cascade(lopsided), threading.Event()
    made.channels = {"a": hanging(end), "b": Answers(lambda _: found(3))}
    made.scene = SceneConfig(budget_ms=400, channels=dict.fromkeys(made.channels, ChannelUse()))
    stages = [made.propose(made.query("ana", NOW))[1] for _ in range(STUCK + 1)]
    assert "time budget" in stages[STUCK - 1].dropped[0]["reason"]
    assert "earlier requests still wait for it" in stages[STUCK].dropped[0]["reason"]
    end.set()


def test_without_a_budget_every_channel_is_waited_for(lopsided: World) -> None:
    made = cascade(lopsided)
    made.channels = {"popularity": Answers(sleeps)}
    made.scene = dataclasses.replace(made.scene, budget_ms=float("inf"))
    assert list(made.propose(made.query("ana", NOW))[0]) == ["popularity"]


def test_without_any_candidate_the_slate_is_empty(lopsided: World) -> None:
    made = cascade(lopsided)
    made.channels = {"popularity": Answers(lambda _: found())}
    assert len(made.slate(made.query("ana", NOW)).songs) == 0


def test_where_every_channel_fails_popular_songs_answer_and_the_note_says_so(lopsided: World) -> None:
    made = cascade(lopsided)
    made.channels = {"popularity": Answers(raises)}
    slate = made.slate(made.query("ana", NOW), 2)
    assert (len(slate.songs), slate.note) == (2, LATE)
    assert {slate.channel(i) for i in range(2)} == {STANDING}
    assert not set(slate.songs.tolist()) & set(made.query("ana", NOW).exclude.tolist())


def test_a_slate_larger_than_the_pool_is_answered_in_full(planted: World) -> None:
    made = Cascade(planted.release, SceneConfig(pool=5, budget_ms=60_000, heard="always"))
    query = made.query(planted.snapshot.ids["User"][0], NOW)
    may = np.setdiff1d(np.arange(planted.snapshot.songs), query.exclude)
    different = len(np.unique(recordings(planted.snapshot)[may]))
    assert different > 10
    for n in (6, 10, different, different + 5):
        slate = made.slate(query, n)
        assert len(set(slate.songs.tolist())) == len(slate.songs) == min(n, different)
        assert slate.note == ""


def test_a_spent_budget_answers_with_a_whole_slate(planted: World) -> None:
    made = Cascade(planted.release, SceneConfig(budget_ms=0.3, heard="always"))
    for user in planted.snapshot.ids["User"].to_list()[:50]:
        slate = made.slate(made.query(user, NOW), 10)
        assert len(slate.songs) == 10
        assert len(set(slate.songs.tolist())) == 10


# ---- kernels


def compilations() -> dict[str, int]:
    """How many kinds of arguments each kernel has been compiled for."""
    modules = [importlib.import_module(f"recall.kernels.{one.name}") for one in pkgutil.iter_modules(kernels.__path__)]
    found = {name: one for module in modules for name, one in vars(module).items() if hasattr(one, "signatures")}
    return {name: len(one.signatures) for name, one in found.items()}


def test_no_request_compiles_a_kernel_whatever_happened_since_the_release(planted: World) -> None:
    made = Cascade(planted.release, SceneConfig(budget_ms=60_000))
    users = planted.snapshot.ids["User"].to_list()
    for user in (*users, "unknown"):
        made.slate(made.query(user, NOW))
    compiled = compilations()
    assert sum(compiled.values()) > 8
    edits = Edits(planted.snapshot, 0).after([JournalEntry(1, "upsert", "Song", "new", {"properties": {}})])
    counters = Counters(planted.snapshot)
    one = np.ones(3, dtype=np.int64)
    played = np.array([0, planted.snapshot.songs, 2])
    counters.fold(EventBatch(np.array([0, 1, -1]), played, one.astype(np.uint8), NOW * one, one, 0 * one))
    live = Overlay(counters, edits, NewSongs(edits, ModelVectors.load(planted.release, "song2vec")))
    song = planted.snapshot.ids["Song"][0]
    for user in (*users, "unknown"):
        done = [Event("e", user, action, song, at=NOW, offset=9) for action in ("full_play", "block")]
        made.slate(made.query(user, NOW + 1, latest=done, exclude=[song], overlay=live))
    made.slate(made.query(None, NOW, session=[song], overlay=live))
    assert compilations() == compiled


# ---- releases that are no longer served


def test_a_release_that_nobody_serves_any_more_leaves_memory(lopsided: World) -> None:
    release = Release.open(lopsided.release.path)
    made = Cascade(release, SceneConfig(budget_ms=60_000))
    live = Overlay(Counters(release.snapshot), Edits(release.snapshot, 0), NewSongs(Edits(release.snapshot, 0), None))
    for user in ("ana", "ben", "nobody"):
        assert len(made.slate(made.query(user, NOW, overlay=live)).songs)
    gone = weakref.ref(release.snapshot)
    del release, made, live
    gc.collect()
    assert gone() is None


# ---- the trace and the order


def test_the_counts_of_the_trace_add_up(planted: World) -> None:
    made = Cascade(planted.release, SceneConfig(pool=7, n=4, budget_ms=60_000))
    query = made.query("you", NOW)
    result = made.slate(query)
    recalled, merged, ranked, reranked = result.trace
    assert [s.stage for s in result.trace] == ["recall", "merge", "rank", "rerank"]
    assert recalled.entered == planted.snapshot.songs - len(query.exclude)
    assert recalled.left == sum(len(c) for c in made.propose(query)[0].values()) == merged.entered
    assert merged.left == ranked.entered == ranked.left == reranked.entered == len(result.pool) == 7
    assert reranked.left == len(result.songs) == 4
    assert set(recalled.as_json()) == {"stage", "in", "out", "ms", "dropped"}


def test_songs_scores_and_rows_belong_together(planted: World) -> None:
    made = Cascade(planted.release, SceneConfig(budget_ms=60_000))
    result = made.slate(made.query("you", NOW), 5)
    assert result.pool.songs[result.rows].tolist() == result.songs.tolist()
    assert result.pool.fused[result.rows].tolist() == result.scores.tolist()


def test_without_a_ranker_the_fused_score_orders(lopsided: World) -> None:
    made = cascade(lopsided, heard="always")
    pool, _ = made.pool(made.query("unknown", NOW))
    assert made.ranker is None
    assert made.rank(made.query("unknown", NOW), pool).tolist() == pool.fused.tolist()


def test_the_ranker_of_the_scene_orders(lopsided: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cascade(lopsided, heard="always")
    width = len(made.features)
    weights = np.zeros(width)
    weights[made.features.names.index("listeners")] = -1
    made.ranker = Linear(made.features.names, np.zeros(width), np.ones(width), weights)
    result = made.slate(made.query("unknown", NOW), 1)
    assert lopsided.ids(result.songs) == ["s5"]  # the one that nobody has heard


def test_the_planted_answer_comes_first(planted: World) -> None:
    made = Cascade(planted.release, SceneConfig(budget_ms=60_000))
    assert planted.ids(made.slate(made.query("you", NOW + DAY)).songs)[0] == "a-answer"


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        ({"reranker": "mmmr"}, "unknown re-ranker 'mmmr'"),
        ({"reranker": "__init__"}, "unknown re-ranker"),
        ({"ranker": "lineal"}, "unknown ranker 'lineal'"),
        ({"channels": {"soical": ChannelUse()}}, "unknown channel 'soical'"),
        ({"channels": {"social": ChannelUse(options={"hop": 1})}}, "unknown option 'hop'"),
    ],
)
def test_what_a_scene_names_must_exist(lopsided: World, scene: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Cascade(lopsided.release, SceneConfig(**scene))


# ---- what came after the release


def overlay(world: World, *lines: tuple[str, str, str, dict[str, Any]]) -> Overlay:
    edits = Edits(world.snapshot, 0).after(JournalEntry(i, *line) for i, line in enumerate(lines, start=1))
    return Overlay(Counters(world.snapshot), edits, NewSongs(edits, world.vectors))


NEW = ("upsert", "Song", "new", {"properties": {"released_at": NOW}})
BY_ALBA = ("relations", "Song", "new", {"artists": ["alba"], "genres": ["folk"]})


def live_slate(world: World, live: Overlay, latest: list[Event], **scene: Any) -> list[str]:
    uses = {"song2vec": ChannelUse(), "popularity": ChannelUse()}
    made = Cascade(world.release, SceneConfig(channels=uses, budget_ms=60_000, **scene))
    query = made.query("cy", NOW, latest=latest, overlay=live)
    shown = made.slate(query, 10)
    assert np.isfinite(made.features.matrix(query, shown.pool)).all()
    return sorted(live.song_id(int(song)) for song in shown.songs)


def heard(action: str = "full_play", at: int = NOW) -> Event:
    return Event(event_id="e", user_id="cy", action=action, song_id="new", at=at)


def test_a_new_song_is_recommended_by_its_composed_vector(lopsided: World) -> None:
    assert "new" in live_slate(lopsided, overlay(lopsided, NEW, BY_ALBA), [])
    assert "new" not in live_slate(lopsided, overlay(lopsided, NEW), [])  # nothing is known of it


@pytest.mark.parametrize(
    ("policy", "event", "back"),
    [
        ("never", heard(), False),
        ("always", heard(), True),
        ("after 1d", heard(at=NOW - 2 * DAY), True),
        ("after 3d", heard(at=NOW - 2 * DAY), False),
        ("always", heard("block"), False),
    ],
)
def test_a_new_song_that_was_heard_comes_back_as_the_scene_says(
    lopsided: World, policy: str, event: Event, back: bool
) -> None:
    live = overlay(lopsided, NEW, BY_ALBA)
    assert ("new" in live_slate(lopsided, live, [event], heard=policy)) == back


def test_what_was_deleted_or_barred_since_the_release_stays_out(lopsided: World) -> None:
    barred = ("upsert", "Song", "s2", {"properties": {"tier": 0}})
    live = overlay(lopsided, NEW, BY_ALBA, ("delete", "Song", "new", {}), ("delete", "Song", "s5", {}), barred)
    assert not {"new", "s5", "s2"} & set(live_slate(lopsided, live, [], heard="always"))
    assert {"s5", "s2"} < set(live_slate(lopsided, overlay(lopsided), [], heard="always"))


def test_what_was_admitted_since_the_release_comes_in(make_world: Callable[..., World]) -> None:
    songs = LOPSIDED_NODES["Song"].with_columns(tier=np.array([0, 1, 2, 3, 0]))
    world = make_world(node_tables={"Song": songs})
    admitted = overlay(world, ("upsert", "Song", "s5", {"properties": {"tier": 2}}))
    assert "s5" in live_slate(world, admitted, [], heard="always")
    assert "s5" not in live_slate(world, overlay(world), [], heard="always")


def test_a_new_song_may_be_excluded(lopsided: World) -> None:
    made, live = cascade(lopsided), overlay(lopsided, NEW, BY_ALBA)
    query = made.query("ana", NOW, exclude=["new", "s4"], overlay=live)
    assert query.permits(np.array([3, 5])).tolist() == [False, False]


def test_weights_are_as_set_until_they_are_learned(lopsided: World) -> None:
    made = cascade(lopsided)
    uses = {"popularity": ChannelUse(weight=0.5), "trending": ChannelUse(weight=0.0)}
    made.scene = dataclasses.replace(made.scene, channels=uses)
    assert made.weights(Fusion({}, {"popularity": 5})) == {"popularity": 0.5, "trending": 0.0}
    learned = Fusion({}, {"popularity": 5}, weights={"popularity": 3.0, "trending": 2.0})
    assert made.weights(learned) == {"popularity": 1.0, "trending": 0.0}


# ---- cold start


@pytest.fixture
def two_kinds(lopsided: World) -> Cascade:
    """Channel `one` proposes s1 and s3, `two` s2 and s3; the cold-start fusion weighs `two` more."""
    made = cascade(lopsided, heard="always")
    uses = {"one": ChannelUse(), "two": ChannelUse(), "last": ChannelUse()}
    made.scene = dataclasses.replace(made.scene, channels=uses)
    made.channels = {"one": Answers(lambda _: found(0, 2)), "two": Answers(lambda _: found(1, 2))}
    made = made.with_fusion(Fusion({}, {"one": 5}, weights={"one": 1.0}))
    made.cold_start = Fusion({}, {"one": 4, "two": 5}, weights={"one": 1.0, "two": 2.0})
    return made


def after(made: Cascade, world: World, *songs: str) -> Query:
    """The question of somebody who has played these songs since the release, and nothing before it."""
    plays = [dataclasses.replace(heard(), user_id="unknown", song_id=song) for song in songs]
    return made.query("unknown", NOW, latest=plays, overlay=overlay(world, NEW))


def test_a_listener_without_any_event_gets_the_cold_start_fusion(two_kinds: Cascade, lopsided: World) -> None:
    query = after(two_kinds, lopsided)
    assert two_kinds.fusion_for(query.listener) == (two_kinds.cold_start, {"one": 4, "two": 5})
    assert lopsided.ids(two_kinds.pool(query)[0].songs) == ["s2", "s1", "s3"]


@pytest.mark.parametrize("song", ["s1", "new"])
def test_every_song_heard_moves_the_cold_start_fusion_towards_the_usual_one(
    two_kinds: Cascade, lopsided: World, song: str
) -> None:
    one, _ = two_kinds.fusion_for(after(two_kinds, lopsided, song, song).listener)
    assert one.weights == {"one": 1.0, "two": 1.0}  # half of each
    three, quotas = two_kinds.fusion_for(after(two_kinds, lopsided, "s3", "s4", song).listener)
    assert three.weights == {"one": 1.0, "two": 0.5}
    assert quotas == {"one": 5, "two": 1}  # 4.75 and 1.25


def test_a_listener_of_five_songs_gets_the_usual_fusion(two_kinds: Cascade, lopsided: World) -> None:
    query = after(two_kinds, lopsided, "s1", "s2", "s3", "s4", "new")
    assert two_kinds.fusion_for(query.listener) == (two_kinds.fusion, {"one": 5, "two": 0, "last": 0})
    assert lopsided.ids(two_kinds.pool(query)[0].songs) == ["s1", "s3"]


def test_the_ranker_orders_nothing_for_who_has_heard_little(two_kinds: Cascade, lopsided: World) -> None:
    names = two_kinds.features.names
    two_kinds.ranker = Linear(names, np.zeros(len(names)), np.ones(len(names)), np.ones(len(names)))
    for songs, ordered in ((["s1", "s2", "s3", "s4"], False), (["s1", "s2", "s3", "s4", "new"], True)):
        query = after(two_kinds, lopsided, *songs)
        pool, _ = two_kinds.pool(query)
        assert (two_kinds.rank(query, pool).tolist() != pool.fused.tolist()) == ordered


def test_without_a_cold_start_fusion_the_usual_one_serves(two_kinds: Cascade, lopsided: World) -> None:
    two_kinds.cold_start = None
    assert lopsided.ids(two_kinds.pool(after(two_kinds, lopsided))[0].songs) == ["s1", "s3"]


# ---- quotas and the reserve


def quotas(world: World, **scene: Any) -> dict[str, int]:
    uses = {"popularity": ChannelUse(quota=7, weight=3.0), "trending": ChannelUse(quota=9, weight=1.0)}
    made = Cascade(world.release, SceneConfig(pool=40, channels=uses, **scene))
    return made.with_fusion(Fusion({}, {"trending": 20})).quotas


def test_quotas_are_fixed_by_importance_or_learned(lopsided: World) -> None:
    assert quotas(lopsided, quotas="fixed") == {"popularity": 7, "trending": 9}
    assert quotas(lopsided, quotas="importance") == {"popularity": 30, "trending": 10}
    assert quotas(lopsided, quotas="learned") == {"popularity": 0, "trending": 20}
    with pytest.raises(SettingsError, match="quotas must be one of fixed, importance, learned"):
        quotas(lopsided, quotas="some")


def test_another_fusion_leaves_the_cascade_as_it_was(lopsided: World) -> None:
    made = Cascade(lopsided.release, SceneConfig(channels={"popularity": ChannelUse(quota=7)}, quotas="learned"))
    other = made.with_fusion(Fusion({}, {"popularity": 20}))
    assert (made.quotas, other.quotas) == ({"popularity": 7}, {"popularity": 20})
    assert other.channels is made.channels


def test_until_quotas_are_learned_they_are_as_set(lopsided: World) -> None:
    made = Cascade(lopsided.release, SceneConfig(channels={"popularity": ChannelUse(quota=7)}))
    assert made.quotas == {"popularity": 7}


def test_the_reserve_takes_the_places_of_an_artist_beyond_the_scenes_count(lopsided: World) -> None:
    made = cascade(lopsided, heard="always", pool=2, per_artist=1)  # s1, s2 and s5 are by alba, s3 and s4 by brio
    pool, trace = made.pool(made.query("ana", NOW), 2)
    assert lopsided.ids(pool.songs) == ["s1", "s3"]
    assert [(stage.stage, stage.entered, stage.left) for stage in trace[1:]] == [("merge", 5, 2)]


# ---- channels that answer to a place


def placed(world: World, **scene: Any) -> Cascade:
    """Everywhere s2 and s3 by popularity; at a place s5 and s4."""
    uses = {"popularity": ChannelUse(), "lbs": ChannelUse(asked="place")}
    usual = {"heard": "always", "reranker": "mmr", "rerankers": {}, "reserve": 0.0}
    made = Cascade(world.release, SceneConfig(channels=uses, budget_ms=60_000, **{**usual, **scene}))
    made.channels = {"popularity": Answers(lambda _: found(1, 2)), "lbs": Answers(lambda _: found(4, 3))}
    return made


def test_without_a_place_its_channel_is_not_asked(lopsided: World) -> None:
    made = placed(lopsided, here=0.9)
    slate = made.slate(made.query("ana", NOW), 3)
    assert slate.pool.channels == ("popularity",)
    assert made.features.names == Cascade(lopsided.release, one_channel()).features.names


def one_channel() -> SceneConfig:
    return SceneConfig(channels={"popularity": ChannelUse()})


def test_a_place_takes_its_share_of_the_slate_and_none_where_it_is_0(lopsided: World) -> None:
    for here, wanted in ((0.0, ["s2", "s3"]), (0.5, ["s2", "s5"]), (0.9, ["s5", "s4"])):
        made = placed(lopsided, here=here)
        slate = made.slate(made.query("ana", NOW, latitude=48.2, longitude=16.4), 2)
        assert lopsided.ids(slate.songs) == wanted
        brought = {"popularity": {"s2", "s3"}, "lbs": {"s4", "s5"}}
        assert all(song in brought[slate.channel(i)] for i, song in enumerate(wanted))


def around(world: World, near: Sequence[int], **place: float) -> Slate:
    """What is popular everywhere, s2 and s3, weighs much more than what is loved `near`."""
    uses = {"popularity": ChannelUse(weight=9.0), "lbs": ChannelUse(), "trending": ChannelUse()}
    usual = {"ranker": "fused", "quotas": "fixed", "heard": "always", "reserve": 0.0, "budget_ms": 60_000}
    made = Cascade(world.release, SceneConfig(**usual, channels=uses, otherwise=("trending",), here=0.0, note="filled"))
    answers = {
        "popularity": found(1, 2),
        "lbs": found(*near) if near else Candidates.none(),
        "trending": Candidates.none(),
    }
    made.channels = {name: Answers(lambda _, answer=answer: answer) for name, answer in answers.items()}
    return made.slate(made.query("ana", NOW, **place), 3)


def test_a_scene_of_what_is_near_puts_the_place_of_the_request_first(lopsided: World) -> None:
    at_home = around(lopsided, (4, 3))
    assert lopsided.ids(at_home.songs[:2]) == ["s2", "s3"]
    assert at_home.note == ""
    there = around(lopsided, (4, 3), latitude=48.2, longitude=16.4)
    assert lopsided.ids(there.songs[:2]) == ["s5", "s4"]
    assert there.note == "filled"


def test_a_scene_of_what_is_near_says_where_nothing_is(lopsided: World) -> None:
    assert around(lopsided, ()).note == "filled"


def test_a_channel_of_a_place_keeps_its_quota_and_takes_none_of_the_others(lopsided: World) -> None:
    for quotas in ("fixed", "importance", "learned"):
        made = placed(lopsided, quotas=quotas)
        made.fusion = Fusion({}, {"popularity": 30})
        assert made.quotas["lbs"] == 100
        assert made.quotas["popularity"] == {"fixed": 100, "importance": made.scene.pool, "learned": 30}[quotas]


def test_a_slate_keeps_a_song_for_each_interest_behind_its_first_ten() -> None:
    scores = np.arange(20.0, 0, -1)
    served = np.array([0] * 16 + [1, 1, 2, -1])
    assert keeping(np.arange(16), served, scores).tolist() == [*range(14), 18, 16]
    # the first ten stay as they are, and so does the only song of an interest
    assert keeping(np.arange(10), served, scores).tolist() == list(range(10))
    only = np.array([*range(11), 16])
    assert keeping(only, served, scores).tolist() == [*range(10), 18, 16]


def filled(world: World, user: str, n: int) -> Slate:
    uses = {"social": ChannelUse(options={"circle": 0.0, "alike": 0.0}), "popularity": ChannelUse()}
    scene = SceneConfig(ranker="fused", quotas="fixed", heard="always", channels=uses, budget_ms=60_000)
    scene = dataclasses.replace(scene, otherwise=("popularity",), note="filled", interests=False, reserve=0.0)
    made = Cascade(world.release, scene)
    return made.slate(made.query(user, NOW), n)


def test_a_scene_is_filled_behind_its_own_channels_and_says_so(planted: World) -> None:
    slate = filled(planted, "you", 15)
    own = slate.pool.ranks[slate.rows][:, slate.pool.channels.index("social")] >= 0
    assert own.any()
    assert not own.all()
    assert slate.note == "filled"
    assert not np.diff(own.astype(int)).max(initial=0) > 0  # what fills stands behind


def test_a_scene_with_enough_of_its_own_is_not_filled(planted: World) -> None:
    slate = filled(planted, "you", 2)
    assert (slate.pool.ranks[slate.rows][:, slate.pool.channels.index("social")] >= 0).all()
    assert slate.note == ""


# ---- what was done a moment ago


def with_latest(world: World, **scene: Any) -> Cascade:
    """A scene that shows popular songs, but for what answers to what was just done."""
    uses = {"popularity": ChannelUse(), "latest": ChannelUse(weight=0.0, options={"neighbours": 6})}
    fixed = {"ranker": "fused", "quotas": "fixed", "interests": False, "heard": "always", "budget_ms": 60_000}
    by_score = {"mmr": UnitUse({"balance": 1.0})}
    return Cascade(world.release, SceneConfig(channels=uses, rerankers=by_score, **fixed, **scene))


def from_afar(world: World, made: Cascade) -> int:
    """Somebody of scene b has just played a song of scene a: how many of scene a are in the next slate of eight."""
    now = NOW + DAY
    played = Event(event_id="1", user_id="bob00", action="full_play", song_id="a-answer", at=now)
    shown = made.slate(made.query("bob00", now, latest=[played]), 8).songs
    return sum(song.startswith("a-") for song in world.ids(shown))


def test_a_play_moves_the_next_slate_by_what_is_reserved(planted: World) -> None:
    assert from_afar(planted, with_latest(planted, reserve=0.0)) == 0
    assert from_afar(planted, with_latest(planted, reserve=0.5)) == 4
    assert from_afar(planted, with_latest(planted)) == 1


def test_a_scene_uses_the_reserve_that_the_release_has_learned(planted: World) -> None:
    made = with_latest(planted)
    assert made.reserve == Reserve()
    made.reserve = Reserve(0.3, 99)
    assert from_afar(planted, made) == 2


def test_an_unblocked_song_that_was_never_heard_may_come_back(lopsided: World) -> None:
    latest = [
        Event(event_id=str(i), user_id="ana", action=action, song_id="s4", at=NOW + i)
        for i, action in enumerate(["block", "unblock"])
    ]
    assert slate(cascade(lopsided), lopsided, latest=latest[:1]) == ["s3", "s5"]
    assert slate(cascade(lopsided), lopsided, latest=latest) == ["s3", "s4", "s5"]


def test_channels_recall_for_each_interest_where_a_slate_has_places_for_them(lopsided: World) -> None:
    asked: list[bool] = []

    class Watched(Popularity):
        def recall(self, query: Query, k: int) -> Candidates:
            asked.append(query.leaders is not None)
            return super().recall(query, k)

    uses = {"popularity": ChannelUse()}
    scene = SceneConfig(ranker="fused", quotas="fixed", heard="always", channels=uses, budget_ms=60_000)
    for kept in (True, False):
        made = Cascade(lopsided.release, dataclasses.replace(scene, interests=kept))
        made.channels["popularity"] = Watched(lopsided.release)
        for n in (10, 11):
            made.slate(made.query("ana", NOW), n)
        made.alone(made.query("ana", NOW), 11)
    assert asked == [False, True, False, False, False, False]


def test_a_song_for_an_interest_alone_takes_none_of_the_first_ten_places(planted: World, tmp_path: Path) -> None:
    snapshot = planted.snapshot
    names = snapshot.ids["Song"].to_list()
    far = np.array([name.startswith("b-") for name in names])
    unit = np.where(far[:, None], [0.0, 1.0], [1.0, 0.0]).astype(np.float32)
    unit[[names.index("a-1"), names.index("a-2")]] = [0.0, 1.0]  # of what "you" loves, these are like the b-songs
    vectors = ModelVectors(unit, np.ones(len(unit), dtype=np.float32), np.ones(len(unit), dtype=bool), {}, {})
    release = built(tmp_path, snapshot, vectors)
    uses = {"popularity": ChannelUse()}
    scene = SceneConfig(quotas="fixed", heard="always", channels=uses, budget_ms=60_000, breadth=0.0, reserve=0.0)
    scene = dataclasses.replace(scene, pool=12)  # what comes besides comes beyond it
    made = Cascade(release, dataclasses.replace(scene, rerankers={"mmr": UnitUse(options={"balance": 1})}))

    class Apart(Popularity):
        """Songs of one interest, and, where asked for each, one of the other besides."""

        def recall(self, query: Query, k: int) -> Candidates:
            songs = [*np.flatnonzero(unit[:, 0]), *(names.index(name) for name in ("b-4", "b-5", "b-6", "b-7"))]
            songs = [*songs[-10:], *[names.index("b-9")] * (query.leaders is not None)]
            besides = int(query.leaders is not None)
            return Candidates(np.array(songs, dtype=np.int32), np.linspace(1, 0.1, len(songs)), besides=besides)

    class Backwards(Linear):
        def score(self, features: np.ndarray) -> np.ndarray:
            return np.arange(len(features), dtype=float)  # what stands last in the pool first

    made.channels["popularity"] = Apart(release)
    made.ranker = Backwards(made.features.names, *np.ones((3, len(made.features))))
    ten, more = (made.slate(made.query("you", NOW + DAY), n).songs.tolist() for n in (10, 12))
    assert len(ten) == 10
    assert more == [*ten, names.index("b-9")]


def test_a_channel_alone_is_ranked_without_what_comes_besides(lopsided: World) -> None:
    found = Candidates(np.array([2, 0, 1]), np.array([0.9, 0.5, 0.1]), besides=1)
    assert best_first(found, lopsided.snapshot).tolist() == [2, 0]


def test_a_cascade_goes_by_its_own_interests_whoever_made_the_query(planted: World) -> None:
    asked: list[object] = []

    class Watched(Popularity):
        def recall(self, query: Query, k: int) -> Candidates:
            asked.append(query.leaders)
            return super().recall(query, k)

    scene = SceneConfig(ranker="fused", heard="always", channels={"popularity": ChannelUse()}, budget_ms=60_000)
    keeps, plain = (
        Cascade(planted.release, scene),
        Cascade(planted.release, dataclasses.replace(scene, interests=False)),
    )
    keeps.channels["popularity"] = plain.channels["popularity"] = Watched(planted.release)
    plain.slate(dataclasses.replace(keeps.query("you", NOW), leaders=keeps.leaders), 12)
    keeps.slate(plain.query("you", NOW), 12)
    assert asked == [None, keeps.leaders]
