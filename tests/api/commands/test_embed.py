"""`segue embed` from the outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors

EDGES = "u:1 u:2\nu:2 u:3\nu:3 u:1\nu:3 u:4\nu:1 g:rock 1 genre\nu:4 g:jazz 2 genre\n"
SMALL = ("--dim", "8", "--walks", "5", "--length", "10")


@pytest.fixture
def edges(tmp_path: Path) -> Path:
    (tmp_path / "edges.txt").write_text(EDGES)
    return tmp_path / "edges.txt"


@pytest.fixture
def embed(run_cli, edges, tmp_path):
    def run(method, *args, status=0, given=edges, output=tmp_path / "v.kv"):
        ran = run_cli("embed", method, "--edges", str(given), "--output", str(output), *SMALL, *args)
        assert ran.status == status, ran.err or ran.out
        return ran

    return run


@pytest.mark.parametrize("method", ["node2vec", "deepwalk", "metapath2vec", "eges", "song2vec"])
def test_every_method_writes_vectors_that_gensim_reads(embed, tmp_path, method):
    answer = embed(method, "--json").json
    assert list(answer) == ["method", "nodes", "edges", "walks", "tokens", "seconds", "threads", "output"]
    assert list(answer["seconds"]) == ["walks", "train"]
    vectors = KeyedVectors.load(answer["output"])
    assert sorted(vectors.index_to_key) == ["g:jazz", "g:rock", "u:1", "u:2", "u:3", "u:4"]
    assert (answer["nodes"], answer["edges"], vectors.vector_size) == (6, 6, 8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["edges.txt", "v.kv"]


def test_for_people(embed):
    assert "node2vec: 6 vectors of 8 from 6 edges written to" in embed("node2vec").out.replace("\n", " ")


def test_a_seed_gives_the_same_vectors(embed, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        embed("node2vec", "--p", "0.5", "--q", "2", "--seed", str(seed), output=tmp_path / name)
    a, b, c = (KeyedVectors.load(str(tmp_path / name)).vectors for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_gamma_0_leaves_the_entities_of_song2vec_out(embed):
    answer = embed("song2vec", "--gamma", "genre=0", "--json").json
    assert (answer["nodes"], answer["edges"]) == (4, 4)


def test_a_metapath_of_types(embed):
    answer = embed("metapath2vec", "--metapath", "u,g,u", "--json").json
    assert (answer["nodes"], answer["walks"]) == (4, 10)


def test_directed_walks_end_where_edges_do(embed):
    assert embed("deepwalk", "--directed", "--json").json["tokens"] < embed("deepwalk", "--json").json["tokens"]


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("word2vec",), "unknown method 'word2vec' (known: node2vec, deepwalk, metapath2vec, eges, song2vec)"),
        (("node2vec", "--p", "-1"), "p must be above 0 (got -1.0)"),
        (("node2vec", "--q", "0"), "q must be above 0 (got 0.0)"),
        (("node2vec", "--dim", "0"), "embedding_dim must be at least 1 (got 0)"),
        (("node2vec", "--workers", "0"), "--workers: expected 1 to 1024, got 0"),
        (("node2vec", "--seed", "-1"), "--seed: expected 0 or more, got -1"),
        (("node2vec", "--epochs", "0"), "epochs must be at least 1 (got 0)"),
        (("node2vec", "--metapath", "u,u"), "--metapath: node2vec follows none"),
        (("node2vec", "--base", "genre"), "--base: node2vec walks on all edges"),
        (("node2vec", "--gamma", "genre"), "--gamma: expected RELATION=VALUE with a value of at least 0, got 'genre'"),
        (("node2vec", "--gamma", "genre=-1"), "got 'genre=-1'"),
        (("node2vec", "--gamma", "mood=1"), "unknown relation 'mood' (known: genre)"),
        (("deepwalk", "--p", "2"), "--p, --q: deepwalk walks by weight alone"),
        (("metapath2vec", "--metapath", "u,x"), "metapath u,x: expected relations (genre) or two or more types"),
        (("eges", "--gamma", "genre=2"), "--gamma: eges learns the weight of a relation itself"),
        (("song2vec", "--base", "mood"), "unknown relation 'mood'"),
    ],
)
def test_the_callers_mistakes_are_told_in_a_line(embed, tmp_path, args, reason):
    ran = embed(*args, status=2)
    assert reason in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["edges.txt"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no such file"),
        ("", "the file is empty"),
        ("a b 0\n", "expected at least one edge with a weight above 0, got none"),
        ("a b\nc\n", "line 2: expected 2 to 4 fields, got 1"),
        ("a b\na c -3\n", "line 2: expected a weight of at least 0, got '-3'"),
    ],
)
def test_an_unusable_file_is_told_in_a_line(embed, tmp_path, text, reason):
    if text is not None:
        (tmp_path / "bad").write_text(text)
    ran = embed("node2vec", status=2, given=tmp_path / "bad")
    assert reason in ran.err
    assert "bad" in ran.err
    assert not (tmp_path / "v.kv").exists()


def test_an_output_that_cannot_be_written_is_told_before_any_work(embed, tmp_path):
    assert "cannot be written" in embed("node2vec", status=2, output=tmp_path / "no" / "v.kv", given="missing").err
    assert "got a folder" in embed("node2vec", status=2, output=tmp_path).err


def test_ctrl_c_leaves_nothing(edges, tmp_path):
    command = [sys.executable, "-m", "api", "embed", "node2vec", "--edges", str(edges), "--output", "v.kv"]
    process = subprocess.Popen(
        [*command, "--walks", "2000000"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ | ROOTED
    )
    limit = time.monotonic() + 60
    while not list(tmp_path.glob(".v.kv.*")) and time.monotonic() < limit:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert told.strip().splitlines()[-1] == "segue: interrupted"  # what comes before says how far it was
    assert [p.name for p in tmp_path.iterdir()] == ["edges.txt"]


ROOTED = {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
