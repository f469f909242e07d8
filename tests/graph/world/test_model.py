"""Every probability of the world's specification, worked by hand with round parameters."""

import pytest

from graph.world import Behaviour, WorldConfig
from graph.world.model import block, click, examine, fit_of, full_play, love, sigma, social_of

B = Behaviour(
    local=0.2,
    tongue=0.1,
    persuasion=0.5,
    position_bias=1.0,
    click_bias=-3.0,
    click_fit=4.0,
    click_quality=1.0,
    click_social=2.0,
    click_heard=0.5,
    full_bias=-2.0,
    full_fit=3.0,
    full_quality=2.0,
    full_social=1.0,
    full_heard=1.0,
    love_bias=-4.0,
    love_fit=4.0,
    love_quality=2.0,
    love_social=1.0,
    block_bias=-1.0,
    block_fit=2.0,
)


def test_sigma_of_0_is_a_half_and_of_1_is_0_731() -> None:
    assert sigma(0.0) == 0.5
    assert sigma(1.0) == pytest.approx(0.731059, abs=1e-6)


def test_fourth_slot_is_examined_a_quarter_of_the_time_and_half_of_it_on_the_radio() -> None:
    assert examine(B, 0, False) == 1.0
    assert examine(B, 3, False) == 0.25
    assert examine(B, 3, True) == 0.5


def test_fit_adds_the_place_and_the_language_to_the_cosine() -> None:
    assert fit_of(B, 0.4, False, False) == pytest.approx(0.4)
    assert fit_of(B, 0.4, True, False) == pytest.approx(0.6)
    assert fit_of(B, 0.4, True, True) == pytest.approx(0.7)


def test_two_lovers_persuade_by_three_quarters() -> None:
    assert [social_of(B, n) for n in (0, 1, 2)] == [0.0, 0.5, 0.75]


def test_click_without_curiosity_is_the_wish_alone() -> None:
    # -3 + 4*0.5 + 1*0.5 + 2*0.25 = 0
    assert click(B, 0.0, 0.5, 0.5, 0.25, False) == pytest.approx(0.5)
    assert click(B, 0.0, 0.5, 0.5, 0.25, True) == pytest.approx(sigma(0.5))


def test_curiosity_clicks_what_fit_does_not_explain() -> None:
    assert click(B, 0.2, 0.5, 0.5, 0.25, False) == pytest.approx(0.2 + 0.8 * 0.5)
    assert click(B, 0.2, -100.0, 0.5, 0.25, False) == pytest.approx(0.2)


def test_full_play_by_hand() -> None:
    # -2 + 3*0.5 + 2*0.5 + 1*0.5 = 1, and 1 more when heard before
    assert full_play(B, 0.5, 0.5, 0.5, False) == pytest.approx(sigma(1.0))
    assert full_play(B, 0.5, 0.5, 0.5, True) == pytest.approx(sigma(2.0))


def test_love_and_block_by_hand() -> None:
    assert love(B, 0.5, 0.5, 0.5) == pytest.approx(sigma(-0.5))  # -4 + 2 + 1 + 0.5
    assert block(B, 0.5) == pytest.approx(sigma(-2.0))  # -1 - 2*0.5


def test_config_survives_json_and_names_a_bad_value() -> None:
    config = WorldConfig(users=3, seed=5, behaviour=B)
    assert WorldConfig.from_dict(config.as_dict()) == config
    with pytest.raises(ValueError, match=r"songs must be at least 40 \(got 3\)"):
        WorldConfig(songs=3)
    with pytest.raises(ValueError, match=r"new_users must be at least 0 and below 1 \(got 1\)"):
        WorldConfig(new_users=1)
