from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embeddings.skipgram.edges import Edges
from embeddings.skipgram.metapath2vec import Metapath2Vec, Metapath2VecConfig, metapath_walks
from embeddings.skipgram.skipgram import SkipGramConfig
from embeddings.skipgram.walks import WalkConfig
from graph.errors import InvalidInput
from graph.snapshot.arrays import Array

TEXT = "u:1 s:1 1 heard\nu:2 s:1 1 heard\nu:2 s:2 3 heard\ns:1 a:1 1 by\ns:2 a:1 1 by\nu:1 lone 1 knows\n"


@pytest.fixture
def music(tmp_path: Path) -> Edges:
    (tmp_path / "e").write_text(TEXT)
    return Edges.read(tmp_path / "e")


def walks(edges: Edges, *path: str, length: int = 7, **more: dict[str, float]) -> Array:
    config = Metapath2VecConfig(path, WalkConfig(walks=300, length=length), **more)
    return np.concatenate(list(metapath_walks(edges, config, seed=1, threads=1)))


def kinds(edges: Edges, found: Array) -> set[str]:
    return {"".join(edges.ids[i][0] for i in walk if i >= 0) for walk in found.tolist()}


def test_types_that_close_go_round(music: Edges) -> None:
    assert kinds(music, walks(music, "u", "s", "a", "s", "u")) == {"usasusa"}


def test_types_that_do_not_close_are_walked_once(music: Edges) -> None:
    assert kinds(music, walks(music, "u", "s", "a")) == {"usa"}


def test_relations_go_round_in_either_direction(music: Edges) -> None:
    assert kinds(music, walks(music, "heard", "by", length=3)) == {"usa", "su"}


def test_without_a_metapath_relations_share_alike(music: Edges) -> None:
    found = walks(music, length=2)
    after = found[found[:, 0] == music.ids.index("u:1"), 1]
    assert (after == music.ids.index("lone")).mean() == pytest.approx(0.5, abs=0.1)
    rarely = walks(music, length=2, gamma={"knows": 0.25})
    after = rarely[rarely[:, 0] == music.ids.index("u:1"), 1]
    assert (after == music.ids.index("lone")).mean() == pytest.approx(0.2, abs=0.08)


@pytest.mark.parametrize("path", [("u", "x"), ("u",), ("",)])
def test_unknown_names_are_told_with_the_known_ones(music: Edges, path: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"expected relations \(by, heard, knows\) or two or more types of nodes"):
        walks(music, *path)


def test_a_path_without_edges_is_told(music: Edges) -> None:
    with pytest.raises(InvalidInput, match="metapath u,a: no edge follows its first step"):
        walks(music, "u", "a")


def test_vectors_of_all_that_walks_meet(music: Edges) -> None:
    config = Metapath2VecConfig(("u", "s", "u"), WalkConfig(walks=5), SkipGramConfig(embedding_dim=4))
    found = Metapath2Vec.fit_edges(music, config, rng=np.random.default_rng(0))
    assert found.ids == ["s:1", "s:2", "u:1", "u:2"]


def test_p_and_q_have_no_part_in_it(music: Edges) -> None:
    config = Metapath2VecConfig(walks=WalkConfig(p=2))
    with pytest.raises(ValueError, match=r"metapaths know no p and q \(got p 2"):
        Metapath2Vec.fit_edges(music, config, rng=np.random.default_rng(0))
