"""Two scenes of listeners and songs, each with an artist, a genre and a tag; one song a scene was never played."""

from __future__ import annotations

import numpy as np
import pytest

from graph.snapshot.snapshot import Snapshot

SCENES = {"a": (12, 9), "b": (10, 7)}


@pytest.fixture(scope="session")
def scenes() -> Snapshot:
    """Listeners a00 … and b00 … of songs a-0 … and b-0 …; `a-new` and `b-new` are only described."""
    from segue_test_worlds import NOW, edges, events, nodes  # pytest loads this file before there is such a module

    rng = np.random.default_rng(0)
    log = []
    for scene, (people, count) in SCENES.items():
        songs = [f"{scene}-{i}" for i in range(count)]
        log += [(f"{scene}{p:02}", "full_play", s, NOW) for p in range(people) for s in rng.permutation(songs)[:5]]
    songs = [f"{scene}-{i}" for scene, (_, count) in SCENES.items() for i in (*range(count), "new")]
    described = {
        ("PERFORMED_BY", "Song", "Artist"): [(s, f"artist-{s[0]}") for s in songs],
        ("HAS_GENRE", "Song", "Genre"): [(s, f"genre-{s[0]}") for s in songs],
        ("HAS_TAG", "Song", "Tag"): [(s, f"tag-{s[0]}", 1.0) for s in songs],
        ("FOLLOWS", "User", "User"): [("a00", "a01"), ("b00", "b01"), ("a01", "b01")],
    }
    return Snapshot.of_frames({"Song": nodes(songs)}, edges(described), events(log))
