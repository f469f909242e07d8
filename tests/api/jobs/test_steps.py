import os
from pathlib import Path

import pytest

from api.jobs.steps import Build, Step, chain


def step(name: str = "embed", depends: object = 1, folders: tuple[str, ...] = ("vectors",)) -> Step:
    return Step(name, folders, depends, lambda _build: {})


@pytest.fixture
def build(tmp_path: Path) -> Build:
    made = Build(tmp_path / ".building")
    made.begin({"offset": 3})
    return made


def put(folder: Path, name: str, text: str = "x") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_a_finished_step_is_fresh_for_exactly_its_fingerprint_even_after_a_kill(build: Build) -> None:
    build.finish("embed", "abc", {"metric": 1})
    again = Build(build.folder)
    assert again.fresh("embed", "abc")
    assert not again.fresh("embed", "abd")
    assert not again.fresh("recall", "abc")
    assert (again.plan, again.notes("embed"), again.notes("recall")) == ({"offset": 3}, {"metric": 1}, {})


def test_an_unfinished_step_starts_from_nothing(build: Build) -> None:
    put(build.folder, "vectors/half.bin")
    put(build.folder, "snapshot/whole.bin")
    build.finish("embed", "abc", {})
    build.clear(step())
    assert not (build.folder / "vectors").exists()
    assert (build.folder / "snapshot" / "whole.bin").exists()
    assert not Build(build.folder).fresh("embed", "abc")


def test_what_the_parent_made_from_the_same_is_linked_not_copied(build: Build, tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    put(parent, "vectors/song2vec.bin", "learned")
    put(parent, "recall/x.bin")
    manifest = {
        "steps": {"embed": {"fingerprint": "abc", "notes": {"n": 1}}},
        "files": {"vectors/song2vec.bin": {}, "recall/x.bin": {}},
    }
    assert build.adopt(step(), "abc", parent, manifest)
    assert os.path.samefile(build.folder / "vectors" / "song2vec.bin", parent / "vectors" / "song2vec.bin")
    assert not (build.folder / "recall").exists()
    assert build.fresh("embed", "abc")
    assert build.notes("embed") == {"n": 1}


def test_nothing_is_adopted_from_another_fingerprint_or_from_nobody(build: Build, tmp_path: Path) -> None:
    manifest = {"steps": {"embed": {"fingerprint": "abc"}}, "files": {}}
    assert not build.adopt(step(), "xyz", tmp_path, manifest)
    assert not build.adopt(step(), "abc", None, manifest)
    assert not build.adopt(step("recall"), "abc", tmp_path, manifest)


def test_taking_a_build_up_again_keeps_its_steps_and_drops_the_manifest_of_a_killed_sealing(build: Build) -> None:
    build.finish("embed", "abc", {})
    put(build.folder, "manifest.json", "{}")
    again = Build(build.folder)
    again.begin({"offset": 4})
    assert os.listdir(build.folder) == ["steps.json"]
    assert (Build(build.folder).plan, again.fresh("embed", "abc")) == ({"offset": 4}, True)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "null", '{"steps": []}'])
def test_a_damaged_state_means_that_nothing_is_done_yet(tmp_path: Path, text: str) -> None:
    put(tmp_path, "steps.json", text)
    build = Build(tmp_path)
    assert (build.plan, build.state) == ({}, {})


def test_a_fingerprint_is_of_inputs_settings_seed_and_code() -> None:
    usual = chain("before", step(), 0, "1.0")
    others = {
        chain("other", step(), 0, "1.0"),
        chain("before", step(depends=2), 0, "1.0"),
        chain("before", step("recall"), 0, "1.0"),
        chain("before", step(), 1, "1.0"),
        chain("before", step(), 0, "1.1"),
    }
    assert len(others | {usual}) == 6
    assert chain("before", step(depends={"a": 1, "b": 2}), 0, "1") == chain(
        "before", step(depends={"b": 2, "a": 1}), 0, "1"
    )
