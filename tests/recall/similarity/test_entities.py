from pathlib import Path
from typing import Any

import numpy as np
import pytest
from segue_test_worlds import World, built, edges, lopsided_snapshot, lopsided_vectors

from embeddings.vectors.model_vectors import ModelVectors
from graph.errors import InvalidInput
from recall.similarity.entities import EntitySimilarity
from recall.similarity.sources import Sources

MORE = edges(
    {
        ("HAS_TAG", "Artist", "Tag"): [("alba", "calm", 2.0), ("ciro", "calm", 1.0), ("brio", "loud", 1.0)],
        ("SIMILAR_TO", "Artist", "Artist"): [("alba", "ciro", 0.4), ("dora", "ciro", 0.8)],
        ("PERFORMED_BY", "Song", "Artist"): [("s1", "alba"), ("s2", "ciro"), ("s3", "brio"), ("s4", "brio")],
        ("HAS_TAG", "Song", "Tag"): [("s1", "calm"), ("s5", "calm"), ("s5", "soft"), ("s1", "soft"), ("s4", "loud")],
    }
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Alba is tagged calm like ciro and said to be half as similar to it as dora is; brio is loud.

    Songs lie as in the lopsided world, artists at 180 (alba), 90, 135 and 0 degrees.
    """
    snapshot = lopsided_snapshot(edge_tables=MORE)
    artists = np.array([[-1, 0], [0, 2], [-1, 1], [1, 0]], dtype=np.float32)
    lopsided = lopsided_vectors(lopsided_snapshot())
    vectors = ModelVectors.of(snapshot, lopsided.unit, lopsided.trained, {"PERFORMED_BY": artists}, {})
    return World(built(tmp_path, snapshot, vectors, ["item_knn"]), vectors)


def near(world: World, label: str, id_: str, n: int = 10, **more: Any) -> dict[str, float]:
    ids = world.snapshot.ids[label]
    found = EntitySimilarity(Sources(world.release), label).nearest(ids.index(id_), n, **more).found
    return dict(zip([ids[i] for i in found.songs.tolist()], np.round(found.scores, 6).tolist(), strict=True))


def test_artists_share_tags_and_genres_or_are_said_to_be_similar(world: World) -> None:
    found = near(world, "Artist", "ciro", by="attributes")
    assert found["dora"] == 1  # has no tag; the strongest SIMILAR_TO, from it to ciro
    assert found["alba"] > found["brio"] > 0  # s2 of ciro is rock like brio's
    only = near(world, "Artist", "ciro", by="attributes", gamma={"HAS_GENRE": 0.0})
    assert "brio" not in only


def test_artists_are_near_whose_songs_are_heard_by_the_same(world: World) -> None:
    # ana heard s1 of alba and s2 of ciro, cy s2 and s4 of brio
    lists = Sources(world.release).lists
    assert lists is not None
    weight = dict(zip(lists.songs[1].tolist(), lists.weights[1].tolist(), strict=True))
    found = near(world, "Artist", "ciro", by="item_knn")
    assert found == {
        "alba": pytest.approx(weight[0], abs=1e-6),
        "brio": pytest.approx(weight[3] / 2**0.5, abs=1e-6),  # of its two songs
    }


def test_a_model_compares_by_its_vectors_of_entities_else_by_those_of_their_songs(world: World) -> None:
    assert near(world, "Artist", "brio", by="song2vec") == {"ciro": pytest.approx(0.5**0.5, abs=1e-6)}
    vectors = EntitySimilarity(Sources(world.release), "Tag")._vectors["song2vec"]
    loud = world.snapshot.ids["Tag"].index("loud")
    assert vectors[loud] == pytest.approx([0.5, 3**0.5 / 2])


@pytest.mark.parametrize(("label", "id_", "first"), [("Tag", "calm", "soft"), ("Genre", "folk", "rock")])
def test_tags_and_genres_are_near_that_the_same_songs_have(world: World, label: str, id_: str, first: str) -> None:
    for by in ("attributes", "fusion"):
        found = near(world, label, id_, by=by)
        assert next(iter(found)) == first
        assert id_ not in found


def test_fusion_takes_all_together(world: World) -> None:
    found = near(world, "Artist", "ciro")
    assert list(found) == ["alba", "brio", "dora"]
    # of three sources one knows dora, and nobody has heard it: it is said to be similar
    assert found["dora"] == pytest.approx(1 / 3, abs=1e-6)
    assert list(near(world, "Artist", "ciro", 2)) == ["alba", "brio"]


def test_a_wrong_question_is_told(world: World) -> None:
    with pytest.raises(InvalidInput, match="cannot compare by 'smell'"):
        near(world, "Artist", "ciro", by="smell")
    with pytest.raises(InvalidInput, match=r"unknown relation 'MOOD' \(known: HAS_GENRE, HAS_TAG\)"):
        near(world, "Artist", "ciro", gamma={"MOOD": 1.0})
    with pytest.raises(InvalidInput, match=r"unknown relation 'HAS_TAG' \(known: none\)"):
        near(world, "Tag", "calm", gamma={"HAS_TAG": 1.0})
    with pytest.raises(ValueError, match="label must be one of Artist, Tag, Genre"):
        EntitySimilarity(Sources(world.release), "Place")
