"""Why a song: the strongest short paths that lead to it from a listener or a session, in words and as Cypher.

A path has at most three hops and cites only relationships that a release projects back into the graph or that single
edits write there, so that its Cypher finds it. No person is named whom the listener does not follow. Strength of a
path: what its first step weighs (0..1) x what the kind of connection says x how telling the node in the middle is (an
artist of ten songs tells more than a genre of ten thousand; of a tag also how strongly both songs have it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from graph.reasons import neighbours
from graph.reasons.asker import Asker
from graph.reasons.edges import Edge, Edges
from graph.reasons.people import Found, People
from graph.reasons.reason import Hop, Node, Reason
from graph.reasons.seeds import Seeds
from graph.reasons.shared import Shared
from graph.reasons.tags import NEVER_CITED, Tags
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot

SIMILAR_KEPT: Final = 20
Lead = Callable[[Reason], int]
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

    def why(
        self,
        asker: Asker,
        song: int,
        most: int = 3,
        without: Edge | None = None,
        lead: Lead | None = None,
    ) -> list[Reason]:
        """The `most` strongest reasons for position `song`, at most two of a kind of path.

        The one with the highest `lead`, if that is above 0, comes first. `without` is a relationship that no path may
        use, as if the graph did not hold it; one that it does not hold changes nothing.
        """
        edges = Edges(self._snapshot, without)
        seeds = Seeds(edges, asker, song)
        found = [*People(edges, asker).reasons(song), *Shared(edges, seeds, self._tags).reasons(song)]
        found += neighbours.reasons(edges, seeds, self._nearest, song)
        found = found or [*neighbours.over_another(edges, seeds, self._nearest, song)]
        return _strongest(found, most, lead)

    def why_new(
        self,
        asker: Asker,
        song: Node,
        entities: Mapping[str, Array],
        most: int = 3,
        without: Edge | None = None,
        lead: Lead | None = None,
    ) -> list[Reason]:
        """The same for a `song` that came after the release: by its artists, album, tags and genres.

        entities[r] are the positions of its r-entities. Its last edge stands in the graph, which single edits write.
        """
        edges = Edges(self._snapshot, without)
        people, shared = People(edges, asker), Shared(edges, Seeds(edges, asker, -1), self._tags)

        def reasons() -> Iterator[Found]:
            for artist in entities.get("PERFORMED_BY", ()):
                yield from people.by_artist(int(artist), Hop("PERFORMED_BY", "in"), song)
            yield from shared.of_new(song, entities)

        return _strongest([(kind, r) for kind, r in reasons() if not _uses(r, without)], most, lead)

    def beside(self, asker: Asker, seed: int, song: int) -> str | None:
        """That a song is heard beside one that the asker likes and by how many; None where too few have both."""
        seeds = Seeds(Edges(self._snapshot), asker, song)
        return neighbours.beside(self._snapshot, seeds.of(seed), song) if seed in seeds else None

    def similar(self, asker: Asker, seed: int, song: int) -> str | None:
        """That a song is like one that the asker likes; None if the asker does not."""
        seeds = Seeds(Edges(self._snapshot), asker, song)
        if seed not in seeds:
            return None
        heard = neighbours.beside(self._snapshot, seeds.of(seed), song) if song < self._snapshot.songs else None
        return heard or neighbours.similar(seeds.of(seed))

    def widened(self, asker: Asker, relation: str, entity: int, by: int, song: int) -> str | None:
        """That a song has an attribute near one of a song that the asker likes; None where no such song has it."""
        edges = Edges(self._snapshot)
        return Shared(edges, Seeds(edges, asker, song), self._tags).widened(relation, entity, by)

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


def _strongest(found: list[Found], most: int, lead: Lead | None) -> list[Reason]:
    found.sort(key=lambda pair: (-pair[1].score, pair[1].text))
    if lead is not None and found:
        first = max(range(len(found)), key=lambda i: (lead(found[i][1]), -i))
        found.insert(0, found.pop(first if lead(found[first][1]) else 0))
    kept: list[Reason] = []
    seen: dict[str, int] = {}
    for kind, reason in found:
        if seen.get(kind, 0) < OF_A_KIND and len(kept) < most:
            seen[kind] = seen.get(kind, 0) + 1
            kept.append(reason)
    return kept


def _uses(reason: Reason, without: Edge | None) -> bool:
    return without is not None and without in reason.edges()
