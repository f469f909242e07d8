import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from segue_test_worlds import World

from graph.errors import SettingsError
from recall.base import Candidates, Ranked
from recall.channels.social import Social
from recall.discovery import channel_names, channel_type

SONGS = np.arange(6)


def test_best_takes_the_highest_and_keeps_the_order_of_equals() -> None:
    found = Candidates.best(SONGS, np.array([1.0, 3, 2, 3, 2, 0]), 3)
    assert found.songs.tolist() == [1, 3, 2]
    assert found.scores.tolist() == [3, 3, 2]


@pytest.mark.parametrize("k", [0, 2, 9])
def test_best_never_gives_more_than_k(k: int) -> None:
    assert len(Candidates.best(SONGS, np.ones(6), k)) == min(k, 6)


def test_of_scores_leaves_out_what_is_excluded_or_not_above_the_floor(lopsided: World) -> None:
    scores = np.array([0.5, 0.0, 2.0, 1.0, -1.0])
    query = lopsided.query(None, exclude=["s4"])
    assert lopsided.ids(Candidates.of_scores(scores, query, 9).songs) == ["s3", "s1"]
    assert lopsided.ids(Candidates.of_scores(scores, query, 9, floor=-2.0).songs) == ["s3", "s1", "s2", "s5"]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_equal_scores_come_by_first_appearance_in_the_log(lopsided: World, k: int) -> None:
    found = Candidates.of_scores(np.ones(5), lopsided.query(None), k)
    assert lopsided.ids(found.songs) == ["s1", "s3", "s4", "s2", "s5"][:k]


@pytest.mark.parametrize("k", [0, 1, 3, 9])
@pytest.mark.parametrize("exclude", [[], ["s1", "s4"]])
def test_few_songs_are_ordered_as_all_would_be(lopsided: World, k: int, exclude: list[str]) -> None:
    query, scores = lopsided.query(None, exclude=exclude), np.array([1.0, 0.0, 2.0, 1.0, 1.0])
    whole = Candidates.of_scores(scores, query, k)
    few = Candidates.of_songs(np.array([0, 2, 3, 4]), scores[[0, 2, 3, 4]], query, k)
    ranked = Ranked(lopsided.snapshot, scores).best(query, k)
    assert whole.songs.tolist() == few.songs.tolist() == ranked.songs.tolist()
    assert whole.scores.tolist() == few.scores.tolist() == ranked.scores.tolist()


def test_looking_further_where_the_first_are_excluded(lopsided: World) -> None:
    songs, scores = np.arange(2000), np.arange(2000.0)
    query = replace(lopsided.query(None), exclude=np.arange(100, 2000))
    found = Candidates.permitted(songs, scores, query, 3)
    assert found.songs.tolist() == [99, 98, 97]
    assert len(Candidates.permitted(songs, scores, query, 150)) == 100


def test_the_ranked_look_further_too(lopsided: World) -> None:
    ranked = Ranked(lopsided.snapshot, np.array([5.0, 4.0, 3.0, 2.0, 0.0]))
    found = ranked.best(lopsided.query(None, exclude=["s1", "s2"]), 3)
    assert lopsided.ids(found.songs) == ["s3", "s4"]
    assert found.scores.tolist() == [3.0, 2.0]


def test_a_channel_is_named_by_its_file() -> None:
    assert "social" in channel_names()
    assert channel_type("social").channel is Social


def test_an_unknown_channel_is_named_with_those_known() -> None:
    with pytest.raises(SettingsError, match=r"unknown channel 'soical' \(known: .*social"):
        channel_type("soical")


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path, for channels from outside."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [n for n in sys.modules if n.startswith("outside_")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


CLASS = """
from dataclasses import dataclass
@dataclass(frozen=True)
class {name}Config:
    pass
class {name}:
    def recall(self, query, k): ...
"""


def test_use_finds_a_class_outside(outside: Path) -> None:
    (outside / "outside_a.py").write_text(CLASS.format(name="One") + CLASS.format(name="Two"))
    assert channel_type("mine", "outside_a:Two").channel.__name__ == "Two"


@pytest.mark.parametrize(
    ("use", "text", "message"),
    [
        ("outside_b:No", CLASS.format(name="One"), r"outside_b must hold one class .*\(found 0\)"),
        ("outside_c", CLASS.format(name="One") + CLASS.format(name="Two"), r"\(found 2\)"),
        ("outside_d:One", "class One:\n    def recall(self, query, k): ...\n", "has no OneConfig"),
        ("outside_e:One", "import nothing_like_it\n", "cannot import outside_e"),
        ("outside_f:One", "this is no python\n", "cannot import outside_f"),
        ("outside_missing:One", "", "cannot import outside_missing"),
        ("", "", "cannot import"),
        (".relative:One", "", "cannot import"),
    ],
)
def test_what_cannot_be_used_is_said(outside: Path, use: str, text: str, message: str) -> None:
    if text:
        (outside / f"{use.split(':', maxsplit=1)[0]}.py").write_text(text)
    with pytest.raises(SettingsError, match=f"channel 'mine'.*{message}"):
        channel_type("mine", use)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trusty": 1.0}, r"channel social: unknown option 'trusty' \(known: .*trust"),
        ({"trust": "much"}, r"channel social: trust must be float \(got 'much'\)"),
        ({"trust": True}, "trust must be float"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        channel_type("social").configure(options)
