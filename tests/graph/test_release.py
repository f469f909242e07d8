import dataclasses
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from segue_test_worlds import lopsided_snapshot

from graph.errors import Busy, CorruptRelease, NotWritable, ReleaseNotFound
from graph.release import Release, Releases, release_digest
from graph.snapshot.arrays import write_arrays

MANIFEST: dict[str, Any] = {
    "seed": 7,
    "settings": {"scenes": {"radio": {"n": 10}}},
    "events": {"log_id": "log", "offset": 9},
    "graph": {"counts": {"labels": {"Song": 5}}},
    "metrics": {"ndcg@10": 0.5},
    "as_of": 1,
}


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(tmp_path / "releases")


def build(releases: Releases, value: int) -> None:
    lopsided_snapshot().write(releases.building / "snapshot")
    write_arrays(releases.building / "vectors" / "song2vec", {"unit": np.array([value])})


def sealed(releases: Releases, value: int = 1, day: int = 1, **manifest: Any) -> str:
    build(releases, value)
    return releases.seal({**MANIFEST, **manifest}, now=datetime(2025, 6, day, 12, tzinfo=UTC))


def published(releases: Releases, value: int = 1, day: int = 1, **manifest: Any) -> str:
    id_ = sealed(releases, value, day, **manifest)
    releases.activate(id_)
    return id_


def test_a_published_release_is_the_one_that_is_served(releases: Releases) -> None:
    id_ = published(releases)
    release = releases.open()
    assert id_.startswith("20250601T120000Z-")
    assert (release.id, release.seed, release.offset, release.log_id) == (id_, 7, 9, "log")
    assert release.snapshot.songs == 5
    assert release.arrays("vectors/song2vec")[0]["unit"].tolist() == [1]
    assert release.has("vectors/song2vec")
    assert not release.has("vectors/other")


def test_a_half_written_build_is_never_visible(releases: Releases) -> None:
    build(releases, 1)
    assert (releases.ids(), releases.current()) == ([], None)
    with pytest.raises(ReleaseNotFound, match=r"no release in .* yet"):
        releases.open()
    first = published(releases)
    build(releases, 2)
    assert (releases.ids(), releases.current()) == ([first], first)


def test_a_sealed_release_is_not_served_before_it_is_activated(releases: Releases) -> None:
    first = published(releases)
    second = sealed(releases, 2, day=2)
    assert releases.ids() == [first, second]
    assert releases.open().id == first


def test_the_digest_is_of_files_and_settings_never_of_times(releases: Releases) -> None:
    one = sealed(releases, day=1, as_of=1, metrics={})
    same = sealed(releases, day=2, as_of=2, metrics={"ndcg@10": 1})
    other = sealed(releases, 2, day=3)
    settings = sealed(releases, day=4, settings={})
    digests = [i.split("-")[1] for i in (one, same, other, settings)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert release_digest({"f": {"sha256": "1", "bytes": 3}}, {}) == release_digest({"f": {"sha256": "1"}}, {})


def test_verify_finds_every_flipped_byte(releases: Releases) -> None:
    id_ = published(releases)
    assert releases.verify(id_) == []
    for name in ("snapshot/snapshot.bin", "vectors/song2vec.json"):
        file = releases.path(id_) / name
        good = file.read_bytes()
        file.write_bytes(bytes([good[0] ^ 1]) + good[1:])
        assert releases.verify(id_) == [f"{name}: differs from its checksum"]
        file.write_bytes(good)


def test_verify_finds_missing_and_foreign_files_and_changed_checksums(releases: Releases) -> None:
    id_ = published(releases)
    (releases.path(id_) / "vectors" / "song2vec.bin").unlink()
    (releases.path(id_) / "extra").touch()
    assert releases.verify(id_) == ["vectors/song2vec.bin: missing", "extra: not in the manifest"]
    manifest = releases.path(id_) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"n": 10', '"n": 11'))
    assert releases.verify(id_)[0] == "manifest.json: its digest is not that of its checksums and settings"


def test_a_damaged_release_is_not_activated(releases: Releases) -> None:
    first, second = published(releases), sealed(releases, 2, day=2)
    (releases.path(second) / "vectors" / "song2vec.bin").write_bytes(b"x" * 8)
    with pytest.raises(CorruptRelease, match="differs from its checksum"):
        releases.activate(second)
    assert releases.current() == first


def test_opening_checks_sizes(releases: Releases) -> None:
    id_ = published(releases)
    file = releases.path(id_) / "vectors" / "song2vec.bin"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(CorruptRelease, match=r"9 bytes \(expected 8\)"):
        releases.open()
    file.unlink()
    with pytest.raises(CorruptRelease, match="missing"):
        releases.open()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 99}', "{"])
def test_a_damaged_manifest_is_a_corrupt_release(releases: Releases, text: str) -> None:
    id_ = published(releases)
    (releases.path(id_) / "manifest.json").write_text(text)
    with pytest.raises(CorruptRelease, match=r"manifest\.json"):
        releases.open()


def test_previous_is_the_one_that_was_served_before(releases: Releases) -> None:
    first = published(releases)
    with pytest.raises(ReleaseNotFound, match="no release before"):
        releases.previous()
    second, third = published(releases, 2, day=2), published(releases, 3, day=3)
    assert releases.previous() == second
    releases.activate(second)  # a rollback
    assert releases.previous() == first  # and the next goes further back, not to the third again
    releases.activate(first)
    with pytest.raises(ReleaseNotFound, match="no release before"):
        releases.previous()
    releases.activate(third)
    shutil.rmtree(releases.path(second))
    assert releases.previous() == first


def test_a_release_after_a_rollback_goes_back_to_the_one_it_was_made_after(releases: Releases) -> None:
    first, second = published(releases), published(releases, 2, day=2)
    releases.activate(first)
    third = published(releases, 3, day=3, parent=first)
    assert releases.previous() == first
    (releases.root / "history").unlink()
    assert releases.previous() == first
    shutil.rmtree(releases.path(first))
    with pytest.raises(ReleaseNotFound, match=f"no release before {third}"):
        releases.previous()
    assert releases.ids() == [second, third]


def test_prune_keeps_the_newest_and_the_current_one(releases: Releases) -> None:
    ids = [published(releases, day, day) for day in (1, 2, 3, 4)]
    releases.activate(ids[0])
    assert releases.prune(2) == [ids[1]]
    assert releases.ids() == [ids[0], ids[2], ids[3]]
    with pytest.raises(ValueError, match=r"keep must be at least 1 \(got 0\)"):
        releases.prune(0)


def test_releases_that_were_kept_back_do_not_count_when_pruning(releases: Releases) -> None:
    first, second = published(releases, 1, 1), published(releases, 2, 2)
    sealed(releases, 3, day=3, publish=False)
    served = published(releases, 4, 4)
    late = [sealed(releases, day, day, publish=False) for day in (5, 6)]
    assert [i[:8] for i in releases.prune(2)] == ["20250603", first[:8]]
    assert releases.ids() == [second, served, *late]


def test_one_that_was_kept_back_and_activated_by_hand_counts(releases: Releases) -> None:
    by_hand, last = published(releases, publish=False), published(releases, 2, day=2)
    assert (releases.prune(2), releases.prune(1)) == ([], [by_hand])
    assert releases.ids() == [last]


def test_an_opened_release_goes_on_after_it_was_pruned(releases: Releases) -> None:
    first = published(releases)
    opened = releases.open()
    published(releases, 2, day=2)
    assert releases.prune(1) == [first]
    assert not opened.path.exists()
    assert opened.arrays("vectors/song2vec")[0]["unit"].tolist() == [1]
    assert opened.snapshot.ids["Song"].to_list() == ["s1", "s2", "s3", "s4", "s5"]
    assert opened.snapshot.relation("LISTENED").of(1).tolist() == [2, 3]


def test_prune_finishes_what_a_killed_one_left(releases: Releases) -> None:
    published(releases)
    grave = releases.root / ".pruned-20250101T000000Z-abc"
    grave.mkdir()
    assert releases.prune(5) == []
    assert not grave.exists()


def test_an_activation_that_was_cut_short_is_known(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    first = published(releases)
    assert releases.interrupted() is None
    second = sealed(releases, 2, day=2)
    assert releases.interrupted() == second
    calls = []

    def killed(descriptor: int) -> None:
        calls.append(descriptor)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        releases.activate(second)
    monkeypatch.undo()
    assert releases.current() == first
    assert releases.interrupted() == second
    releases.activate(second)
    assert (releases.current(), releases.interrupted()) == (second, None)


def test_cut_between_current_and_history_it_is_activated_once_more(releases: Releases) -> None:
    first, second = published(releases), published(releases, 2, day=2)
    history = releases.root / "history"
    history.write_text(f"{first}\n")  # as if killed just before the last line was written
    assert (releases.current(), releases.interrupted()) == (second, second)
    releases.activate(second)
    assert (releases.previous(), releases.interrupted()) == (first, None)


def test_a_release_that_was_kept_back_is_not_an_interrupted_one(releases: Releases) -> None:
    sealed(releases, publish=False)
    assert releases.interrupted() is None


def test_the_newest_that_was_kept_back_is_known_unless_it_is_served(releases: Releases) -> None:
    published(releases)
    assert releases.kept_back() is None
    old, new = (sealed(releases, day, day, publish=False) for day in (2, 3))
    assert releases.kept_back() == new
    releases.activate(new)
    assert releases.kept_back() == old


def test_a_release_kept_back_for_another_parent_says_nothing_of_the_current_one(releases: Releases) -> None:
    first = published(releases)
    assert releases.newer_kept_back() is None
    held = sealed(releases, 2, day=2, publish=False, parent=first, reason="worse")
    assert releases.newer_kept_back() == (held, "worse")
    published(releases, 3, day=3, parent=first)
    assert releases.newer_kept_back() is None
    releases.activate(held)
    assert releases.newer_kept_back() is None


def test_a_damaged_manifest_does_not_hide_what_is_kept_back(releases: Releases) -> None:
    held = sealed(releases, 2, day=2, publish=False, parent=published(releases), reason="worse")
    (releases.path(sealed(releases, 3, day=3)) / "manifest.json").write_text("{")
    assert releases.newer_kept_back() == (held, "worse")


def test_what_a_build_knows_of_itself_is_no_part_of_the_release(releases: Releases) -> None:
    build(releases, 1)
    digest = sealed(releases).split("-")[1]
    build(releases, 1)
    (releases.building / "steps.json").write_text("{}")
    (releases.building / ".steps.json.17.tmp").write_text("{")
    again = published(releases, day=2)
    assert again.endswith(digest)
    assert not (releases.path(again) / "steps.json").exists()
    assert releases.verify(again) == []


def test_a_build_that_was_sealed_but_for_its_name_gets_it(releases: Releases) -> None:
    id_ = sealed(releases)
    assert releases.complete() is None
    releases.path(id_).rename(releases.building)  # as if killed just before the renaming
    assert releases.complete() == releases.interrupted() == id_
    assert releases.verify(id_) == []


def test_a_build_that_is_not_sealed_or_damaged_gets_no_name(releases: Releases) -> None:
    id_ = sealed(releases)
    releases.path(id_).rename(releases.building)
    (releases.building / "steps.json").write_text("{}")
    assert releases.complete() is None  # its bookkeeping is there: it is sealed anew
    assert (releases.building / "manifest.json").exists()
    (releases.building / "steps.json").unlink()
    (releases.building / "vectors" / "song2vec.bin").write_bytes(b"x" * 8)
    assert releases.complete() is None
    assert (releases.building.exists(), releases.ids()) == (False, [])


@pytest.mark.parametrize("name", ["manifest.json", "vectors/song2vec.bin"])
def test_a_damaged_release_can_be_set_aside(releases: Releases, name: str) -> None:
    first, second = published(releases), sealed(releases, 2, day=2)
    (releases.path(second) / name).write_bytes(b"x" * 8)
    assert releases.interrupted() == second
    aside = releases.set_aside(second)
    assert (aside.name, aside.is_dir()) == (f".damaged-{second}", True)
    assert (releases.ids(), releases.interrupted()) == ([first], None)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(NotWritable, match=r"file/releases cannot be written"),
        Releases(tmp_path / "file" / "releases").lock(),
    ):
        pass


def test_one_writer_at_a_time_and_the_lock_goes_with_its_process(releases: Releases) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from graph.release import Releases\n"
        "with Releases(Path(sys.argv[1])).lock():\n    print('held', flush=True); time.sleep(60)"
    )
    with releases.lock(), pytest.raises(Busy), Releases(releases.root).lock():
        pass
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(releases.root)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy, match="another process works on"), releases.lock():
            pass
        holder.kill()
        holder.wait()
    with releases.lock():
        pass


def test_diff_says_what_changed(releases: Releases) -> None:
    first = sealed(releases)
    build(releases, 2)
    write_arrays(releases.building / "recall" / "x", {"a": np.array([1])})
    changed = {**MANIFEST, "metrics": {"ndcg@10": 0.6}, "events": {"log_id": "log", "offset": 12}, "settings": {"a": 1}}
    second = releases.seal(changed, now=datetime(2025, 6, 2, tzinfo=UTC))
    diff = releases.diff(first, second)
    assert (diff["same"], diff["events"]) == (False, [9, 12])
    assert diff["metrics"] == {"ndcg@10": [0.5, 0.6]}
    assert diff["settings"] == {"a": [None, 1], "scenes.radio.n": [10, None]}
    assert diff["files"] == {
        "added": ["recall/x.bin", "recall/x.json"],
        "removed": [],
        "changed": ["vectors/song2vec.bin"],
    }
    assert diff["counts"] == {}
    assert releases.diff(first, first)["same"]


def test_describe_is_a_row_of_the_list(releases: Releases) -> None:
    id_ = published(releases, parent=None)
    row = releases.describe(id_)
    files = json.loads((releases.path(id_) / "manifest.json").read_text())["files"]
    assert row["size_bytes"] == sum(entry["bytes"] for entry in files.values()) > 0
    assert (row["id"], row["as_of"], row["parent"], row["metrics"]) == (id_, 1, None, {"ndcg@10": 0.5})


def test_an_unknown_release_is_named_with_those_known(releases: Releases) -> None:
    id_ = published(releases)
    for unknown in ("nope", "../releases", ".building", ""):
        with pytest.raises(ReleaseNotFound, match=f"known: {id_}"):
            releases.path(unknown)


def test_a_release_seen_through_a_view_keeps_what_was_learned(releases: Releases) -> None:
    published(releases)
    release = releases.open()
    view = release.seeing(release.snapshot.view(np.zeros(len(release.snapshot.histories), dtype=bool)))
    assert isinstance(view, Release)
    assert not len(view.snapshot.histories)
    assert view.arrays("vectors/song2vec") is release.arrays("vectors/song2vec")
    assert dataclasses.replace(view, snapshot=release.snapshot).id == release.id
    with pytest.raises(CorruptRelease, match="no arrays 'vectors/none'"):
        view.arrays("vectors/none")
