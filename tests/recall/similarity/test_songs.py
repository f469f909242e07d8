from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from segue_test_worlds import NOW, World, built, edges, events, nodes

from embeddings.vectors.model_vectors import ModelVectors
from graph.errors import InvalidInput, NotInRelease
from graph.log.events import JournalEntry
from graph.snapshot.snapshot import Snapshot
from recall.live.counters import Counters
from recall.live.edits import Edits, NewSongs
from recall.live.live import Overlay
from recall.similarity.songs import SongSimilarity
from recall.similarity.sources import fused, support

# ---- the lopsided world: s1 at 0 degrees, s3 at 30, s4 at 60, s2 at 90, s5 at 180; s4 is a cover of s1


def near(world: World, song: str, n: int = 10, live: Overlay | None = None, **more: Any) -> dict[str, float]:
    """The nearest songs by id, the nearest first; scores to six decimals."""
    live = live or Overlay.of(world.snapshot)
    found = SongSimilarity(world.release).nearest(live.edits.song(song), n, live, **more).found
    assert np.isfinite(found.scores).all()
    assert (np.diff(found.scores) <= 0).all()
    return dict(zip([live.song_id(s) for s in found.songs.tolist()], np.round(found.scores, 6).tolist(), strict=True))


def test_one_model_answers_by_its_cosines_without_other_ids_of_the_song(lopsided: World) -> None:
    assert near(lopsided, "s1", by="song2vec") == {"s3": 0.866025, "s2": 0, "s5": -1}


def test_a_recording_is_in_a_list_once(lopsided: World) -> None:
    # s4 at 60 degrees is as near to s3 as s1 at 0; of the two, which are one recording, the first stays
    assert list(near(lopsided, "s2", by="song2vec")) == ["s4", "s3", "s5"]
    assert list(near(lopsided, "s2", 1, by="song2vec")) == ["s4"]


def test_attributes_answer_by_what_two_songs_have_in_common(lopsided: World) -> None:
    # s1 and s2: artist 3, genre folk (s2 is rock too), album .5 and language .3; s5 has no album and no language
    found = near(lopsided, "s1", by="attributes")
    assert list(found) == ["s2", "s5"]
    assert near(lopsided, "s1", by="attributes", gamma={"PERFORMED_BY": 0, "ON_ALBUM": 9})["s2"] > 0.9


def test_co_listening_answers_by_its_lists(lopsided: World) -> None:
    lists = SongSimilarity(lopsided.release).sources.lists
    assert lists is not None
    first = int(lists.songs[lopsided.song("s2")][0])
    found = near(lopsided, "s2", by="item_knn")
    assert next(iter(found.items())) == (lopsided.ids([first])[0], round(float(lists.weights[1][0]), 6))


def test_what_a_release_does_not_hold_is_named_with_the_way_to_get_it(lopsided: World, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"cannot compare by 'smell' \(known: fusion, attributes, item_knn, "):
        near(lopsided, "s1", by="smell")
    bare = World(built(tmp_path, lopsided.snapshot, lopsided.vectors, ["popularity"]), lopsided.vectors)
    with pytest.raises(NotInRelease, match=r"no vectors of 'lightgcn': enable \[embed.lightgcn\] and refresh"):
        near(bare, "s1", by="lightgcn")
    with pytest.raises(NotInRelease, match="no lists of 'item_knn'"):
        near(bare, "s1", by="item_knn")
    assert near(bare, "s1")


# ---- gamma


@pytest.mark.parametrize("by", ["song2vec", "attributes", "fusion"])
def test_a_gamma_changes_what_it_names_alone_and_the_answers_gamma_asks_for_the_same_again(
    lopsided: World, by: str
) -> None:
    similarity, live = SongSimilarity(lopsided.release), Overlay.of(lopsided.snapshot)
    plain, other = (similarity.nearest(3, 5, live, by, gamma) for gamma in ({}, {"PERFORMED_BY": 0.25}))
    assert {**plain.gamma, "PERFORMED_BY": 0.25} == other.gamma
    assert plain.found.scores.tolist() != other.found.scores.tolist()
    for one in (plain, other):
        again = similarity.nearest(3, 5, live, by, one.gamma)
        assert (again.found.songs.tolist(), again.found.scores.tolist()) == (
            one.found.songs.tolist(),
            one.found.scores.tolist(),
        )
        assert again.gamma == one.gamma


def test_gammas_that_are_not_named_are_told_as_they_are(lopsided: World) -> None:
    similarity, live = SongSimilarity(lopsided.release), Overlay.of(lopsided.snapshot)
    assert similarity.nearest(0, 5, live, "song2vec").gamma == {"PERFORMED_BY": 1.0}
    assert similarity.nearest(0, 5, live, "attributes", {"HAS_TAG": 2.0}).gamma == {
        "PERFORMED_BY": 3.0, "HAS_GENRE": 1.0, "HAS_TAG": 2.0, "ON_ALBUM": 0.5, "LANGUAGE": 0.3,
        "RELATED:film.music": 1.0,
    }  # fmt: skip
    assert similarity.nearest(0, 5, live, "fusion").gamma == {}


@pytest.mark.parametrize("by", ["song2vec", "attributes", "item_knn", "fusion"])
def test_a_gamma_of_no_relation_is_named(lopsided: World, by: str) -> None:
    with pytest.raises(InvalidInput, match="gamma for unknown relation 'MOOD'"):
        near(lopsided, "s1", by=by, gamma={"MOOD": 1.0})


# ---- songs that came later


def later(world: World, *lines: tuple[str, str, str, dict[str, Any]]) -> Overlay:
    edits = Edits(world.snapshot, 0).after(JournalEntry(i, *line) for i, line in enumerate(lines, start=1))
    return Overlay(Counters(world.snapshot), edits, NewSongs(edits, world.vectors))


BY_BRIO = ("relations", "Song", "new", {"artists": ["brio"], "genres": ["rock"]})


# brio lies where s2 does; s3 and s4 are by brio, s3 has no tag that would set it apart, s4 lies nearer
@pytest.mark.parametrize(("by", "first"), [("song2vec", "s2"), ("attributes", "s3"), ("fusion", "s4")])
def test_a_new_song_is_near_those_that_are_described_like_it(lopsided: World, by: str, first: str) -> None:
    live = later(lopsided, BY_BRIO)
    assert next(iter(near(lopsided, "new", live=live, by=by))) == first
    assert "new" in near(lopsided, "s3", live=live, by=by)


def test_what_was_deleted_is_near_nothing(lopsided: World) -> None:
    live = later(lopsided, ("delete", "Song", "s2", {}), BY_BRIO, ("delete", "Song", "new", {}))
    for by in ("song2vec", "attributes", "item_knn", "fusion"):
        assert not {"s2", "new"} & near(lopsided, "s3", live=live, by=by).keys()


# ---- support


def test_support_is_one_half_at_five_listeners_of_the_less_known() -> None:
    assert support(1000, np.array([0, 5, 15, 95])).tolist() == [0, 0.5, 0.75, 0.95]
    assert support(5, np.array([5, 1000])).tolist() == [0.5, 0.5]


def test_fusion_is_the_mean_of_overlap_and_believed_shares_of_the_nearest() -> None:
    # the first is hidden: of the others the highest cosine is .4, so .4 and .2 are 1 and .5 of it
    found = fused(np.array([0, 0.3, 0.8]), [np.array([1, 0.4, 0.2])], np.array([0, 0.6, 0.1]), np.array([0]))
    assert found.tolist() == pytest.approx([0, (0.3 + 1 * 0.6) / 2, (0.8 + 0.5 * 0.8) / 2])
    assert fused(np.array([0.5]), [np.array([-1.0])], np.ones(1), np.array([], dtype=int)).tolist() == [0.25]


@pytest.fixture
def crowd(tmp_path: Path) -> Callable[[Mapping[str, str]], World]:
    """Makes a world in which 40 hear `known` and `other`, one hears `rare`; `rare` has the vector of `known`."""

    def make(tags: Mapping[str, str]) -> World:
        songs = ["known", "other", "rare", "unheard"]
        heard = [(f"u{i:02}", "full_play", song, NOW) for i in range(40) for song in ("known", "other")]
        log = events([*heard, ("u00", "full_play", "rare", NOW)])
        related = edges({("HAS_TAG", "Song", "Tag"): list(tags.items())})
        snapshot = Snapshot.of_frames({"Song": nodes(songs)}, related, log)
        raw = np.array([[1, 0], [0.8, 0.6], [1, 0], [1, 0]], dtype=np.float32)
        vectors = ModelVectors.of(snapshot, raw, np.ones(4, dtype=bool), {}, {})
        return World(built(tmp_path, snapshot, vectors, ["item_knn"]), vectors)

    return make


def test_a_song_known_by_one_is_not_found_before_one_known_by_many(crowd: Callable[..., World]) -> None:
    world = crowd({})
    assert next(iter(near(world, "known", by="song2vec"))) == "rare"
    found = near(world, "known")
    assert list(found) == ["other", "rare"]  # what nobody has heard is near by nothing that anybody did
    # of three sources, attributes tell nothing; the others by the share of the nearest, and 40 of 45 or 1 of 6
    assert found["other"] == pytest.approx((0 + 0.8 * 40 / 45 + 40 / 45) / 3, abs=1e-6)


def test_unless_the_graph_says_so(crowd: Callable[..., World]) -> None:
    world = crowd({"known": "polka", "rare": "polka", "unheard": "polka"})
    assert list(near(world, "known")) == ["rare", "unheard", "other"]
