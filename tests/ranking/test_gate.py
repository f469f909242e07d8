import json

import numpy as np
import pytest

from ranking.gate import Paired, compared_with_parent, decide, first_release, without_comparison

METRIC = "ndcg@10"
# Differences -0.1, -0.2, -0.3, -0.2: mean -0.2, standard deviation sqrt(0.02 / 3) = 0.081650, standard error 0.040825.
CANDIDATE = np.array([0.4, 0.3, 0.0, 0.1])
PARENT = np.array([0.5, 0.5, 0.3, 0.3])


def paired(candidate=CANDIDATE, parent=PARENT) -> Paired:
    found = Paired.of(METRIC, np.asarray(candidate, dtype=float), np.asarray(parent, dtype=float))
    assert found is not None
    return found


def test_the_interval_of_four_listeners_by_hand():
    found = paired()
    assert (found.metric, found.listeners) == (METRIC, 4)
    assert (found.candidate, found.other, found.difference) == pytest.approx((0.2, 0.4, -0.2))
    assert (found.low, found.high) == pytest.approx((-0.2 - 1.96 * 0.040825, -0.2 + 1.96 * 0.040825), abs=1e-6)


def test_a_difference_that_is_the_same_for_everybody_has_no_width():
    found = paired([0.1, 0.6, 0.3], [0.2, 0.7, 0.4])
    assert (found.low, found.high) == pytest.approx((-0.1, -0.1))


def test_one_listener_gives_no_interval_and_is_never_worse():
    found = paired([0.0], [1.0])
    assert (found.low, found.high) == (None, None)
    assert not found.worse(0.0)


def test_without_listeners_there_is_no_comparison():
    assert Paired.of(METRIC, np.empty(0), np.empty(0)) is None


def test_other_listeners_are_refused():
    with pytest.raises(ValueError, match="4 listeners of the candidate, 3 of the other"):
        Paired.of(METRIC, CANDIDATE, PARENT[:3])


@pytest.mark.parametrize(
    ("margin", "decision"),
    [(0.0, "kept back"), (0.29, "kept back"), (0.31, "published")],  # the interval ends at -0.12 = -0.30 * 0.4
)
def test_worse_is_beyond_chance_and_beyond_the_margin(margin, decision):
    assert decide(paired(), margin, 4).decision == decision


def test_what_may_be_chance_is_published():
    verdict = decide(paired([0.4, 0.3, 0.9, 0.0], [0.5, 0.5, 0.3, 0.8]), 0.0, 4)
    assert verdict.compared.difference < 0 < verdict.compared.high
    assert verdict.decision == "published"
    assert verdict.reason.startswith("not worse than its parent beyond chance and the margin of 0%: ndcg@10 0.4000")


def test_the_reason_holds_the_figures():
    assert decide(paired(), 0.02, 2).reason == (
        "worse than its parent beyond chance and the margin of 2%: ndcg@10 0.2000, parent 0.4000 "
        "(difference -0.2000, 95 % interval -0.2800 to -0.1200, 4 listeners)"
    )


def test_too_few_listeners_publish_with_a_warning():
    verdict = decide(paired(), 0.0, 5)
    assert (verdict.decision, verdict.kept_back) == ("published without a comparison", False)
    assert verdict.reason.startswith("too few listeners to compare it with its parent (5 are needed): ndcg@10 0.2000")


def test_nobody_to_measure_with_publishes():
    assert decide(None, 0.0, 2).decision == "published without a comparison"


def test_a_first_release_is_published_and_compared_with_popularity():
    verdict = first_release(paired(), 0.0)
    assert verdict.decision == "published"
    assert verdict.reason.startswith("the first release: ndcg@10 0.2000, popularity 0.4000 (difference -0.2000")
    assert verdict.as_json()["popularity"] == pytest.approx(0.4)
    assert verdict.as_json()["parent"] is None
    assert first_release(None, 0.0).reason == "the first release: no held-out song measures it"


def test_the_manifest_says_the_comparison_and_it_can_be_read_back():
    told = json.loads(json.dumps(decide(paired(), 0.02, 2).as_json()))
    keys = {"decision", "reason", "metric", "candidate", "parent", "popularity", "difference", "low", "high"}
    assert told.keys() == keys | {"listeners", "margin"}
    assert (told["decision"], told["margin"], told["listeners"]) == ("kept back", 0.02, 4)
    assert compared_with_parent(told) == paired()
    assert compared_with_parent(first_release(paired(), 0.0).as_json()) is None
    assert compared_with_parent(without_comparison("its parent cannot be measured", 0.0).as_json()) is None
