from pathlib import Path

from segue_test_worlds import events, lopsided_snapshot

from api.notes import KeptBack, history_note, joined
from graph.release import Release, Releases
from ranking.scene import FUSED, SceneConfig

LEARNS, FIXED = SceneConfig(), SceneConfig(ranker=FUSED)


def release_of(folder: Path, *rows: tuple[object, ...]) -> Release:
    lopsided_snapshot(log=events(rows)).write(folder / "snapshot")
    return Release.open(folder)


def test_a_release_without_history_says_so(tmp_path):
    note = history_note(release_of(tmp_path), [LEARNS, FIXED])
    assert note.startswith("there is no listening history yet: songs are found by attributes")


def test_a_history_that_taught_no_scene_is_little(tmp_path):
    release = release_of(tmp_path, ("ana", "play", "s1", 1), ("ana", "play", "s2", 2), ("ben", "play", "s1", 3))
    assert history_note(release, [LEARNS, FIXED]) == "there is little listening history yet (3 events of 2 listeners)"
    assert history_note(release, [FIXED]) is None


def test_one_event_is_counted_in_the_singular(tmp_path):
    note = history_note(release_of(tmp_path, ("ana", "play", "s1", 1)), [LEARNS])
    assert note == "there is little listening history yet (1 event of 1 listener)"


def test_a_scene_that_has_learned_its_fusion_needs_no_note(tmp_path, monkeypatch):
    release = release_of(tmp_path, ("ana", "play", "s1", 1))
    monkeypatch.setattr(Release, "names", lambda self, folder: ["radio/fusion"] if folder == "ranking" else [])
    assert history_note(release, [LEARNS]) is None


def test_an_answer_has_a_note_only_where_there_is_something_to_say():
    assert joined(None, None) == {}
    assert joined("one", None, "two") == {"note": "one; two"}


class Folder(Releases):
    """Counts how often all manifests are read."""

    reads, found = 0, ("new", "worse")

    def newer_kept_back(self):
        self.reads += 1
        return self.found


def test_what_is_kept_back_is_read_again_only_when_the_folder_has_changed(tmp_path):
    releases = Folder(tmp_path)
    held = KeptBack(releases)
    assert held.as_json() is None
    for _ in range(3):
        held.check()
    assert releases.reads == 1
    assert held.as_json() == {"release": "new", "reason": "worse"}
    assert held.note() == "a newer release, new, is kept back: worse"
    (tmp_path / "current").write_text("new\n")
    releases.found = None
    held.check()
    assert (releases.reads, held.as_json(), held.note()) == (2, None, None)
