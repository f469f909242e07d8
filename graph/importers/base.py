"""What the importers share: reading files so that a bad row is told from a broken file, and running an import."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import polars as pl
from pyarrow import parquet

from graph import schema
from graph.batch import Batch, listed, one_line
from graph.catalogue import Progress, conflicts, import_batch, no_progress
from graph.errors import InvalidInput
from graph.log.events import EventLog
from graph.reading.delimited import Delimited
from graph.reading.opened import Readable, TextFile
from graph.sources.registry import NEWEST, sources
from graph.store.store import GraphStore
from graph.units import file_names

_READ_BLOCK: Final = 1 << 20
_SHOWN: Final = 5  # rows of a preview
_A_TIME: Final = 1e8  # seconds since 1970: no data set numbers so many items


class Importer(Protocol):
    """One source format. The file's name is the format's name, with an underscore where that has a hyphen; the class
    takes the path and options by keyword.

    An importer whose path may hold one source today and another one tomorrow says which in `source_name`. One whose
    files may be another format's too says in a static method `recognises(path)` whether a path looks like its own; one
    that reads nearly any text file says `any_text = True`, and is recognised where no other is. One whose content lies
    elsewhere tells it apart in `fingerprint()`, called after `read`. One that can read what is new has `since`, which
    is set before `read` to the newest event that the state has from it (epoch milliseconds).
    """

    format: str

    def files(self) -> list[Path]:
        """The files that `read` reads; their contents are the source's fingerprint.

        Raises: InvalidInput if what the format requires is absent.
        """

    def read(self, progress: Progress) -> Batch:
        """Read and check everything.

        Raises: InvalidInput for a broken file; a bad row only goes to the batch's rejects.
        """


def formats() -> list[str]:
    """The names of all importers, sorted: those of their files, with a hyphen for each underscore."""
    return sorted(name.replace("_", "-") for name in _files_of_importers())


def _files_of_importers() -> list[str]:
    """The modules of this folder but this one; a folder beside them holds what several importers share."""
    folder = Path(__file__).parent
    return [name for name in file_names("graph.importers") if name != "base" and not (folder / name).is_dir()]


def importer(name: str) -> type[Any]:
    """The importer class of a format, found by its file's name.

    Raises: InvalidInput if there is none.
    """
    known = formats()
    if name not in known:
        raise InvalidInput(f"unknown format {name!r} (expected one of {', '.join(known)})")
    module = importlib.import_module(f"graph.importers.{name.replace('-', '_')}")
    for value in vars(module).values():
        if inspect.isclass(value) and value.__module__ == module.__name__ and getattr(value, "format", None) == name:
            return value
    raise TypeError(f"{module.__file__} has no class whose format is {name!r}")


def recognised(path: Path) -> str:
    """The format of a path, by the files that are there.

    Raises: InvalidInput if it could be none, or several.
    """
    if not path.exists():
        raise InvalidInput(f"{path}: no such file or folder")
    found = [name for name in formats() if _could_be(name, path)]
    found = [name for name in found if not getattr(importer(name), "any_text", False)] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidInput(f"{path}: could be {' or '.join(found)}; say which: segue import FORMAT {path}")
    raise InvalidInput(f"{path}: no format is recognised (expected one of {', '.join(formats())})")


def _could_be(name: str, path: Path) -> bool:
    found = importer(name)
    recognises = getattr(found, "recognises", None)
    try:
        return (recognises is None or bool(recognises(path))) and bool(found(path).files())
    except InvalidInput:
        return False


def open_importer(name: str, path: Path, options: Mapping[str, Any] | None = None) -> Importer:
    """An importer of that format on that path.

    Raises: InvalidInput for an unknown format or option.
    """
    found = importer(name)
    # a parameter named as a word of Python (`from_`) is the option without the line
    known = {p.rstrip("_"): p for p in inspect.signature(found).parameters if p != "path"}
    for option in options or {}:
        if option not in known:
            expected = f"expected one of {', '.join(known)}" if known else "it has none"
            raise InvalidInput(f"unknown option {option!r} of format {name} ({expected})")
    made: Importer = found(path, **{known[option]: value for option, value in (options or {}).items()})
    return made


def run_import(
    format: str,  # noqa: A002
    path: Path,
    store: GraphStore | None,
    log: EventLog | None,
    state_dir: Path,
    *,
    dry_run: bool = False,
    strict: bool = False,
    merge: bool = False,
    replace: bool = False,
    options: Mapping[str, Any] | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Read, check and write one source. With `dry_run` nothing is written but the report of rejects.

    With `replace` it takes the place of its earlier version: see `graph.catalogue.import_batch`.
    Returns: `format, path, read, written, rejected, rejects_file, warnings, seconds`, and with `dry_run` `preview`;
    counts are rows, `rejects_file` is None when no row was rejected.
    Raises: InvalidInput for a broken file, or with `strict` for a single bad row, before anything is written;
    SourceMismatch when the state knows another source and `merge` is not given; Busy while another import runs.
    """
    started = time.perf_counter()
    source = open_importer(format, path, options)
    if hasattr(source, "since") and not replace and log is not None:
        key = f"{format}:{_name_of(source, path)}"
        source.since = int(log.get_meta(NEWEST + key) or 0) if key in sources(log) else 0
    batch = source.read(progress)
    name = _name_of(source, path)  # only now: what is read may have been made by reading
    fingerprint = source.fingerprint() if hasattr(source, "fingerprint") else fingerprint_of(source.files(), path)
    if log is not None and not dry_run:
        batch.reject_events(conflicts(log, batch, name, fingerprint, state_dir, replaces=replace))
    rejects, lost = batch.rejects, batch.lost
    rejects_file = _write_rejects(rejects, lost, state_dir, format) if rejects.height or lost.height else None
    if strict and rejects_file is not None:
        raise _refusal(rejects, lost, rejects_file)
    batch.warnings.extend(_losses(lost))
    batch.warnings.extend(batch.unjoined())
    written = 0
    if not dry_run:
        if store is None or log is None:
            raise ValueError("an import that is no dry run needs a graph store and an event log")
        written = import_batch(
            store,
            log,
            batch,
            name=name,
            path=path.resolve(),
            fingerprint=fingerprint,
            state_dir=state_dir,
            merge=merge,
            replaces=replace,
            progress=progress,
        )
        newest = batch.events["at"].max()
        if hasattr(source, "since") and isinstance(newest, int) and newest > source.since:
            log.set_meta(f"{NEWEST}{format}:{name}", str(newest))
    report = {
        "format": format,
        "path": str(path),
        "read": batch.read,
        "written": written,
        "rejected": rejects.height,
        "rejects_file": None if rejects_file is None else str(rejects_file),
        "warnings": batch.warnings,
        "seconds": round(time.perf_counter() - started, 3),
    }
    return report | {"preview": preview(batch)} if dry_run else report


def preview(batch: Batch) -> dict[str, list[dict[str, Any]]]:
    """The first `events` and `songs` as they would be stored, without the fields that have no value."""
    songs = batch.nodes.get("Song", pl.DataFrame())
    return {
        name: [
            {field: value for field, value in row.items() if value is not None} for row in frame.head(_SHOWN).to_dicts()
        ]
        for name, frame in (("events", batch.events), ("songs", songs))
    }


def _name_of(source: Importer, path: Path) -> str:
    return str(getattr(source, "source_name", path.resolve().as_posix()))


def _refusal(rejects: pl.DataFrame, lost: pl.DataFrame, rejects_file: Path) -> InvalidInput:
    """What a strict import says of its bad rows, and of values that it would leave out."""
    file, line, *_, reason = (rejects if rejects.height else lost).select("file", "line", "reason").row(0)
    where = file if line is None else f"{file} line {line}"
    what = f"{rejects.height} bad rows" if rejects.height else f"{lost.height} bad values"
    return InvalidInput(f"{what} (strict), the first in {where}: {reason}; all: {rejects_file}")


def _losses(lost: pl.DataFrame) -> list[str]:
    """A line for each field of a file of which values were left out or changed."""
    groups = lost.group_by("file", "field", maintain_order=True).agg(
        pl.len(), pl.col("line").first(), pl.col("reason").first()
    )
    return [
        f"{file}: {count} {'values' if name else 'rows'} were not as they should be, the first "
        f"{'' if line is None else f'in line {line}: '}{reason}"
        for file, name, count, line, reason in groups.rows()
    ]


def fingerprint_of(files: Iterable[Path], root: Path) -> str:
    """A digest of the files' contents and of their names below `root`."""
    whole = hashlib.blake2b(digest_size=16)
    for file in sorted(files):
        digest = hashlib.blake2b(digest_size=16)
        with file.open("rb") as stream:
            while block := stream.read(_READ_BLOCK):
                digest.update(block)
        name = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name
        whole.update(f"{name}\0{digest.hexdigest()}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _write_rejects(rejects: pl.DataFrame, lost: pl.DataFrame, state_dir: Path, name: str) -> Path:
    """One file of all that was lost: whole rows, and single values (`field`, `value`) of rows that were kept."""
    folder = state_dir / "rejects"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{name}.csv"
    whole = pl.concat([rejects, lost], how="diagonal").sort("file", "line", nulls_last=True, maintain_order=True)
    whole.select("file", "line", "reason", "row", "field", "value").write_csv(file)
    return file


# ---- reading files


def existing_folder(path: Path, expected: str) -> Path:
    """The path, if it is a folder.

    Raises: InvalidInput otherwise, saying what was `expected` in it.
    """
    if not path.exists():
        raise InvalidInput(f"{path}: no such folder (expected {expected})")
    if not path.is_dir():
        raise InvalidInput(f"{path}: expected a folder with {expected}, got a file")
    return path


def existing_file(path: Path, expected: str) -> Path:
    """The path, if it is a file.

    Raises: InvalidInput otherwise, saying what was `expected` in it.
    """
    if not path.exists():
        raise InvalidInput(f"{path}: no such file (expected {expected})")
    if not path.is_file():
        raise InvalidInput(f"{path}: expected a file with {expected}, got a folder")
    return path


def read_text(path: Readable, batch: Batch | None = None) -> str:
    """A whole text file, packed or not, in any of the usual encodings and with any line end; LF ends its lines.

    A line that cannot be decoded is left empty, and goes to the batch's rejects.
    Raises: InvalidInput if it cannot be read or is empty; without a batch for a line that cannot be decoded, too.
    """
    file = TextFile(path)
    blocks = list(file.blocks())
    faulty = [fault for block in blocks for fault in block.faulty]
    if batch is None and faulty:
        raise InvalidInput(f"{path} line {faulty[0][0]}: {faulty[0][1]}")
    if batch is not None:
        batch.reject(path.name, faulty)
        batch.read += len(faulty)
        if file.note is not None:
            batch.warn(f"{path.name}: {file.note}")
    return "".join(block.text for block in blocks)


def read_delimited(
    path: Readable,
    batch: Batch,
    *,
    separator: str | None = None,
    quoted: bool = True,
    header: Sequence[str] | None = None,
    expected: Sequence[str] = (),
    otherwise: str | None = None,
) -> pl.DataFrame:
    """A table of texts with a first line of column names: those columns (String) and `line` (Int64).

    A row with too many fields goes to the batch's rejects; what a row with too few lacks is reported. An empty field
    is null. `separator`: None finds it out, by which names are `expected`; `header`: the names, for a file whose first
    line is a row already; `otherwise`: the encoding of a file that is not UTF-8.
    Raises: InvalidInput for a file that is empty or damaged, or has two columns of one name.
    """
    file = Delimited(path, separator, quoted, header, expected, otherwise)
    frames = []
    for rows in file.rows():
        frames.append(rows.frame)
        batch.read += rows.read
        batch.reject(path.name, rows.bad)
        batch.lose(path.name, [(line, "", text, reason) for line, reason, text in rows.mended])
    if file.note is not None:
        batch.warn(f"{path.name}: {file.note}")
    return pl.concat(frames)


def read_parquet(path: Path, batch: Batch) -> pl.DataFrame:
    """A Parquet file with `line` (Int64): the number of the row, from 1.

    Raises: InvalidInput if it is no Parquet file, or a truncated one.
    """
    try:
        # Arrow's reader raises an error on a damaged file, where polars' own panics in its threads.
        frame = pl.DataFrame(pl.from_arrow(parquet.read_table(path, partitioning=None)))
    except Exception as failure:
        raise InvalidInput(f"{path}: expected a whole Parquet file ({one_line(str(failure))})") from failure
    if "line" in frame.columns:
        frame = frame.drop("line")
    batch.read += frame.height
    return frame.with_columns(line=pl.int_range(1, 1 + pl.len(), dtype=pl.Int64))


def read_json(path: Readable) -> Any:
    """What a JSON file holds.

    Raises: InvalidInput if it is empty, not UTF-8 or no JSON, naming the line.
    """
    return parsed_json(read_text(path), path)


def parsed_json(text: str, path: Readable) -> Any:
    """What the JSON text of a file holds.

    Raises: InvalidInput if it is none, naming the line.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as failure:
        raise InvalidInput(f"{path} line {failure.lineno}: expected JSON ({failure.msg})") from failure
    except RecursionError as failure:
        raise InvalidInput(f"{path}: expected JSON of a reasonable depth") from failure
    except ValueError as failure:  # a number of thousands of digits
        raise InvalidInput(f"{path}: expected JSON ({one_line(str(failure), 100)})") from failure


def require(frame: pl.DataFrame, names: Sequence[str], file: Path) -> None:
    """Check that a table has these columns.

    Raises: InvalidInput naming those it has otherwise.
    """
    if any(name not in frame.columns for name in names):
        expected = f"column{'s' if len(names) > 1 else ''} {', '.join(names)}"
        raise InvalidInput(f"{file}: expected the {expected}, got {listed(frame)}")


def columns(frame: pl.DataFrame, names: Mapping[str, str], file: Path) -> pl.DataFrame:
    """The columns of a table under other names (`names`: file's name -> ours), and `line`.

    Raises: InvalidInput for one that is missing.
    """
    require(frame, list(names), file)
    return frame.select(*(pl.col(name).alias(ours) for name, ours in names.items()), pl.col("line"))


def read_lists(path: Path, batch: Batch) -> pl.DataFrame:
    """A text of lines `key value value …`: a row for each value, `key`, `value` (null: none on the line), `line`.

    Fields stand apart by tabs, commas or blanks, whichever the file has first in this order. Repeats of a key on
    several lines stay; blank lines are no rows. `read` counts values.
    Raises: InvalidInput for lines of another layout: a user, one item, a rating and a time.
    """
    text = read_text(path, batch)
    separator = next((one for one in ("\t", ",") if one in text), " ")
    lines = pl.Series("text", text.split("\n"), dtype=pl.String).str.strip_chars()
    frame = pl.DataFrame({"text": lines}).with_columns(line=pl.int_range(1, 1 + pl.len(), dtype=pl.Int64))
    words = frame.filter(pl.col("text") != "").with_columns(
        pl.col("text").str.split(separator).list.eval(pl.element().str.strip_chars().filter(pl.element() != ""))
    )
    words = words.filter(pl.col("text").list.len() > 0)
    _refuse_ratings(words["text"], path)
    if _is_header(words["text"]):
        batch.warn(f"{path.name}: the first line is taken for a header")
        words = words.slice(1)
    frame = words.select(
        key=pl.col("text").list.first(),
        value=pl.col("text").list.slice(1),
        line=pl.col("line"),
    ).explode("value", empty_as_null=True, keep_nulls=True)
    batch.read += frame.height
    return frame


def _refuse_ratings(words: pl.Series, path: Path) -> None:
    """Lines of a user, an item, a rating and a time would make songs of ratings and times."""
    width = words.list.len()
    last = words.list.last().cast(pl.Float64, strict=False)
    if words.len() and width.min() == width.max() and width[0] in (3, 4) and (last > _A_TIME).sum() > words.len() / 2:
        raise InvalidInput(
            f"{path}: expected a user and its items a line, got {width[0]} fields in each line, the last of them a "
            "time: a user, an item, a rating and a time are read as `recbole` (.inter) or `tables` (events)"
        )


def _is_header(words: pl.Series) -> bool:
    """Whether the first line has words only, and all others numbers only."""
    if words.len() < 2:
        return False
    first, rest = words[0].cast(pl.Float64, strict=False), words.slice(1).explode().cast(pl.Float64, strict=False)
    return first.null_count() == first.len() and rest.null_count() == 0


def add_triples(batch: Batch, triples: pl.DataFrame, links: pl.DataFrame, *, file: str) -> None:
    """Add knowledge-graph triples `head`, `relation`, `tail`, `line` as RELATED between entities and songs.

    links: `entity`, `song`: an entity that has a song is that song, in every triple.
    """
    links = links.unique("entity", keep="first", maintain_order=True)
    for end in ("head", "tail"):
        triples = triples.join(links, left_on=end, right_on="entity", how="left", maintain_order="left")
        triples = triples.rename({"song": f"{end}_song"})
    for source in ("Entity", "Song"):
        for target in ("Entity", "Song"):
            chosen = triples.filter(
                pl.col("head_song").is_null() == (source == "Entity"),
                pl.col("tail_song").is_null() == (target == "Entity"),
            ).select(
                source=pl.coalesce("head_song", "head"),
                target=pl.coalesce("tail_song", "tail"),
                relation=pl.col("relation"),
                line=pl.col("line"),
            )
            if chosen.height:
                batch.add_relationships(schema.relationship("RELATED", source, target), chosen, file=file)
    add_ends_as_nodes(batch, "Entity", file=file)


def add_ends_as_nodes(batch: Batch, label: str, *, file: str) -> None:
    """Make nodes of the ids that relations name, for sources that have no table of them."""
    bare = batch.bare_nodes().get(label)
    if bare is not None:
        batch.add_nodes(label, bare, file=file)


def add_ids(batch: Batch, label: str, ids: pl.Series, *, file: str) -> None:
    """Make nodes of the valid ones among ids that stand in checked rows."""
    batch.add_nodes(label, ids.drop_nulls().unique(maintain_order=True).alias("id").to_frame(), file=file)
