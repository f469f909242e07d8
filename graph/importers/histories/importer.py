"""What is the same in every importer of histories: finding the files, reading one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from graph.batch import Batch, one_line
from graph.catalogue import Progress
from graph.errors import InvalidInput
from graph.importers.histories.members import Member, members
from graph.importers.histories.plays import History


class HistoryImporter:
    """The history at `path`: a folder, a zip file, or one file. A format says which files it `takes`, and reads each.

    user: who listened (default: whom the files name, else "me").
    """

    format: ClassVar[str]
    expected: ClassVar[str]
    """What a path should hold, for messages."""
    several: ClassVar[bool] = False
    """Whether the histories are of several people, so that each row says whose it is."""
    overlapping: ClassVar[bool] = True
    """Whether several files may have the same plays."""

    def __init__(self, path: Path, *, user: str | None = None) -> None:
        self._path, self._user = path, user
        if user is not None and not user.strip():
            raise InvalidInput("user: expected a name, got an empty text")

    @classmethod
    def takes(cls, member: Member) -> bool:
        """Whether a file is one of this format."""
        raise NotImplementedError

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return any(cls.takes(member) for member in members(path))

    def files(self) -> list[Path]:
        return list(dict.fromkeys(member.source for member in self._members()))

    def read(self, progress: Progress) -> Batch:
        batch = Batch(self.format)
        history = History(batch, self._user, several=self.several, overlapping=self.overlapping)
        found = self._members(batch)
        for done, member in enumerate(found):
            progress(f"reading {member.name}", done, len(found))
            self._read(member, history)
        history.finish()
        return batch

    def _read(self, member: Member, history: History) -> None:
        """Add what a file holds."""
        raise NotImplementedError

    def _rank(self, member: Member) -> int:  # noqa: ARG002
        """When a file is read: those of the lowest rank first."""
        return 0

    def _members(self, batch: Batch | None = None) -> list[Member]:
        """The files that are read, in order; those that are not are told to the batch.

        Raises: InvalidInput if there is none.
        """
        if not self._path.exists():
            raise InvalidInput(f"{self._path}: no such file (expected {self.expected})")
        there = members(self._path)
        if self._path.is_file() and len(there) == 1:  # whatever it is called
            return there
        found = [member for member in there if self.takes(member)]
        if not found:
            raise InvalidInput(f"{self._path}: expected {self.expected}, got none of them")
        rest = [member.name for member in there if member not in found]
        if rest and batch is not None:
            batch.warn(f"{len(rest)} files are not of this format, and not read: {one_line(', '.join(rest))}")
        return sorted(found, key=self._rank)
