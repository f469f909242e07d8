from pathlib import Path

import pytest

from api.jobs.refresh import Refresh
from api.settings import Settings
from graph.log.events import EventLog
from graph.store.store import GraphStore

METRIC = "ndcg@10"


def no_store() -> GraphStore:
    raise AssertionError("the graph is not asked")


@pytest.mark.parametrize(
    ("value", "parent", "reason"),
    [
        (0.11, None, None),
        (0.10, None, "ndcg@10 0.1000 does not beat popularity's 0.1000"),
        (0.09, None, "ndcg@10 0.0900 does not beat popularity's 0.1000"),
        (0.19, 0.2, None),
        (0.17, 0.2, "ndcg@10 0.1700 is below the parent's 0.2000 by more than the margin"),
    ],
)
def test_the_first_release_has_to_beat_popularity_and_others_their_parent(
    tmp_path: Path, value: float, parent: float | None, reason: str | None
) -> None:
    settings = Settings.model_validate({"state": {"dir": tmp_path}, "refresh": {"metric": METRIC, "margin": 0.1}})
    with EventLog(f"sqlite:///{tmp_path}/events.db") as log:
        gate = Refresh(settings, log, no_store)._gate
        metrics = {METRIC: value, f"popularity:{METRIC}": 0.1}
        assert gate(metrics, {} if parent is None else {METRIC: parent}, first=parent is None) == reason
        assert gate({}, {}, first=True) is None  # nobody to measure with
