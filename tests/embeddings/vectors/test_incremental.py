import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, SHORT, edges, events, nodes

from embeddings.skipgram.song2vec import Song2Vec
from embeddings.vectors.alignment import drift
from embeddings.vectors.incremental import LastTraining, UpdateConfig, aligned, carried
from embeddings.vectors.model_vectors import ModelVectors
from graph.release import Release
from graph.snapshot.snapshot import Snapshot

Rows = list[tuple[Any, ...]]
SCENES = {"m": 9, "t": 7}
ALL = UpdateConfig(share=1.0, epochs=10, learning_rate=0.1, replay=0.0)


def session(person: str, songs: list[str], day: int) -> Rows:
    return [(person, "full_play", song, NOW - day * DAY + 240_000 * i) for i, song in enumerate(songs)]


def first_log() -> Rows:
    rng = np.random.default_rng(4)
    rows: Rows = []
    for day in range(20, 8, -1):
        for scene, count in SCENES.items():
            for person in range(5):
                rows += session(f"{scene}{person}", [f"{scene}-{s}" for s in rng.permutation(count)[:5]], day)
    return rows


def later() -> Rows:
    """The song `a-new`, which sorts before all others, among some of the scene m."""
    return [row for p in range(5) for row in session(f"m{p}", ["m-0", "a-new", "m-1", "a-new", "m-2"], 1)]


def snapshot_of(rows: Rows, *more: str) -> Snapshot:
    songs = sorted([f"{scene}-{i}" for scene, count in SCENES.items() for i in range(count)] + list(more))
    artists = [(s, "artist-m" if s[0] in "am" else "artist-t") for s in songs]
    described = edges({("PERFORMED_BY", "Song", "Artist"): artists})
    return Snapshot.of_frames({"Song": nodes(songs)}, described, events(rows))


def last(folder: Path, newer: Snapshot) -> tuple[LastTraining, ModelVectors, Snapshot]:
    """What a release made of the first log is to a newer snapshot, its vectors, and its own snapshot."""
    old = snapshot_of(first_log())
    vectors = Song2Vec.fit(old, SHORT, rng=np.random.default_rng(1))
    old.write(folder / "snapshot")
    vectors.save(folder / "vectors" / "song2vec", {"config": dataclasses.asdict(SHORT), "updates": 2})
    return LastTraining.of(Release.open(folder), "song2vec", old, newer), vectors, old


@pytest.fixture
def grown() -> Snapshot:
    return snapshot_of(first_log() + later(), "a-new")


def place(snapshot: Snapshot, *songs: str) -> list[int]:
    return [snapshot.ids["Song"].index(song) for song in songs]


def test_vectors_follow_their_songs_to_new_places_and_a_new_song_is_composed(tmp_path: Path, grown: Snapshot) -> None:
    known, vectors, old = last(tmp_path, grown)
    moved = known.vectors
    assert moved.unit[place(grown, "m-3", "t-6")] == pytest.approx(vectors.unit[place(old, "m-3", "t-6")], abs=1e-6)
    artist = moved.entities["PERFORMED_BY"][grown.ids["Artist"].index("artist-m")]
    assert moved.unit[place(grown, "a-new")[0]] == pytest.approx(artist / np.linalg.norm(artist), abs=1e-5)
    assert not moved.trained[place(grown, "a-new")[0]]


def test_fresh_are_the_events_that_the_release_has_not_learned_from(tmp_path: Path, grown: Snapshot) -> None:
    known, _, _ = last(tmp_path, grown)
    assert sorted(grown.histories.offset[known.fresh]) == list(range(len(first_log()) + 1, len(first_log()) + 26))
    assert known.updates == 2


def test_an_update_brings_a_new_song_to_those_it_was_played_with(tmp_path: Path) -> None:
    bare = snapshot_of(first_log() + later())  # nothing describes the song: all comes from the sessions
    known, _, _ = last(tmp_path, bare)
    found = Song2Vec.update(bare, known, SHORT, ALL, rng=np.random.default_rng(2)).unit
    new = found[place(bare, "a-new")[0]]
    assert min(new @ found[i] for i in place(bare, "m-0", "m-1", "m-2")) > 0.3
    assert max(new @ found[i] for i in place(bare, "t-0", "t-1", "t-2")) < 0.3


def test_what_nothing_new_touches_stays_where_it_is(tmp_path: Path, grown: Snapshot) -> None:
    known, vectors, old = last(tmp_path, grown)
    found = Song2Vec.update(grown, known, SHORT, ALL, rng=np.random.default_rng(2))
    away = [f"t-{i}" for i in range(7)]
    assert found.unit[place(grown, *away)] == pytest.approx(vectors.unit[place(old, *away)], abs=1e-6)
    near = place(grown, "m-0", "m-1")
    assert np.abs(found.unit[near] - known.vectors.unit[near]).max() > 0.01


def test_older_sessions_around_the_songs_touched_are_replayed(tmp_path: Path, grown: Snapshot) -> None:
    known, _, _ = last(tmp_path, grown)
    replaying = dataclasses.replace(ALL, replay=1.0)
    found = Song2Vec.update(grown, known, SHORT, replaying, rng=np.random.default_rng(2))
    others = place(grown, "m-5", "m-6", "m-7", "m-8")  # none of them is in a new session
    assert np.abs(found.unit[others] - known.vectors.unit[others]).max() > 0.01


def test_without_anything_new_nothing_moves(tmp_path: Path) -> None:
    same = snapshot_of(first_log())
    known, _, _ = last(tmp_path, same)
    assert Song2Vec.update(same, known, SHORT, ALL, rng=np.random.default_rng(2)) is known.vectors


def test_one_seed_gives_the_same_vectors(tmp_path: Path, grown: Snapshot) -> None:
    known, _, _ = last(tmp_path, grown)
    first, second = (Song2Vec.update(grown, known, SHORT, ALL, rng=np.random.default_rng(2)) for _ in range(2))
    assert first.unit.tobytes() == second.unit.tobytes()


def test_an_update_will_do_only_where_little_is_new_and_the_settings_are_the_same(
    tmp_path: Path, grown: Snapshot
) -> None:
    known, _, _ = last(tmp_path, grown)
    new = 25 / len(grown.histories)
    assert known.leads_to(SHORT, UpdateConfig(share=new + 0.001))
    assert not known.leads_to(SHORT, UpdateConfig(share=new - 0.001))
    assert not known.leads_to(SHORT, UpdateConfig(share=1.0, most=2))
    assert not known.leads_to(dataclasses.replace(SHORT, window=SHORT.window + 1), UpdateConfig(share=1.0))


def test_vectors_that_learned_what_is_measured_now_are_not_gone_on_from(tmp_path: Path) -> None:
    fewer = snapshot_of(first_log())
    late = fewer.view(fewer.histories.at < NOW - 9 * DAY)  # the cut has moved back
    known, _, _ = last(tmp_path, late)
    assert not known.fresh.any()
    assert not known.leads_to(SHORT, UpdateConfig(share=1.0))


def test_a_song_that_is_gone_is_gone(tmp_path: Path) -> None:
    known, vectors, old = last(tmp_path, snapshot_of(first_log()))
    fewer = Snapshot.of_frames({}, {}, events([("x", "full_play", "m-3", NOW)]))
    moved = carried(vectors, old, fewer)
    assert moved.raw == pytest.approx(vectors.raw[place(old, "m-3")], abs=1e-6)
    assert moved.entities == {}
    assert known.vectors.outputs is not None


def test_a_retraining_is_turned_to_the_last_release_and_changes_no_likeness(tmp_path: Path) -> None:
    same = snapshot_of(first_log())
    known, vectors, _ = last(tmp_path, same)
    fresh = Song2Vec.fit(same, SHORT, rng=np.random.default_rng(9))
    turned = aligned(fresh, known.vectors)
    assert drift(vectors.unit, turned.unit)["mean_cosine"] > drift(vectors.unit, fresh.unit)["mean_cosine"] + 0.2
    assert turned.unit @ turned.unit.T == pytest.approx(fresh.unit @ fresh.unit.T, abs=1e-5)
    songs, artists = (fresh.unit, turned.unit), (fresh.entities["PERFORMED_BY"], turned.entities["PERFORMED_BY"])
    assert songs[1] @ artists[1].T == pytest.approx(songs[0] @ artists[0].T, abs=1e-4)
    assert turned.outputs is not None
    assert fresh.outputs is not None
    assert turned.raw @ turned.outputs.T == pytest.approx(fresh.raw @ fresh.outputs.T, abs=1e-4)


def test_vectors_of_another_length_are_not_turned(tmp_path: Path) -> None:
    same = snapshot_of(first_log())
    known, _, _ = last(tmp_path, same)
    other = Song2Vec.fit(same, dataclasses.replace(SHORT, embedding_dim=8), rng=np.random.default_rng(9))
    assert aligned(other, known.vectors) is other


def test_skips_alone_move_nothing(tmp_path: Path) -> None:
    skipped = snapshot_of([*first_log(), ("m0", "skip", "m-1", NOW)])
    known, _, _ = last(tmp_path, skipped)
    assert known.fresh.sum() == 1
    assert Song2Vec.update(skipped, known, SHORT, ALL, rng=np.random.default_rng(2)) is known.vectors


@pytest.mark.parametrize("wrong", [{"share": 1.5}, {"replay": -0.1}, {"most": 0}, {"epochs": 0}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        UpdateConfig(**wrong)  # type: ignore[arg-type]
