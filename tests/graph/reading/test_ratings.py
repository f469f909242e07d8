import polars as pl
import pytest

from graph.reading.ratings import Scale, signed


@pytest.mark.parametrize(
    ("ratings", "scale", "actions"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0], (1, 5), ["dislike", "dislike", "play", "like", "like"]),
        ([1.0, 5.0], (1, 5), ["dislike", "like"]),
        ([4.0, 5.0], (1, 5), ["like", "like"]),
        ([0.5, 2.5, 3.0, 5.0], (0.5, 5), ["dislike", "dislike", "play", "like"]),
        ([0.0, 1.0, 3.0, 4.0], (0, 5), ["dislike", "dislike", "play", "like"]),
        ([0.0, 1.0], (0, 1), ["dislike", "like"]),
        ([0.0, 0.5, 1.0], (0, 1), ["dislike", "play", "like"]),
        ([-1.0, 0.0, 1.0], (-1, 1), ["dislike", "play", "like"]),
        ([3.0, 6.0, 9.0], (1, 10), ["dislike", "play", "like"]),
        ([-8.5, 0.0, 9.9], (-10, 10), ["dislike", "play", "like"]),
        ([20.0, 60.0, 90.0], (0, 100), ["dislike", "play", "like"]),
        ([1.0, 5000.0], None, ["play", "play"]),  # counts, not ratings
        ([1.0, 1.0], None, ["play", "play"]),  # that something happened
    ],
)
def test_a_scale_is_decided_by_the_whole_column(
    ratings: list[float], scale: tuple[float, float] | None, actions: list[str]
) -> None:
    found = Scale.of(pl.Series(ratings))
    assert (None if found is None else (found.low, found.high)) == scale
    events, _ = signed(pl.DataFrame({"action": ["play"] * len(ratings), "rating": ratings}))
    assert events["action"].to_list() == actions


def test_what_was_done_stays_and_what_was_found_is_said() -> None:
    events = pl.DataFrame({"action": ["skip", "play", "play", "play", "collect"], "rating": [1.0, 2.0, 5.0, None, 1.0]})
    told, said = signed(events)
    assert told["action"].to_list() == ["skip", "dislike", "like", "play", "collect"]
    assert said == "ratings are taken to be 1 to 5: 1 below 3 are dislikes, 1 from 4 on likes"
    assert signed(events.with_columns(rating=pl.lit(None, pl.Float64)))[1] is None
