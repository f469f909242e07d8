from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graph.release import Release
from graph.snapshot.arrays import Array
from recall.base import Candidates
from recall.blend.calibration import LEAST_HITS, Calibration
from recall.blend.fusion import Fusion, learned_weights, log_standardised_gap
from recall.blend.outcome import Outcome
from recall.blend.quotas import learned_quotas

rng = np.random.default_rng(0)


def lists(chance: Array, listeners: int = 400, by_score: bool = True) -> list[tuple[Array, Array]]:
    """Ten candidates a listener; the i-th is loved with chance[i]. Scores tell the rank, or nothing but the order."""
    found = []
    for _ in range(listeners):
        scores = np.linspace(1, 0.1, 10) if by_score else np.sort(rng.random(10))[::-1] * rng.lognormal(0, 3)
        found.append((scores, rng.random(10) < chance))
    return found


def test_a_calibrated_score_is_the_chance_of_being_loved() -> None:
    chance = np.linspace(0.6, 0.05, 10)
    fitted = Calibration.fit(lists(chance, 4000))
    assert fitted is not None
    found = fitted(np.linspace(1, 0.1, 10))
    assert found == pytest.approx(chance, abs=0.04)
    assert (np.diff(found) <= 0).all()


def test_where_scores_of_listeners_do_not_compare_the_rank_is_calibrated() -> None:
    fitted = Calibration.fit(lists(np.array([0.9] + [0.05] * 9), by_score=False))
    assert fitted is not None
    assert fitted.kind == "rank"
    assert fitted(np.array([1e9, 1.0, 0.5])) == pytest.approx([0.9, 0.05, 0.05], abs=0.05)


def test_a_channel_that_seldom_found_anything_has_no_calibration() -> None:
    few = [(np.array([1.0]), np.array([i < LEAST_HITS - 1])) for i in range(1000)]
    assert Calibration.fit(few) is None
    assert Calibration.fit([*few, (np.array([2.0]), np.array([True]))]) is not None


def candidates(*songs: int) -> Candidates:
    return Candidates(np.array(songs, dtype=np.int32), np.linspace(1, 0.1, len(songs)))


def outcome(loved: list[int], **found: Candidates) -> Outcome:
    return Outcome(found, np.array(loved))


def test_quotas_go_where_they_find_what_no_other_channel_finds() -> None:
    same, other = candidates(*range(40)), candidates(*range(100, 140))
    outcomes = [outcome([0, 1, 2, 101], a=same, copy=same, b=other)] * 3
    assert learned_quotas(outcomes, 20, {"a": 1.0, "copy": 1.0, "b": 1.0}, np.inf, least=0) == {"a": 10, "b": 10}


def test_what_lies_far_down_a_list_is_reached() -> None:
    outcomes = [outcome([35], a=candidates(*range(40)))]
    assert learned_quotas(outcomes, 400, {"a": 1.0}, np.inf, least=0) == {"a": 40}


def test_quotas_end_when_the_pool_is_full() -> None:
    outcomes = [outcome([5, 15, 25, 35], a=candidates(*range(40)))]
    assert learned_quotas(outcomes, 20, {"a": 1.0}, np.inf, least=0) == {"a": 20}


def test_a_channel_that_the_budget_does_not_hold_gets_none() -> None:
    outcomes = [outcome([0, 1, 100], a=candidates(*range(40)), b=candidates(*range(100, 140)))]
    assert learned_quotas(outcomes, 400, {"a": 8.0, "b": 5.0}, 10.0, least=0) == {"a": 10}
    assert learned_quotas(outcomes, 400, {"a": 8.0, "b": 5.0}, 13.0, least=0) == {"a": 10, "b": 10}


def test_every_channel_keeps_a_least_quota() -> None:
    outcomes = [outcome([25], a=candidates(*range(40)), b=candidates())]  # b is there for others
    assert learned_quotas(outcomes, 400, {"a": 1.0, "b": 1.0}, np.inf, least=5) == {"a": 35, "b": 5}
    assert learned_quotas(outcomes, 400, {"a": 8.0, "b": 5.0}, 10.0, least=5) == {"a": 35}


def test_who_found_nothing_teaches_nothing() -> None:
    assert Fusion.fit([outcome([9], a=candidates(1, 2))], 10, {"a": 1.0}, np.inf) is None
    assert Fusion.fit([], 10, {"a": 1.0}, np.inf) is None


def test_a_channel_without_calibration_is_worth_the_reciprocal_of_its_rank() -> None:
    one = Calibration("score", np.array([0.0, 1.0]), np.array([0.0, 0.5]))
    fusion = Fusion({"a": one}, {"a": 5}, otherwise=0.3)
    assert fusion.contribution("b", candidates(1, 2)) == pytest.approx([0.3, 0.3 * 60 / 61])
    assert fusion.contribution("a", candidates(1, 2)) == pytest.approx([0.5, 0.05], rel=2e-3)


def test_equal_chances_keep_the_order_of_the_channel() -> None:
    flat = Calibration("score", np.array([0.0]), np.array([0.2]))
    contributions = Fusion({"a": flat}, {"a": 5}).contribution("a", candidates(3, 1, 2))
    assert (np.diff(contributions) < 0).all()
    assert contributions == pytest.approx([0.2] * 3, rel=2e-3)


def test_it_is_read_as_it_was_written(tmp_path: Path, lopsided) -> None:
    one = Calibration("share", np.array([0.0, 1.0]), np.array([0.1, 0.5]))
    whole = Fusion({"a": one}, {"a": 5, "b": 7}, 0.3, {"a": 0.5})
    whole.save(tmp_path / "ranking" / "radio" / "fusion")
    lopsided.snapshot.write(tmp_path / "snapshot")
    found = Fusion.load(Release.open(tmp_path), "ranking/radio/fusion")
    assert (dict(found.quotas), found.otherwise, found.calibrations["a"].kind) == ({"a": 5, "b": 7}, 0.3, "share")
    assert found.weights == {"a": 0.5}
    assert found.contribution("a", candidates(1, 2)).tolist() == whole.contribution("a", candidates(1, 2)).tolist()


def test_between_two_weights_and_quotas_are_mixed() -> None:
    one, other = Fusion({}, {"a": 10}, weights={"a": 1.0}), Fusion({}, {"a": 20, "b": 10}, weights={"a": 0.0, "b": 2.0})
    between = one.interpolate(other, 0.75)
    assert (between.weights, between.quotas) == ({"a": 0.25, "b": 1.5}, {"a": 18, "b": 8})  # 17.5 and 7.5
    assert one.interpolate(other, 0.0) is one


def test_chances_are_not_mixed_with_weights() -> None:
    weighed, calibrated = Fusion({}, {"a": 10}, weights={"a": 1.0}), Fusion({}, {"a": 20})
    assert weighed.interpolate(calibrated, 0.5) is calibrated
    assert calibrated.interpolate(weighed, 0.5) is weighed
    assert calibrated.interpolate(weighed, 0.0) is calibrated


def test_weights_may_be_learned_for_quotas_that_are_given() -> None:
    right, wrong = candidates(1, 2, 3), candidates(3, 2, 1)
    outcomes = [outcome([1], a=wrong, b=right)] * 9
    found = Fusion.fit(outcomes, 10, {"a": 1.0, "b": 1.0}, np.inf, quotas={"a": 2, "b": 1})
    assert found.quotas == {"a": 2, "b": 1}
    # alone, the one candidate of b has a gap of 0, like a song that b does not name
    assert found.weights.get("b", 0.0) < learned_weights(outcomes)["b"]


def test_the_gap_of_3_and_1_is_ln_3_and_0() -> None:
    assert log_standardised_gap(np.array([3.0, 1.0])) == pytest.approx([np.log(3), 0])  # standard deviation 1
    assert log_standardised_gap(np.array([3e6, 1e6])) == pytest.approx([np.log(3), 0])
    assert log_standardised_gap(np.array([2.0, 2.0])).tolist() == [0, 0]
    assert log_standardised_gap(np.empty(0)).tolist() == []


def listeners_served_by(right: str, n: int) -> list[Outcome]:
    """Each of n likes the first song of `right`, which is the last of the other channel."""
    songs = candidates(1, 2, 3), candidates(3, 2, 1)
    return [outcome([1], **dict(zip(("a", "b") if right == "a" else ("b", "a"), songs, strict=True)))] * n


def test_the_channel_that_finds_what_is_loved_gets_the_weight() -> None:
    weights = learned_weights(listeners_served_by("b", 9))
    assert weights["b"] > 1
    assert weights["a"] == 0  # never below, unless signed
    assert learned_weights(listeners_served_by("b", 9), signed=True)["a"] < 0


def test_weights_do_not_change_when_the_listeners_are_repeated() -> None:
    assert learned_weights(listeners_served_by("a", 9)) == pytest.approx(
        learned_weights(listeners_served_by("a", 1)), rel=1e-3
    )


def test_a_stronger_penalty_makes_smaller_weights() -> None:
    assert (
        learned_weights(listeners_served_by("a", 1), l2=1.0)["a"]
        < learned_weights(listeners_served_by("a", 1))["a"] / 2
    )


def test_an_outcome_without_relevant_candidates_gives_no_weights() -> None:
    assert learned_weights([outcome([9], a=candidates(1, 2))]) == {}


def test_a_contribution_is_weight_times_log_standardised_gap() -> None:
    fusion = Fusion({}, {"a": 5, "b": 5}, weights={"a": 2.0, "b": 0.0})
    assert fusion.contribution("a", candidates(1, 2)) == pytest.approx(
        2 * log_standardised_gap(np.array([1, 0.1])), abs=2e-3
    )
    assert fusion.contribution("b", candidates(1, 2)) == pytest.approx([0, 0], abs=2e-3)
    assert (np.diff(fusion.contribution("b", candidates(1, 2, 3))) < 0).all()  # its order stands all the same
    assert fusion.contribution("c", candidates(1, 2)) == pytest.approx(
        log_standardised_gap(np.array([1, 0.1])), abs=2e-3
    )  # the median


def test_the_gain_of_a_song_loved_at_the_second_place_is_0_631() -> None:
    fusion = Fusion({}, {"a": 5}, weights={"a": 1.0})
    assert fusion.gains([outcome([2], a=candidates(1, 2, 3))]) == pytest.approx(1 / np.log2(3))
    assert fusion.gains([outcome([9], a=candidates(1, 2, 3))]) == 0


def test_weights_keep_three_copies_of_a_worse_channel_from_outvoting_a_better_one() -> None:
    right, wrong = candidates(1, 2, 3), candidates(2, 9, 3)
    apart = outcome([1], a=right, b=wrong, c=wrong, d=wrong)
    agreed = outcome([1], a=right, b=right, c=right, d=right)
    fusion = Fusion.fit(
        [apart, apart, apart, apart, agreed, agreed, agreed] * 20, 100, dict.fromkeys("abcd", 1.0), np.inf
    )
    assert fusion is not None
    assert fusion.gains([apart, agreed]) == pytest.approx([1, 1])
    assert replace(fusion, weights={}).gains([apart, agreed]).sum() < 2


def test_weights_are_not_used_where_chances_order_clearly_better() -> None:
    # both lists look alike from within; only how high a channel's scores are tells which of the two is right
    def one(i: int) -> Outcome:
        scores, right = np.array([1.0, 0.5, 0.1]), i % 3 > 0
        high, low = Candidates(np.array([1, 2, 3]), scores), Candidates(np.array([4, 5, 6]), scores / 10)
        return Outcome({"a": high if right else low, "b": low if right else high}, np.array([1]))

    fusion = Fusion.fit([one(i) for i in range(150)], 6, {"a": 1.0, "b": 1.0}, float("inf"))
    assert fusion is not None
    assert not fusion.weights
