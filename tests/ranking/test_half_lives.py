import dataclasses
import math
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, World, events

from ranking.half_lives import Case, fit_half_lives, recalls
from recall.channels.attributes import Attributes, AttributesConfig

ARTISTS: Final = AttributesConfig(
    {"PERFORMED_BY": 1.0},
    popularity=0.0,
    correction=0.0,
    freshness=0.0,
    widen=0.0,
    half_life_days={"PERFORMED_BY": 30.0},
    popular_days=30.0,
)
# Ana heard Alba's s1 twice long ago and Brio's s3 now: s4 is by Brio, s2 and s5 are by Alba
ONCE: Final = [*[("ana", "full_play", "s1", NOW - 100 * DAY)] * 2, ("ana", "full_play", "s3", NOW)]


@pytest.fixture
def moved_on(make_world: Callable[..., World]) -> World:
    return make_world(log=events(ONCE))


def case(world: World, *came: str) -> Case:
    return Case(world.listener("ana"), NOW, np.array([world.song(song) for song in came]))


def test_recall_is_that_of_what_came_without_what_was_heard(moved_on: World) -> None:
    cases = [case(moved_on, "s4"), case(moved_on, "s2"), case(moved_on, "s4", "s2")]
    assert recalls(Attributes(moved_on.release, ARTISTS), cases, 1).tolist() == [1, 0, 0.5]


@pytest.mark.parametrize(("came", "k", "start", "days"), [("s4", 1, math.inf, 10.0), ("s2", 1, 10.0, math.inf)])
def test_the_half_life_is_fitted_that_recalls_what_came(
    moved_on: World, came: str, k: int, start: float, days: float
) -> None:
    sets = [(moved_on.release, [case(moved_on, came)])]
    begun = dataclasses.replace(ARTISTS, half_life_days={"PERFORMED_BY": start})
    fitted = fit_half_lives(sets, begun, k=k, grid=(10.0, math.inf))
    assert fitted.recall == 1
    assert dict(fitted.config.half_life_days) == {"PERFORMED_BY": days}
    assert fitted.config.popular_days == 30  # popularity has no say here
    assert list(fitted.sweeps["PERFORMED_BY"]) == [10.0, math.inf]


def test_a_gain_within_its_standard_error_changes_nothing(moved_on: World) -> None:
    # 10 days recall s4, infinity s2: the mean gain of 0.2 has a standard error of 0.44
    cases = [case(moved_on, came) for came in ("s4", "s4", "s4", "s2", "s2")]
    begun = dataclasses.replace(ARTISTS, half_life_days={"PERFORMED_BY": math.inf})
    fitted = fit_half_lives([(moved_on.release, cases)], begun, k=1, grid=(10.0, math.inf))
    assert fitted.config.half_life_days["PERFORMED_BY"] == math.inf
    assert fitted.sweeps["PERFORMED_BY"][10.0] == pytest.approx(0.6)


def test_equal_recalls_leave_a_half_life_as_it_is(moved_on: World) -> None:
    fitted = fit_half_lives(
        [(moved_on.release, [case(moved_on, "s4", "s2", "s5")])], ARTISTS, k=3, grid=(1.0, math.inf)
    )
    assert dict(fitted.config.half_life_days) == {"PERFORMED_BY": 30.0}


def test_progress_ends_at_its_total(moved_on: World) -> None:
    told: list[tuple[int, int]] = []
    sets = [(moved_on.release, [case(moved_on, "s4")])]
    fit_half_lives(sets, ARTISTS, k=1, grid=(1.0,), progress=lambda _what, done, total: told.append((done, total)))
    assert told[-1] == (6, 6)


def test_listeners_of_fewer_than_5_songs_and_those_who_found_nothing_new_do_not_count(moved_on: World) -> None:
    ana = moved_on.listener("ana").user
    assert Case.of(moved_on.release, [(ana, np.array([3]))], np.array([NOW])) == []


def test_without_a_case_there_is_nothing_to_fit(moved_on: World) -> None:
    with pytest.raises(ValueError, match=r"at least one case \(got 0\)"):
        fit_half_lives([(moved_on.release, [])], ARTISTS)
