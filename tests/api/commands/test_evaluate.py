"""`segue evaluate` of a graph network, from the outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

SHORT = ("--set", "embedding_dim=8", "--set", "training.learning_rate=0.02", "--set", "training.epochs=40")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of 12 listeners and 10 songs: everybody has 6 songs of theirs in train, 2 in valid and 2 in test."""
    made, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(3)
    lines: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for user in range(24):
        songs = [str(10 * (user // 12) + song) for song in rng.permutation(10)]
        for name, part in zip(lines, (songs[:6], songs[6:8], songs[8:]), strict=True):
            lines[name].append(" ".join([str(user), *part]))
    for name, rows in lines.items():
        (made / f"{name}.txt").write_text("\n".join(rows) + "\n")
    return made


@pytest.mark.parametrize("model", ["lightgcn", "lightgcnpp"])
def test_a_graph_network_finds_what_is_left_of_a_listener_s_scene(run_cli, folder, model):
    ran = run_cli("evaluate", model, "--data", f"lightgcn:{folder}", "--protocol", "given", "-k", "4", *SHORT, "--json")
    assert ran.status == 0, ran.err
    answer = ran.json
    assert list(answer) == ["model", "data", "protocol", "users", "items", "metrics", "seconds", "config"]
    assert (answer["users"], answer["items"]) == (24, 20)
    # the four songs of the scene that are not in training are two of valid and two of test
    assert answer["metrics"]["recall@4"] == 1
    assert answer["config"]["config"]["embedding_dim"] == 8
    # the validation part was looked at: every fifth epoch
    assert answer["config"]["best"] > 0
    assert answer["config"]["best_epoch"] % 5 == 0


def test_without_a_validation_part_all_epochs_are_trained(run_cli, folder, tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.txt").write_text((folder / f"{name}.txt").read_text())
    few = ("--set", "training.epochs=3", "--set", "embedding_dim=4")
    data = ("--data", f"lightgcn:{tmp_path}", "--protocol", "given")
    config = run_cli("evaluate", "lightgcn", *data, *few, "--json").json["config"]
    assert (config["epochs"], config["best_epoch"]) == (3, 3)
    assert "best" not in config


def test_an_unknown_option_is_named(run_cli, folder):
    data = ("--data", f"lightgcn:{folder}", "--protocol", "given")
    ran = run_cli("evaluate", "lightgcn", *data, "--set", "gamma=1")
    assert ran.status == 2
    assert "model lightgcn: unknown option 'gamma'" in ran.err


def test_a_device_that_is_not_there_is_named(run_cli, folder):
    data = ("--data", f"lightgcn:{folder}", "--protocol", "given")
    ran = run_cli("evaluate", "lightgcn", *data, "--set", "device=cuda:99")
    assert ran.status == 2
    assert "--set device: torch has no 'cuda:99' here (known: cpu" in ran.err


def test_the_seed_decides(run_cli, folder):
    few = ("--set", "training.epochs=1", "--set", "embedding_dim=4")
    data = ("--data", f"lightgcn:{folder}", "--protocol", "given")
    found = [run_cli("evaluate", "simgcl", *data, *few, "--seed", s, "--json").json["metrics"] for s in ("1", "1", "2")]
    assert found[0] == found[1] != found[2]
