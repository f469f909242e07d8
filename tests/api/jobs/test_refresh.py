from pathlib import Path

import pytest

from api.jobs.refresh import Refresh
from api.settings import load
from ranking.fine.linear import LinearConfig
from ranking.rerank.mmr import MmrConfig

LINEAR, MMR = "[scenes.radio.rankers.linear]\n", "[scenes.radio.rerankers.mmr]\n"
PLAN = {"log_id": "a", "offset": 1, "journal": 1, "wall_clock": 1}
FUSED = "".join(f"[scenes.{name}]\nranker = 'fused'\n" for name in ("daily", "radio"))


@pytest.fixture
def prints(tmp_path, monkeypatch):
    """The fingerprint of every step of a refresh with those settings."""
    monkeypatch.chdir(tmp_path)

    def of(text: str) -> dict[str, str]:
        Path("segue.toml").write_text(text)
        return Refresh(load(), log=None, open_store=None)._fingerprints({**PLAN, "base": None})

    return of


def changed(one: dict[str, str], other: dict[str, str]) -> set[str]:
    assert one.keys() == other.keys()
    return {name for name in one if one[name] != other[name]}


def test_an_option_of_a_ranker_fits_it_anew_and_nothing_else(prints) -> None:
    assert changed(prints(""), prints(f"{LINEAR}l2 = 1")) == {"rank", "evaluate"}


def test_an_option_of_a_reranker_trains_nothing_and_is_measured(prints) -> None:
    assert changed(prints(""), prints(f"{MMR}balance = 0.5")) == {"evaluate"}


def test_another_class_under_the_same_name_is_fitted_anew(prints) -> None:
    assert changed(prints(""), prints(f'{LINEAR}use = "ranking.fine.linear:Linear"')) == {"rank", "evaluate"}
    assert changed(prints(""), prints(f'{MMR}use = "ranking.rerank.mmr:Mmr"')) == {"evaluate"}


@pytest.mark.parametrize(
    ("usual", "same"),
    [
        ("", f"{LINEAR}l2 = {LinearConfig().l2}\n{MMR}balance = {MmrConfig().balance}"),  # the defaults, written out
        (FUSED, f"{FUSED}{LINEAR}l2 = 1"),  # of a ranker that the scene does not use
    ],
)
def test_what_changes_nothing_fits_nothing_anew(prints, usual: str, same: str) -> None:
    assert changed(prints(usual), prints(same)) == set()


def test_what_was_taken_out_of_the_log_is_unlearned(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    refresh, plan = Refresh(load(), log=None, open_store=None), {**PLAN, "generation": 1}
    prints = refresh._fingerprints({**PLAN, "base": None})
    assert changed(prints, refresh._fingerprints({**plan, "base": None})) == prints.keys()
    steps = {name: {"fingerprint": step_fingerprint} for name, step_fingerprint in prints.items()}
    release = {"id": "r", "digest": "d", "events": {"log_id": "a", "offset": 1}, "base": None, "steps": steps}
    monkeypatch.setattr(refresh, "_sealed", lambda _: (None, release))
    assert refresh._chosen_base(plan, full=False) == {"id": "r", "digest": "d", "full": True}


@pytest.mark.parametrize(("same", "base"), [(True, None), (False, {"id": "r", "digest": "d", "full": False})])
def test_a_refresh_goes_on_from_the_release_unless_that_has_the_same_models(
    tmp_path, monkeypatch, same: bool, base: object
) -> None:
    monkeypatch.chdir(tmp_path)
    refresh, plan = Refresh(load(), log=None, open_store=None), dict(PLAN)
    prints = refresh._fingerprints({**PLAN, "base": None}) if same else {}
    steps = {name: {"fingerprint": step_fingerprint} for name, step_fingerprint in prints.items()}
    release = {"id": "r", "digest": "d", "events": {"log_id": "a", "offset": 1}, "base": None, "steps": steps}
    monkeypatch.setattr(refresh, "_sealed", lambda _: (None, release))
    assert refresh._chosen_base(plan, full=False) == base
    assert plan == PLAN  # asking changes nothing
