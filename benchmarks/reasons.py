"""Whether reasons are true: every claim of 300 listeners' slates, and of sessions, against the tables and the log.

The demo world and `lastfm-2k`, each with a release as a refresh makes it from all of the log, the default scene and its
slates of ten with the reasons that they ship with. Sessions are three songs in a row that a listener liked last. The
checker (`ranking.claims`) knows nothing of the code that makes reasons: it reads paths, texts and counts. False claims
and tags of the list of what is never cited should be 0; the share of a session's songs with a path at least .9. The
share of listeners' songs with a path, and the median time of the reasons of one slate, are told beside them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from api.commands.demo import WORLD
from graph.batch import Batch
from graph.errors import InvalidInput
from graph.importers.base import open_importer
from graph.paths import SIMILAR_KEPT
from graph.reasons.phrases import NEVER_CITED
from graph.release import Release
from graph.snapshot.snapshot import Snapshot
from ranking.cascade import Cascade
from ranking.claims.check import Claim, false_claims, forbidden
from ranking.claims.facts import Facts
from ranking.learning import Learner, LearningConfig
from ranking.reasons import Reasons
from ranking.scene import SceneConfig, unhurried
from recall.base import Query

LISTENERS: Final = 300
REASONS: Final = 3
OF_A_SESSION: Final = 3


@dataclass
class Counted:
    """What was claimed: numbers of claims and of songs, and what of it was wrong."""

    claims: int = 0
    songs: int = 0
    with_path: int = 0
    false: list[str] = field(default_factory=list)
    cited: list[str] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)


def run() -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them; false claims go to stderr too.

    Raises: InvalidInput if the data are missing.
    """
    lastfm = Path(os.environ.get("SEGUE_DATA", "../shared/data")) / "lastfm-2k"
    if not lastfm.exists():
        raise InvalidInput(f"{lastfm}: expected a data set (set SEGUE_DATA)")
    rows = []
    for name, format_, path, options in (("demo", "world", None, WORLD), ("lastfm-2k", "lastfm", lastfm, {})):
        with tempfile.TemporaryDirectory() as folder:
            batch = open_importer(format_, path or Path(folder) / "world", dict(options)).read(lambda *_: None)
            rows += _of_source(name, batch, Path(folder) / "build")
    return rows


def _of_source(name: str, batch: Batch, folder: Path) -> Iterator[dict[str, Any]]:
    events, exposures = (frame.with_row_index("offset", offset=1) for frame in (batch.events, batch.exposures))
    snapshot = Snapshot.of_frames(batch.nodes, batch.relationships, events, exposures)
    scene = unhurried(SceneConfig())
    learner = Learner({"radio": scene}, LearningConfig())
    snapshot.write(folder / "snapshot")
    learner.learn(folder)
    learner.bring_to_end(folder)
    release = Release.open(folder)
    cascade, reasons = Cascade(release, scene, "radio"), Reasons(release, NEVER_CITED)
    facts = Facts(batch.nodes, batch.relationships, events, nearest(release))
    chosen = np.random.default_rng(0).permutation(snapshot.users)[:LISTENERS].tolist()
    for what, queries in (("listeners", _listeners(cascade, chosen)), ("sessions", _sessions(cascade, chosen))):
        yield from _rows(f"{name}, {what}", counted(cascade, reasons, facts, queries))


def nearest(release: Release) -> list[tuple[str, str, str]]:
    """The nearest songs that a release projects: (id, id of the near song, model)."""
    ids = release.snapshot.ids["Song"].to_list()
    return [
        (ids[song], ids[near], model)
        for model in release.names("similar")
        for song, row in enumerate(release.arrays(f"similar/{model}")[0]["songs"][:, :SIMILAR_KEPT].tolist())
        for near in row
        if near >= 0
    ]


Asked = tuple[Query, str | None, Sequence[str]]


def _listeners(cascade: Cascade, users: Sequence[int]) -> Iterator[Asked]:
    for user in users:
        user_id = cascade.snapshot.ids["User"][user]
        yield cascade.query(user_id, max(cascade.snapshot.as_of, 0)), user_id, ()


def _sessions(cascade: Cascade, users: Sequence[int]) -> Iterator[Asked]:
    """What listeners liked last, asked without their names."""
    for query, _, _ in _listeners(cascade, users):
        session = [cascade.snapshot.ids["Song"][int(song)] for song in query.listener.recent(OF_A_SESSION)]
        if session:
            yield cascade.query(None, query.at, session=session), None, session


def counted(cascade: Cascade, reasons: Reasons, facts: Facts, asked: Iterator[Asked]) -> Counted:
    """Every claim of the slates of some queries, checked."""
    found = Counted()
    for query, user, session in asked:
        slate = cascade.slate(query)
        started = time.perf_counter()
        given = reasons.of_slate(cascade, query, slate, REASONS)
        found.ms.append((time.perf_counter() - started) * 1000)
        for song, mine in zip(slate.songs.tolist(), given, strict=True):
            made = [Claim(reason.as_json(), query.live.song_id(song), user, session) for reason in mine]
            found.songs += 1
            found.with_path += any(len(claim.nodes) > 1 for claim in made)
            found.claims += len(made)
            found.false += [wrong for claim in made for wrong in false_claims(facts, claim)]
            found.cited += [tag for claim in made for tag in forbidden(claim, NEVER_CITED)]
    return found


def _rows(what: str, found: Counted) -> Iterator[dict[str, Any]]:
    for wrong in [*found.false, *found.cited][:20]:
        sys.stderr.write(f"{what}: {wrong}\n")
    values = {
        "false claims": (len(found.false), 0, "claims"),
        "cited tags of the list": (len(found.cited), 0, "claims"),
        "songs with a path": (found.with_path / max(found.songs, 1), 0.9, "share"),
        "reasons of one slate, p50": (float(np.median(found.ms)), None, "ms"),
    }
    for name, (value, bar, unit) in values.items():
        yield {
            "what": f"{what}: {name}",
            "ours": round(value, 4),
            "peer": bar,
            "peer_name": "" if bar is None else "bar",
            "ratio": None,
            "unit": unit,
            "ours_quality": f"{found.claims} claims, {found.songs} songs",
            "peer_quality": "",
        }
