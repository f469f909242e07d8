from collections.abc import Callable

import pytest
from segue_test_worlds import World, edges, nodes

from graph.paths import Paths
from graph.reasons.asker import Asker
from graph.reasons.tags import Tags

TAGS = ("calm", "seen live", "alba", "rare")


def tagged(make_world: Callable[..., World]) -> World:
    """Three songs and more of most tags; s1 is calm above all, s2 hardly."""
    rows = [
        ("s1", "calm", 4.0),
        ("s2", "calm", 1.0),
        ("s2", "seen live", 4.0),
        ("s5", "calm", 2.0),
        ("s5", "rare", 8.0),
    ]
    rows += [(song, tag, 4.0) for song in ("s1", "s5", "s3") for tag in ("seen live", "alba")] + [("s1", "rare", 4.0)]
    return make_world(
        node_tables={"Tag": nodes(TAGS, name=["Calm", "Seen Live!", "ALBA", "rare"])},
        edge_tables=edges({("HAS_TAG", "Song", "Tag"): rows}),
    )


def test_tags_of_few_songs_of_the_artist_or_of_the_list_are_not_cited(make_world: Callable[..., World]) -> None:
    world = tagged(make_world)
    tags, place = Tags(world.snapshot), world.snapshot.ids["Tag"].index
    assert [tags.citable(place(tag), ["Alba"]) for tag in TAGS] == [True, False, False, False]
    assert tags.citable(place("alba"), ["Brio"])
    assert Tags(world.snapshot, ["calm"]).citable(place("seen live"))


def test_a_tag_tells_by_how_strongly_both_songs_have_it_and_how_few_have_it(make_world: Callable[..., World]) -> None:
    world = tagged(make_world)
    reasons = Paths(world.release).why(Asker(0), world.song("s5"), 20)  # ana collected s1
    (tag,) = [reason for reason in reasons if reason.text.startswith("tagged")]
    assert tag.text == "tagged Calm, like One which you collected"
    # s5 has calm a quarter as much as its heaviest tag; 3 of 5 songs have it: ln(1 + 5/3) / ln 6
    assert tag.score == pytest.approx(0.5 * 0.25 * 0.547411, abs=1e-6)


def test_the_setting_is_what_is_never_cited(make_world: Callable[..., World]) -> None:
    world = tagged(make_world)
    texts = [r.text for r in Paths(world.release, ["calm"]).why(Asker(0), world.song("s5"), 20)]
    assert [text for text in texts if text.startswith("tagged")] == ["tagged Seen Live!, like One which you collected"]
