"""The sources of a state: what was imported, from where and when. They are kept in the event log's database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from graph.errors import InvalidInput
from graph.log.checks import now_ms
from graph.log.events import EventLog

CLOCK_KEY: Final = "clock"  # meta: "data" once a source of old events came in
NEWEST: Final = "newest:"  # meta: of a source that can read what is new, the newest event that it brought
_PREFIX: Final = "source:"
_COUNT_KEY: Final = "sources"  # meta: how many numbers were given; none is given twice

State = Literal["started", "done", "mixed", "forgetting"]


@dataclass(frozen=True)
class Source:
    """One source, named `key` = "format:name" or by its `number`.

    `imported_at`: epoch milliseconds of the last import that came to its end. `state`: "mixed" is done, with rows of an
    earlier version that the last one does not have. `counts`: rows by label, relationship, "events", "exposures" and
    "audio_segments".
    """

    key: str
    format: str
    path: str
    number: int | None = None
    imported_at: int | None = None
    fingerprint: str = ""
    state: State = "started"
    counts: Mapping[str, int] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    @property
    def unknown(self) -> bool:
        """Whether it was imported by a version of Segue that did not keep what a source said."""
        return self.number is None or (self.imported_at is None and bool(self.counts))

    @property
    def whole(self) -> bool:
        """Whether its last import came to its end."""
        return self.state in ("done", "mixed")

    def as_json(self) -> dict[str, Any]:
        """What `segue sources --json` says of it."""
        rows = {name: count for name, count in self.counts.items() if count and name != "events"}
        return {
            "source": self.key,
            "number": self.number,
            "format": self.format,
            "path": self.path,
            "imported_at": self.imported_at,
            "state": self.state,
            "rows": rows,
            "events": self.counts.get("events", 0),
            "warnings": list(self.warnings),
        }


def sources(log: EventLog) -> dict[str, Source]:
    """What the state was made of, by key, in the order in which it came."""
    found = {}
    for name, text in log.meta(_PREFIX).items():
        key, value = name.removeprefix(_PREFIX), json.loads(text)
        format_, _, path = key.partition(":")
        found[key] = Source(**{"key": key, "format": format_, "path": path, **value})
    return dict(sorted(found.items(), key=lambda item: (item[1].number or 0, item[0])))


def unfinished_imports(log: EventLog) -> list[str]:
    """The sources whose import was interrupted; importing one again completes it."""
    return [key for key, source in sources(log).items() if source.state == "started"]


def unfinished_forgets(log: EventLog) -> list[str]:
    """The sources of which only a part was taken back; forgetting one again completes it."""
    return [key for key, source in sources(log).items() if source.state == "forgetting"]


def keep(log: EventLog, source: Source) -> Source:
    """Remember it as it is now, with a number; durable on return."""
    if source.number is None:
        number = int(log.get_meta(_COUNT_KEY) or 0) + 1
        log.set_meta(_COUNT_KEY, str(number))
        source = replace(source, number=number)
    value = {name: value for name, value in asdict(source).items() if name != "key"}
    log.set_meta(_PREFIX + source.key, json.dumps(value, sort_keys=True))
    return source


def finish(log: EventLog, source: Source, state: State, counts: Mapping[str, int], warnings: Sequence[str]) -> None:
    """Remember that its import came to its end, now."""
    keep(log, replace(source, state=state, counts=dict(counts), warnings=list(warnings), imported_at=now_ms()))


def drop(log: EventLog, source: Source) -> None:
    """Remember it no longer; a state without a source goes by the wall clock again."""
    if len(sources(log)) == 1:
        log.drop_meta(CLOCK_KEY)
    log.drop_meta(_PREFIX + source.key)


def find(log: EventLog, text: str) -> Source:
    """The source of that number, key, name or path.

    Raises: InvalidInput if there is none, naming those there are; or several.
    """
    known = sources(log)
    paths = {text, Path(text).expanduser().resolve().as_posix()}
    if text in known:
        return known[text]
    found = [s for s in known.values() if str(s.number) == text or {s.path, s.key.partition(":")[2]} & paths]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{s.number} ({s.key})" if s.number else s.key for s in found or known.values())
    if found:
        raise InvalidInput(f"source {text!r} could be {listed}; say which by its number")
    raise InvalidInput(
        f"unknown source {text!r} (expected one of {listed})" if known else "the state has no source yet"
    )
