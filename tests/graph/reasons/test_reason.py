import pytest

from graph.reasons.reason import Hop, Node, Reason

ANA, ONE, TWO = Node("User", "ana", "Ana"), Node("Song", "s1", "One"), Node("Song", "s2", "Two")


def test_a_path_passes_every_node_but_the_song_that_it_leads_to() -> None:
    hops = [Hop("LIKED", "out"), Hop("COVER_OF", "in")]
    reason = Reason.of("path", "text", 0.5, [ANA, ONE, TWO], hops)
    assert [reason.passes(node) for node in (ANA, ONE, TWO)] == [True, True, False]
    assert reason.edges() == {("LIKED", "ana", "s1"), ("COVER_OF", "s2", "s1")}


def test_relationships_that_stand_side_by_side_are_told_apart_by_parameters() -> None:
    hop = Hop("SIMILAR_TO", "out", {"weight": 0.5, "by": "song2vec"})
    reason = Reason.of("neighbour", "text", 0.5, [ONE, TWO], [hop])
    assert reason.parameters == {"id0": "s1", "id1": "s2", "by0": "song2vec"}
    assert "[r0:SIMILAR_TO {by: $by0, segue: true}]" in reason.cypher


def test_a_hop_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Reason.of("path", "text", 0.5, [ANA, ONE, TWO], [Hop("LIKED", "out")])
