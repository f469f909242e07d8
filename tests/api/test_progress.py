"""Progress where there is no terminal: plain lines, few of them."""

from __future__ import annotations

import queue
import re

import pytest

from api.progress import Lines, lines


class Told:
    """Lines over a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now, self.said = 0.0, list[str]()
        self.lines = Lines(self.said.append, every_s=10, clock=lambda: self.now)

    def at(self, now: float, name: str, done: int, total: int) -> list[str]:
        """What is said when this is reported."""
        self.now, before = now, len(self.said)
        self.lines.report(name, done, total)
        return self.said[before:]


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_part_has_a_line_when_it_begins_when_it_ends_and_every_ten_seconds(told: Told) -> None:
    assert told.at(0, "als", 0, 9) == ["als: 0 of 9"]
    assert told.at(9, "als", 1, 9) == []
    assert told.at(11, "als", 2, 9) == ["als: 2 of 9, 11 s"]
    assert told.at(20, "als", 8, 9) == []
    assert told.at(20.6, "als", 9, 9) == ["als: 9 of 9, 21 s"]
    assert told.at(30, "als", 9, 9) == []


def test_a_step_without_a_count_begins_and_is_done(told: Told) -> None:
    assert told.at(0, "snapshot", 0, 1) == ["snapshot: begins"]
    assert told.at(3, "snapshot", 1, 1) == ["snapshot: done, 3 s"]


def test_a_step_that_reports_nothing_is_said_to_go_on(told: Told) -> None:
    told.at(0, "embed.als", 0, 1)
    told.at(1, "als", 0, 9)
    told.at(2, "als", 9, 9)
    told.now = 12
    told.lines.remind()
    told.lines.remind()
    assert told.said[-2:] == ["als: 9 of 9, 1 s", "embed.als: 12 s"]


def test_a_part_that_comes_again_at_once_is_said_once(told: Told) -> None:
    for turn in range(50):
        told.at(turn / 10, "cells", 0, 2)
        told.at(turn / 10, "cells", 2, 2)
    assert told.said == ["cells: 0 of 2", "cells: 2 of 2, 0 s"]
    assert told.at(30, "cells", 0, 2) == ["cells: 0 of 2"]


def test_short_parts_one_after_the_other_have_one_line(told: Told) -> None:
    for done in range(25):
        told.at(done / 100, f"reading {done}", done, 25)
    assert told.said == ["reading 0: 0 of 25"]
    assert told.at(11, "reading 24", 24, 25) == ["reading 24: 24 of 25, 11 s"]


def test_a_name_brings_no_control_characters(told: Told) -> None:
    assert told.at(0, "reading a\x1b[2J\n.csv", 0, 2) == ["reading a?[2J?.csv: 0 of 2"]


def test_a_part_that_reports_nothing_is_reminded_of_by_a_thread() -> None:
    said: queue.Queue[str] = queue.Queue()
    with lines(said.put, every_s=0.02) as report:
        report("bench", 0, 1)
        assert said.get(timeout=10) == "bench: begins"
        assert said.get(timeout=10) == "bench: 0 s"


def test_an_import_into_a_file_shows_its_parts(run_cli, tmp_path) -> None:
    (tmp_path / "songs.csv").write_text("id\ns1\n")
    (tmp_path / "users.csv").write_text("id\nu1\n")
    ran = run_cli("import", "tables", str(tmp_path), "--dry-run", "--json")
    assert re.search(r"^reading users.csv: 0 of \d+$", ran.err, re.MULTILINE)
    assert "\x1b" not in ran.err
    assert "\r" not in ran.err
    assert ran.json["read"] == 2
