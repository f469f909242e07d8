"""`segue import --replace`, `segue sources` and `segue forget`."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "events.csv").write_text("user_id,action,song_id\nu1,play,s1\nu1,play,s2\n")
    return tmp_path / "music"


def test_a_source_is_listed_corrected_and_taken_back(run_cli, folder, embedded_config, monkeypatch) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("SEGUE_GRAPH__URL", embedded_config.url)
    assert run_cli("sources").out == "nothing was imported yet\n"
    run_cli("import", "tables", "music")
    (folder / "events.csv").write_text("user_id,action,song_id\nu1,play,s1\n")
    run_cli("import", "tables", "music", "--replace")
    (listed,) = run_cli("sources", "--json").json
    assert (listed["source"], listed["format"], listed["path"]) == (f"tables:{folder}", "tables", str(folder))
    assert (listed["events"], listed["rows"]) == (1, {})
    assert listed["warnings"] == ["1 events stood in the log already", "1 events of the earlier version were taken out"]
    assert listed["imported_at"] > 1_700_000_000_000
    assert f"1  tables:{folder}" in run_cli("sources").out
    assert run_cli("forget", "music", "--dry-run", "--json").json["events"] == 1
    assert run_cli("forget", "1").out.startswith(f"tables:{folder}: 1 events taken back")
    unknown = run_cli("forget", "1")
    assert (unknown.status, unknown.err) == (2, "segue: the state has no source yet\n")
