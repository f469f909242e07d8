"""A release: one published, immutable directory that serving reads, and the folder of all of them.

    releases/
      current                      text file: the id of the release that is served
      history                      text file: every id that was ever activated, one a line
      .building/                   the release under construction (one writer, under a lock)
      20250630T000000Z-1a2b3c4d5e6f/
        manifest.json
        snapshot/ vectors/ recall/ ranking/ …

A release becomes visible by renaming `.building` and then replacing `current`; a half-written one is never seen.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from graph.errors import Busy, CorruptRelease, NotWritable, ReleaseNotFound
from graph.files import checksum, fingerprint, write_text

if TYPE_CHECKING:
    from graph.snapshot.arrays import Array
    from graph.snapshot.snapshot import Snapshot

MANIFEST: Final = "manifest.json"
STATE: Final = "steps.json"
"""What a build knows of itself; it goes when the build is sealed."""
SCHEMA_VERSION: Final = 2
MEASURED: Final = "measured"
"""The folder of a release with its models as they were measured; beside it they stand brought to the log's end."""


@dataclass(frozen=True)
class Release:
    """A typed reader of one release folder. All its files are mapped when it is opened."""

    path: Path
    manifest: Mapping[str, Any]
    snapshot: Snapshot
    _arrays: Mapping[str, tuple[dict[str, Array], dict[str, Any]]] = field(repr=False, default_factory=dict)
    part: str = ""
    """The folder that learned models are read from first: MEASURED, or none."""

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def seed(self) -> int:
        return int(self.manifest.get("seed", 0))

    @property
    def offset(self) -> int:
        """The last event of the log that this release has seen."""
        return int(self.manifest.get("events", {}).get("offset", 0))

    @property
    def log_id(self) -> str:
        return str(self.manifest.get("events", {}).get("log_id", ""))

    @classmethod
    def open(cls, path: Path) -> Release:
        """Map every file of the release in `path`, sealed or still under construction.

        Raises: CorruptRelease if a file is missing or not of the size that the manifest tells.
        """
        # here, because a folder of releases is listed, verified and pruned without numpy
        from graph.snapshot.arrays import read_arrays
        from graph.snapshot.snapshot import Snapshot

        manifest = read_manifest(path) if (path / MANIFEST).exists() else {}
        for name, entry in manifest.get("files", {}).items():
            try:
                size = (path / name).stat().st_size
            except OSError as error:
                raise CorruptRelease(f"{path / name}: missing") from error
            if size != entry["bytes"]:
                raise CorruptRelease(f"{path / name}: {size} bytes (expected {entry['bytes']})")
        found = {
            file.relative_to(path).with_suffix("").as_posix(): read_arrays(file)
            for file in sorted(path.rglob("*.bin"))
            if file.parent.name != "snapshot"
        }
        return cls(path, manifest, Snapshot.open(path / "snapshot"), found)

    def has(self, name: str) -> bool:
        """Whether the release holds the arrays `name`, such as `vectors/song2vec`."""
        return self._key(name) in self._arrays

    def file(self, name: str) -> Path:
        """Where the arrays `name` stand, without the suffix of the file."""
        return self.path / self._key(name)

    def measured(self) -> Release:
        """The models of this release as they were measured, without the newest events."""
        return Release(self.path, self.manifest, self.snapshot, self._arrays, MEASURED)

    def _key(self, name: str) -> str:
        mine = f"{self.part}/{name}"
        return mine if self.part and mine in self._arrays else name

    def names(self, folder: str) -> list[str]:
        """The arrays in a folder of the release, such as `vectors`, by their names in it."""
        starts = [f"{folder}/", *([f"{self.part}/{folder}/"] if self.part else [])]
        return sorted({name[len(start) :] for name in self._arrays for start in starts if name.startswith(start)})

    def arrays(self, name: str) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and meta stored under `name`.

        Raises: CorruptRelease if the release holds none.
        """
        try:
            return self._arrays[self._key(name)]
        except KeyError:
            raise CorruptRelease(f"{self.path}: no arrays {name!r}") from None

    def touch(self) -> None:
        """Read every page once: the first request that needs one would wait some 10 microseconds for it, or a disk."""
        from graph.snapshot.arrays import touch

        self.snapshot.touch()
        for arrays, _ in self._arrays.values():
            touch(arrays)

    def seeing(self, snapshot: Snapshot) -> Release:
        """What was learned here, beside another view of the same snapshot: how a candidate is measured."""
        return Release(self.path, self.manifest, snapshot, self._arrays, self.part)


class Releases:
    """The folder of all releases."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def building(self) -> Path:
        return self.root / ".building"

    def ids(self) -> list[str]:
        """Ids of the sealed releases, the oldest first."""
        if not self.root.is_dir():
            return []
        return sorted(p.name for p in self.root.iterdir() if not p.name.startswith(".") and (p / MANIFEST).exists())

    def current(self) -> str | None:
        """Id of the release that is served, or None before the first one."""
        try:
            return (self.root / "current").read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def path(self, id_: str) -> Path:
        """Folder of a release.

        Raises: ReleaseNotFound.
        """
        if id_ not in self.ids():
            raise ReleaseNotFound(f"no release {id_!r} in {self.root} (known: {', '.join(self.ids()) or 'none'})")
        return self.root / id_

    def open(self, id_: str | None = None) -> Release:
        """Open a release, the current one by default.

        Raises: ReleaseNotFound if there is none; CorruptRelease.
        """
        wanted = id_ or self.current()
        if wanted is None:
            raise ReleaseNotFound(f"no release in {self.root} yet: run `segue refresh`")
        return Release.open(self.path(wanted))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the one writer's lock; it goes with the process, however that ends.

        Raises: Busy if another process builds, activates or prunes; NotWritable if the folder cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("w")
        except OSError as error:
            raise NotWritable(f"{self.root} cannot be written: {error.strerror}") from error
        with lock as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy(f"another process works on {self.root}") from error
            yield

    def contents(self) -> dict[str, dict[str, Any]]:
        """Checksum and size of every file of `.building` that would be sealed."""
        for cut_short in self.building.glob(".*.tmp"):
            cut_short.unlink()  # of a replacement that was killed half-way
        own = {self.building / MANIFEST, self.building / STATE}
        return {
            p.relative_to(self.building).as_posix(): {"sha256": checksum(p), "bytes": p.stat().st_size}
            for p in sorted(self.building.rglob("*"))
            if p.is_file() and p not in own
        }

    def seal(
        self,
        manifest: Mapping[str, Any],
        files: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        now: datetime | None = None,
    ) -> str:
        """Seal `.building` with `manifest` plus its files and digest, and give it its name; not yet activated.

        `files` are its `contents` where they are at hand. Killed before the bookkeeping goes, it is a build like any
        other; killed after, `complete` gives it its name.
        """
        files = self.contents() if files is None else files
        digest = release_digest(files, manifest.get("settings", {}))
        stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        id_ = f"{stamp}-{digest[:12]}"
        sealed = {"schema": SCHEMA_VERSION, "id": id_, "digest": digest, **manifest, "files": files}
        write_text(self.building / MANIFEST, json.dumps(sealed, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        (self.building / STATE).unlink(missing_ok=True)
        self.building.rename(self.root / id_)
        return id_

    def complete(self) -> str | None:
        """Give a build its name that was sealed whole, but for that, when its process was killed; its id if there was
        one. What looks like one and is damaged is thrown away.
        """
        if not (self.building / MANIFEST).exists() or (self.building / STATE).exists():
            return None
        try:
            id_ = str(read_manifest(self.building)["id"])
            whole = not _problems(self.building)
        except (CorruptRelease, KeyError):
            whole = False
        if not whole:
            shutil.rmtree(self.building)
            return None
        self.building.rename(self.root / id_)
        return id_

    def set_aside(self, id_: str) -> Path:
        """Take a damaged release out of the way, to `.damaged-<id>`; returns where it lies now."""
        aside = self.root / f".damaged-{id_}"
        shutil.rmtree(aside, ignore_errors=True)
        return self.path(id_).rename(aside)

    def activate(self, id_: str) -> None:
        """Make a release the one that is served, after reading all of it once.

        Raises: ReleaseNotFound; CorruptRelease if a file differs from its checksum; NotWritable.
        """
        if wrong := self.verify(id_):
            raise CorruptRelease(f"{self.root / id_}: {wrong[0]}")
        try:
            write_text(self.root / "current", f"{id_}\n")
            # Last, as it says that the activation is complete: whoever is killed before it is seen by `interrupted`.
            with (self.root / "history").open("a", encoding="utf-8") as file:
                file.write(f"{id_}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise NotWritable(f"{self.root} cannot be written: {error.strerror}") from error

    def interrupted(self) -> str | None:
        """A release that was sealed and never activated because its refresh was killed in between.

        One whose manifest cannot be read counts as such: nobody knows that it was kept back.
        """
        known = set(self._activated())
        waiting = [i for i in self.ids() if i not in known and not self._is_kept_back(i)]
        return waiting[-1] if waiting else None

    def kept_back(self) -> str | None:
        """The newest release that measured too low and is not served all the same."""
        found = [i for i in self.ids() if i != self.current() and self._is_kept_back(i)]
        return found[-1] if found else None

    def newer_kept_back(self) -> tuple[str, str] | None:
        """The newest release that was kept back for measuring worse than the one that is served now: its id and the
        reason. One whose parent is another release says nothing of the current one."""
        current = self.current()
        for id_ in reversed(self.ids()):
            try:
                manifest = read_manifest(self.root / id_)
            except CorruptRelease:
                continue
            if current is not None and not manifest.get("publish", True) and manifest.get("parent") == current:
                return id_, str(manifest.get("reason"))
        return None

    def _is_kept_back(self, id_: str) -> bool:
        try:
            return not read_manifest(self.root / id_).get("publish", True)
        except CorruptRelease:
            return False

    def _activated(self) -> list[str]:
        """Every id that was ever activated, in order, also of releases that are gone."""
        try:
            return (self.root / "history").read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []

    def verify(self, id_: str) -> list[str]:
        """What is wrong with a release's files, one line each; empty if all agree with their checksums."""
        return _problems(self.path(id_))

    def previous(self) -> str:
        """The release that was served before the current one was for the first time, so that one rollback after the
        other goes further back; else the one that the current was made after.

        Raises: ReleaseNotFound if there is none; CorruptRelease if the current one cannot say.
        """
        current, here, activated = self.current(), set(self.ids()), self._activated()
        first = activated.index(current) if current in activated else len(activated)
        for id_ in reversed(activated[:first]):
            if id_ in here:
                return id_
        if current in here:
            parent = read_manifest(self.root / current).get("parent")
            if parent in here:
                return str(parent)
        raise ReleaseNotFound(f"no release before {current or 'the first one'} in {self.root}")

    def prune(self, keep: int) -> list[str]:
        """Delete all but the newest `keep` releases and the current one; the ids of those deleted.

        Releases that were kept back and never activated do not count, and go when they are older than the newest one
        that does.
        """
        if keep < 1:
            raise ValueError(f"keep must be at least 1 (got {keep})")
        for grave in self.root.glob(".pruned-*"):
            shutil.rmtree(grave)  # of a prune that was killed half-way
        activated = {*self._activated(), self.current()}
        counted = [i for i in self.ids() if i in activated or not self._is_kept_back(i)]
        useless = [i for i in self.ids() if i not in counted and counted and i < counted[-1]]
        doomed = useless + [i for i in counted[:-keep] if i != self.current()]
        for id_ in doomed:
            # Renamed first: a reader sees it whole or not at all, even if this process is killed half-way.
            grave = self.root / f".pruned-{id_}"
            (self.root / id_).rename(grave)
            shutil.rmtree(grave)
        return doomed

    def describe(self, id_: str) -> dict[str, Any]:
        """One row of `segue release list`."""
        manifest = read_manifest(self.path(id_))
        return {
            "id": id_,
            "as_of": manifest.get("as_of"),
            "parent": manifest.get("parent"),
            "metrics": manifest.get("metrics", {}),
            "size_bytes": sum(entry["bytes"] for entry in manifest["files"].values()),
        }

    def diff(self, old: str, new: str) -> dict[str, Any]:
        """What changed between two releases: counts, metrics, settings and files."""
        a, b = read_manifest(self.path(old)), read_manifest(self.path(new))
        files = {name: entry["sha256"] for name, entry in a["files"].items()}
        others = {name: entry["sha256"] for name, entry in b["files"].items()}
        return {
            "old": old,
            "new": new,
            "same": a["digest"] == b["digest"],
            "events": [a["events"]["offset"], b["events"]["offset"]],
            "counts": _changes(_flat(a["graph"]["counts"]), _flat(b["graph"]["counts"])),
            "metrics": _changes(a.get("metrics", {}), b.get("metrics", {})),
            "settings": _changes(_flat(a.get("settings", {})), _flat(b.get("settings", {}))),
            "files": {
                "added": sorted(others.keys() - files.keys()),
                "removed": sorted(files.keys() - others.keys()),
                "changed": sorted(n for n in files.keys() & others.keys() if files[n] != others[n]),
            },
        }


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a release folder.

    Raises: CorruptRelease if it is missing, not JSON or of another schema.
    """
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        version = manifest["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptRelease(f"{path / MANIFEST}: cannot be read ({error})") from error
    if version != SCHEMA_VERSION:
        raise CorruptRelease(f"{path / MANIFEST}: schema {version} (expected {SCHEMA_VERSION})")
    return manifest


def release_digest(files: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
    """SHA-256 over artefact checksums and settings, never over times or durations."""
    return fingerprint({"files": {name: entry["sha256"] for name, entry in files.items()}, "settings": settings})


def _problems(path: Path) -> list[str]:
    """What is wrong with the files of a release folder, one line each.

    Raises: CorruptRelease if its manifest cannot be read.
    """
    manifest = read_manifest(path)
    files = manifest["files"]
    wrong = []
    if manifest.get("digest") != release_digest(files, manifest.get("settings", {})):
        wrong.append(f"{MANIFEST}: its digest is not that of its checksums and settings")
    for name, entry in files.items():
        if not (path / name).is_file():
            wrong.append(f"{name}: missing")
        elif checksum(path / name) != entry["sha256"]:
            wrong.append(f"{name}: differs from its checksum")
    known = set(files) | {MANIFEST}
    found = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
    return wrong + [f"{name}: not in the manifest" for name in sorted(found - known)]


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        flat |= _flat(inner, name) if isinstance(inner, Mapping) else {name: inner}
    return flat


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {
        key: [old.get(key), new.get(key)]
        for key in sorted(old.keys() | new.keys(), key=str)
        if old.get(key) != new.get(key)
    }
