"""Why a song: the strongest short paths that lead to it from a listener or a session, in words and as Cypher.

A path has at most three hops and cites only relationships that a release projects back into the graph or that single
edits write there, so that its Cypher finds it. No person is named whom the listener does not follow. Strength of a
path: what its first step weighs (0..1) x what the kind of connection says x how telling the node in the middle is (an
artist of ten songs tells more than a genre of ten thousand; of a tag also how strongly both songs have it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from graph.reasons.asker import Asker
from graph.reasons.edges import Edge, Edges
from graph.reasons.neighbours import Nearest, Neighbours, similar
from graph.reasons.people import Found, People
from graph.reasons.phrases import NEVER_CITED
from graph.reasons.reason import Draft, Hop, Node, Reason
from graph.reasons.seeds import Seeds
from graph.reasons.shared import Shared
from graph.reasons.tags import Tags
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot

SIMILAR_KEPT: Final = 20
Lead = Callable[[Draft], int]
"""How much a reason should come first, 0 for not at all."""
OF_A_KIND: Final = 2
"""Reasons over one kind of path that are given for a song."""


class Paths:
    """Finds reasons in one release; no tag with a word of `never_cited` is named."""

    def __init__(self, release: Release, never_cited: Iterable[str] = NEVER_CITED) -> None:
        self._snapshot: Snapshot = release.snapshot
        self._tags = Tags(release.snapshot, never_cited)
        self._nearest = {
            model: {key: value[:, :SIMILAR_KEPT] for key, value in release.arrays(f"similar/{model}")[0].items()}
            for model in release.names("similar")
        }

    def of(self, asker: Asker, without: Edge | None = None) -> PathsOfAsker:
        """Those of one asker, for whom what does not depend on the song is looked up once.

        `without` is a relationship that no path may use, as if the graph did not hold it; one that it does not hold
        changes nothing.
        """
        return PathsOfAsker(Edges(self._snapshot, without), asker, self._tags, self._nearest, without)

    def why(
        self, asker: Asker, song: int, most: int = 3, without: Edge | None = None, lead: Lead | None = None
    ) -> list[Reason]:
        """See `PathsOfAsker.why`."""
        return self.of(asker, without).why(song, most, lead)

    def popular(self, song: int) -> list[Reason]:
        """That a song of the release is played, and how much; nothing if it has never been."""
        listened = self._snapshot.relation("LISTENED")
        people = len(listened.into(song))
        if not people:
            return []
        plays = int(listened.properties["plays"][listened.edges_into(song)].sum())
        times = "once" if plays == 1 else f"{plays} times"
        text = f"played {times} by {people} listeners" if people > 1 else f"played {times}"
        score = min(1.0, people / max(self._snapshot.users, 1))
        return [Reason.of("popular", text, score, [Node.of(self._snapshot, "Song", song)])]


class PathsOfAsker:
    """Finds the reasons of one asker."""

    def __init__(self, edges: Edges, asker: Asker, tags: Tags, nearest: Nearest, without: Edge | None = None) -> None:
        self._songs, self._without = edges.snapshot.songs, without
        self._seeds, self._people = Seeds(edges, asker), People(edges, asker)
        self._shared, self._near = Shared(edges, self._seeds, tags), Neighbours(edges, self._seeds, nearest)

    def why(
        self, song: int, most: int = 3, lead: Lead | None = None, through: tuple[str, int] | None = None
    ) -> list[Reason]:
        """The `most` strongest reasons for position `song`, at most two of a kind of path.

        The one with the highest `lead`, if that is above 0, comes first. Paths over what songs share have one only if
        they are among the strongest, or lead `through` that node, a label with a position.
        """
        shared = self._shared.reasons(song, OF_A_KIND, through)
        found = [*self._people.reasons(song), *shared, *self._near.reasons(song)]
        return _strongest(found or [*self._near.over_another(song)], most, lead)

    def why_new(
        self, song: Node, entities: Mapping[str, Array], most: int = 3, lead: Lead | None = None
    ) -> list[Reason]:
        """The same for a `song` that came after the release: by its artists, album, tags and genres.

        entities[r] are the positions of its r-entities. Its last edge stands in the graph, which single edits write.
        """

        def reasons() -> Iterator[Found]:
            for artist in entities.get("PERFORMED_BY", ()):
                yield from self._people.by_artist(int(artist), Hop("PERFORMED_BY", "in"), song)
            yield from self._shared.of_new(song, entities)

        return _strongest([(kind, one) for kind, one in reasons() if not _uses(one, self._without)], most, lead)

    def beside(self, seed: int, song: int) -> str | None:
        """That a song is heard beside another that the asker likes and by how many; None where too few have both."""
        return self._near.beside(self._seeds.of(seed), song) if self._starts(seed, song) else None

    def similar(self, seed: int, song: int) -> str | None:
        """That a song is like another one that the asker likes; None if the asker does not."""
        if not self._starts(seed, song):
            return None
        heard = self.beside(seed, song) if song < self._songs else None
        return heard or similar(self._seeds.of(seed))

    def widened(self, relation: str, entity: int, by: int, song: int) -> str | None:
        """That a song has an attribute near one of a song that the asker likes; None where no such song has it."""
        return self._shared.widened(relation, entity, by, song)

    def _starts(self, seed: int, song: int) -> bool:
        return seed in self._seeds and seed != song


def _strongest(found: list[Found], most: int, lead: Lead | None) -> list[Reason]:
    found.sort(key=lambda pair: (-pair[1].score, pair[1].text))
    if lead is not None and found:
        first = max(range(len(found)), key=lambda i: (lead(found[i][1]), -i))
        found.insert(0, found.pop(first if lead(found[first][1]) else 0))
    kept: list[Draft] = []
    seen: dict[str, int] = {}
    for kind, reason in found:
        if seen.get(kind, 0) < OF_A_KIND and len(kept) < most:
            seen[kind] = seen.get(kind, 0) + 1
            kept.append(reason)
    return [draft.written() for draft in kept]


def _uses(reason: Draft, without: Edge | None) -> bool:
    return without is not None and without in reason.edges()
