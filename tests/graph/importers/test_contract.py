"""What every importer must do; a new file in graph/importers is covered as soon as it has an example."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from graph.catalogue import no_progress
from graph.errors import InvalidInput, SourceMismatch
from graph.importers.base import formats, importer, open_importer, recognised, run_import
from graph.log.events import EventLog
from graph.store.store import GraphStore

ELSEWHERE = {"cypher"}  # formats whose content is on a server: their own tests have one
FORMATS = [name for name in formats() if name not in ELSEWHERE]
KEYS = ["format", "path", "read", "written", "rejected", "rejects_file", "warnings", "seconds"]
DAMAGE = {
    "empty": lambda data: b"",
    "blank lines": lambda data: b"\n\n\n",
    "half": lambda data: data[: len(data) // 2],
    "binary noise": lambda data: bytes(range(256)) * 4,
    "not UTF-8": lambda data: data[: len(data) // 2] + b"\xff\xfe\xc3\x28" + data[len(data) // 2 :],
    "NUL bytes": lambda data: data.replace(b"1", b"\x00"),
    "hostile ids": lambda data: data.replace(b"1", b"../../etc/passwd").replace(b"2", b"\xe2\x80\xae\x1b[31m"),
    "huge numbers": lambda data: data.replace(b"1", b"9" * 400),
    "not numbers": lambda data: data.replace(b"1", b"nan").replace(b"2", b"-inf"),
    "negative": lambda data: data.replace(b"1", b"-1"),
    "quotes": lambda data: data.replace(b"1", b'"1'),
    "another separator": lambda data: data.replace(b"\t", b";").replace(b",", b";"),
    "more fields": lambda data: data.replace(b"\n", b",x,y\tz\n"),
    "no header": lambda data: data.partition(b"\n")[2],
    "one long line": lambda data: data.replace(b"\n", b" "),
    "JSON of another shape": lambda data: b'[1, {"a": null}]',
    "deep JSON": lambda data: b"[" * 100_000,
}


def files_of(path: Path) -> list[Path]:
    """The files to damage; of the world's many, which `tables` covers as CSV, a few in Parquet."""
    if path.is_file():
        return [path]
    names = {"world.json", "events.parquet", "songs.parquet"} if (path / "world.json").exists() else None
    return sorted(f for f in path.rglob("*") if f.is_file() and (names is None or f.name in names))


def refusal(name: str, path: Path, state: Path) -> str:
    """Why the path is refused; empty when it is read, whatever its rows are like."""
    try:
        dry_run(name, path, state)
    except InvalidInput as error:
        return str(error)
    return ""


def dry_run(name: str, path: Path, state: Path, **options: bool) -> dict[str, object]:
    return run_import(name, path, None, None, state, dry_run=True, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", formats())
def test_the_file_has_one_class_that_bears_its_name(name: str) -> None:
    assert importer(name).format == name
    assert importer(name).__doc__


@pytest.mark.parametrize("name", FORMATS)
def test_the_example_is_read_without_a_bad_row(name: str, example: Callable[[str], Path], tmp_path: Path) -> None:
    result = dry_run(name, example(name), tmp_path / "state", strict=True)
    assert list(result) == [*KEYS, "preview"]
    assert result["read"] > 0  # type: ignore[operator]
    assert (result["written"], result["rejected"], result["rejects_file"]) == (0, 0, None)
    json.dumps(result)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "tables"])  # there the files say what is a node
def test_what_relations_and_events_name_is_a_node(name: str, example: Callable[[str], Path]) -> None:
    batch = open_importer(name, example(name)).read(no_progress)
    assert batch.bare_nodes() == {}
    if batch.events.height:
        assert set(batch.events["user_id"]) <= set(batch.nodes["User"]["id"])


@pytest.mark.parametrize("name", FORMATS)
def test_importing_twice_adds_nothing(
    name: str, example: Callable[[str], Path], tmp_path: Path, embedded_store: GraphStore, sqlite_log: EventLog
) -> None:
    path = example(name)
    first = run_import(name, path, embedded_store, sqlite_log, tmp_path)
    counts, offset = embedded_store.counts(), sqlite_log.last_offset()
    again = run_import(name, path, embedded_store, sqlite_log, tmp_path)
    assert first["written"] > 0
    assert again["written"] == 0
    assert (embedded_store.counts(), sqlite_log.last_offset()) == (counts, offset)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "world"])  # which is made where it is absent
def test_an_absent_path_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere: no such (file|folder) \(expected"):
        dry_run(name, tmp_path / "nowhere", tmp_path)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "world"])
def test_an_empty_folder_is_told_what_was_expected(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="expected"):
        dry_run(name, tmp_path / "empty", tmp_path)


@pytest.mark.parametrize("name", formats())
def test_an_unknown_option_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="unknown option 'colour'"):
        run_import(name, tmp_path, None, None, tmp_path, dry_run=True, options={"colour": 1})


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_gives_a_clear_error_or_bad_rows(
    name: str, damage: str, example: Callable[[str], Path], tmp_path: Path
) -> None:
    path = example(name)
    for file in files_of(path):
        whole = file.read_bytes()
        file.write_bytes(DAMAGE[damage](whole))
        problem = refusal(name, path, tmp_path / "state")
        assert "\n" not in problem
        assert len(problem) < 1000
        file.write_bytes(whole)


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(
        InvalidInput, match=r"unknown format 'base' \(expected one of apple-music, cypher, deezer, edgelist, kg, lastfm"
    ):
        importer("base")


def test_another_folder_of_the_same_name_is_another_source(
    tmp_path: Path, embedded_store: GraphStore, sqlite_log: EventLog
) -> None:
    for name, song in (("a", "s1"), ("b", "s2")):
        (tmp_path / name / "tables").mkdir(parents=True)
        (tmp_path / name / "tables" / "events.csv").write_text(f"user_id,action,song_id\nu,play,{song}\n")
    run_import("tables", tmp_path / "a" / "tables", embedded_store, sqlite_log, tmp_path)
    with pytest.raises(SourceMismatch, match="needs --merge"):
        run_import("tables", tmp_path / "b" / "tables", embedded_store, sqlite_log, tmp_path)
    run_import("tables", tmp_path / "b" / "tables", embedded_store, sqlite_log, tmp_path, merge=True)
    assert sqlite_log.frame()["song_id"].to_list() == ["s1", "s2"]


def test_another_world_in_the_same_folder_is_another_source(
    tmp_path: Path, embedded_store: GraphStore, sqlite_log: EventLog
) -> None:
    options = {"users": 5, "songs": 40, "days": 2, "events": 50}
    run_import("world", tmp_path / "w", embedded_store, sqlite_log, tmp_path, options={**options, "seed": 1})
    with pytest.raises(SourceMismatch):
        run_import("world", tmp_path / "w", embedded_store, sqlite_log, tmp_path, options={**options, "seed": 2})


@pytest.mark.parametrize("name", ["events.csv", "songs.csv", "follows.csv"])
def test_a_table_without_a_row_is_an_empty_table(name: str, example: Callable[[str], Path], tmp_path: Path) -> None:
    folder = example("tables")
    header = (folder / name).read_text().split("\n")[0]
    for text in (header, header + "\n"):
        (folder / name).write_text(text)
        assert dry_run("tables", folder, tmp_path / "state")["rejected"] == 0


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_recognised_by_its_files(name: str, example: Callable[[str], Path]) -> None:
    path = example(name)
    if name == "edgelist":  # a text of numbers may be either
        with pytest.raises(InvalidInput, match="could be edgelist or s3rec; say which"):
            recognised(path)
    else:
        assert recognised(path) == name


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("edgelist", "s3rec")])
def test_no_other_format_takes_the_files_of_this_one(name: str, example: Callable[[str], Path]) -> None:
    """Each file alone, as people drag it in: it is this format's, or nobody's."""
    for file in files_of(example(name)):
        try:
            found = recognised(file)
        except InvalidInput:
            continue
        assert found == name or getattr(importer(found), "any_text", False), file


def test_a_path_of_no_format_is_told_which_there_are(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(
        InvalidInput, match=r"no format is recognised \(expected one of apple-music, cypher, deezer, edgelist, kg"
    ):
        recognised(tmp_path)
    with pytest.raises(InvalidInput, match="no such file or folder"):
        recognised(tmp_path / "nothing")
