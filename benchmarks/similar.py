"""The ten nearest of the 200 best known Last.fm artists, by the fusion that `similar` answers with and by each source.

`lastfm-2k`, where every artist is a song too: the release is made from all of it as a refresh without settings makes
it, with the models and channels that ship, and asked as REST asks it, on one core. Reported are the share of the
nearest that fewer than 5 listeners know, the share that has one of its 5 most given tags in common with the artist
asked about, how many of seven metal bands are among Metallica's ten, and the median time of an answer. Peers are the
single sources. Tags are a source of the fusion and of `attributes`; only for the two others is the share of common
tags an independent judge. Sources weigh alike: other weights were tried on the same data, and all of them met the
bars.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from api.similar import Similar
from graph.errors import InvalidInput
from graph.importers.base import open_importer
from graph.release import Release
from graph.snapshot.snapshot import Snapshot
from ranking.learning import Learner, LearningConfig
from ranking.scene import SceneConfig
from recall.live.live import Overlay
from recall.similarity.sources import FUSION, Sources

ASKED: Final = 200
NEAREST: Final = 10
FEW: Final = 5
TAGS: Final = 5
BAND: Final = "Metallica"
NAMED: Final = ("Slayer", "Megadeth", "Iron Maiden", "Judas Priest", "Black Sabbath", "Anthrax", "AC/DC")


@dataclass(frozen=True)
class Measured:
    """Of one source: shares of all that was found, how many of `NAMED`, and the median milliseconds of an answer."""

    few_listeners: float
    common_tag: float
    named: int
    ms: float


def run() -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them.

    Raises: InvalidInput if the data are missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        lastfm_release(Path(folder))
        found = _asked(Path(folder))
    return [row for by in found if by != FUSION for row in _rows(found, by)]


def lastfm_release(folder: Path) -> Release:
    """A release of the whole of `lastfm-2k`, with the models and channels that ship.

    Raises: InvalidInput if the data are missing.
    """
    path = Path(os.environ.get("SEGUE_DATA", "../shared/data")) / "lastfm-2k"
    if not path.exists():
        raise InvalidInput(f"{path}: expected a data set (set SEGUE_DATA)")
    batch = open_importer("lastfm", path).read(lambda *_: None)
    events = batch.events.with_row_index("offset", offset=1)
    snapshot = Snapshot.of_frames(batch.nodes, batch.relationships, events)
    snapshot.write(folder / "snapshot")
    learner = Learner({"radio": SceneConfig()}, LearningConfig())
    for model in learner.config.models:  # of the whole log; nothing is measured or ordered here
        learner.embed(folder, model, part="")
    learner.recall(folder, part="")
    return Release.open(folder)


def _asked(folder: Path) -> dict[str, Measured]:
    """What a process of its own measures with one thread, as a worker of `segue serve` has."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    command = [sys.executable, __file__, str(folder)]
    path = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[1]), *sys.path])}
    done = subprocess.run(command, env=os.environ | one | path, stdout=subprocess.PIPE, text=True, check=True)
    return {by: Measured(**values) for by, values in json.loads(done.stdout.splitlines()[-1]).items()}


def measured(release: Release, by: str) -> Measured:
    """The nearest of the best known artists by one source."""
    snapshot, similar = release.snapshot, Similar(release)
    live, ids = Overlay.of(snapshot), snapshot.ids["Song"]
    listeners = np.diff(snapshot.relation("LISTENED").reverse_indptr)
    asked = np.argsort(-listeners, kind="stable")[:ASKED].tolist()
    similar.warm()
    seconds, few, common, named = [], [], [], 0
    for song in asked:
        started = time.perf_counter()
        answer = similar.songs(song, ids[song], live, NEAREST, by)
        seconds.append(time.perf_counter() - started)
        near = [ids.index(item["song_id"]) for item in answer["items"]]
        few += [listeners[other] < FEW for other in near]
        common += [bool(_top_tags(snapshot, song) & _top_tags(snapshot, other)) for other in near]
        if snapshot.name("Song", song) == BAND:
            named = len({snapshot.name("Song", other) for other in near} & set(NAMED))
    return Measured(float(np.mean(few)), float(np.mean(common)), named, float(np.median(seconds)) * 1000)


def _top_tags(snapshot: Snapshot, song: int) -> set[int]:
    """Positions of the tags that most listeners gave; of equal ones the first."""
    tagged = snapshot.relation("HAS_TAG", "Song")
    weights = tagged.weights()[tagged.edges_of(song)]
    return set(tagged.of(song)[np.argsort(-weights, kind="stable")[:TAGS]].tolist())


def _rows(found: Mapping[str, Measured], peer: str) -> list[dict[str, Any]]:
    ours, theirs = found[FUSION], found[peer]
    values = {
        f"nearest with under {FEW} listeners": ("share", ours.few_listeners, theirs.few_listeners),
        f"nearest with a top-{TAGS} tag in common": ("share", ours.common_tag, theirs.common_tag),
        f"{BAND}: of {len(NAMED)} named bands": ("bands", ours.named, theirs.named),
        "an answer, p50": ("ms", ours.ms, theirs.ms),
    }
    return [
        {
            "what": what,
            "ours": round(mine, 4),
            "peer": round(other, 4),
            "peer_name": peer,
            "ratio": round(mine / other, 3) if other else None,
            "unit": unit,
            "ours_quality": FUSION,
            "peer_quality": "",
        }
        for what, (unit, mine, other) in values.items()
    ]


if __name__ == "__main__":
    opened = Release.open(Path(sys.argv[1]))
    whole = {by: asdict(measured(opened, by)) for by in Sources(opened).names}
    sys.stdout.write(json.dumps(whole))
