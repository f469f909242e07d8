from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from embeddings.training.fit import FitConfig, History, Trainable, fit
from graph.errors import FitError, InvalidInput


class Line(Trainable):
    """Slope and shift of y = 3 x - 1; the input gets noise from torch's generator."""

    def __init__(self, noise: float = 0.0, points: int = 4) -> None:
        super().__init__()
        self.weights, self.noise, self.points = nn.Parameter(torch.tensor([0.5, 0.25])), noise, points

    def batches(self, rng: np.random.Generator) -> Iterator[Tensor]:
        for _ in range(3):
            yield torch.from_numpy(rng.standard_normal(self.points)).float()

    def loss(self, batch: Tensor) -> Tensor:
        noisy = batch + self.noise * torch.randn(len(batch))
        return (self.weights[0] * noisy + self.weights[1] - (3 * batch - 1)).square().mean()

    def settings(self) -> str:
        return f"noise {self.noise}"

    def data(self) -> Iterator[tuple[str, np.ndarray]]:
        yield "points", np.arange(self.points)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For two weights a second thread costs more than it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(model: Trainable | None = None, seed: int = 0, **more: Any) -> tuple[list[float], History]:
    config = FitConfig(**{"epochs": 10, "learning_rate": 0.05, "checkpoint_every": 3, **more.pop("config", {})})
    model = Line(noise=0.5) if model is None else model
    history = fit(model, config, rng=np.random.default_rng(seed), **more)
    return [float(x) for x in model.state_dict()["weights"]], history


def values(*given: float) -> Callable[[], float]:
    left = iter(given)
    return lambda: next(left)


def stop_after(epoch: int) -> Callable[[str, int, int], None]:
    def progress(what: str, done: int, total: int) -> None:
        if done == epoch:
            raise KeyboardInterrupt

    return progress


# ---- training


def test_it_finds_the_line() -> None:
    weights, history = trained(Line(), config={"epochs": 100})
    assert weights == pytest.approx([3, -1], abs=0.02)
    assert len(history.losses) == 100
    assert history.losses[0] > 1 > history.losses[-1]


def test_every_step_follows_the_gradient_of_its_own_batch_alone() -> None:
    alone: list[Tensor] = []
    applied: list[Tensor] = []

    class Watched(Line):
        def loss(self, batch: Tensor) -> Tensor:
            loss = super().loss(batch)
            alone.append(torch.autograd.grad(loss, self.weights, retain_graph=True)[0])
            return loss

    model = Watched()
    model.weights.register_post_accumulate_grad_hook(lambda weights: applied.append(weights.grad.clone()))
    trained(model, config={"epochs": 2})
    assert len(alone) == 6
    assert torch.equal(torch.stack(alone), torch.stack(applied))


def test_progress_names_the_model_and_counts_epochs() -> None:
    seen: list[tuple[str, int, int]] = []
    trained(config={"epochs": 2}, progress=lambda *now: seen.append(now))
    assert seen == [("line", 1, 2), ("line", 2, 2)]


def test_a_seed_gives_the_same_weights_and_another_one_others() -> None:
    assert trained(seed=1) == trained(seed=1)
    assert trained(seed=1)[0] != trained(seed=2)[0]


def test_the_noise_is_the_fit_s_own_and_leaves_torch_s_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    weights = trained()[0]
    assert torch.rand(1) == expected
    torch.manual_seed(6)
    assert trained()[0] == weights


def test_threads_are_as_before_even_after_a_failure() -> None:
    before = torch.get_num_threads()
    during: list[int] = []
    trained(threads=before + 1, progress=lambda *_: during.append(torch.get_num_threads()))
    assert set(during) == {before + 1}
    with pytest.raises(KeyboardInterrupt):
        trained(threads=before + 1, progress=stop_after(1))
    assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match=r"threads must be at least 1 \(got 0\)"):
        trained(threads=0)


@pytest.mark.parametrize("name", ["epochs", "learning_rate", "evaluate_every", "patience", "checkpoint_every"])
def test_a_number_that_is_not_above_0_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be more than 0 \(got 0\)"):
        FitConfig(**{name: 0})


# ---- early stopping


def test_it_stops_when_evaluations_get_no_better_and_keeps_the_best_weights() -> None:
    config = {"evaluate_every": 2, "patience": 3, "epochs": 100}
    weights, history = trained(config=config, validate=values(1, 5, 4, 5, 3, 9))
    assert history.evaluations == [(2, 1), (4, 5), (6, 4), (8, 5), (10, 3)]
    assert (history.best_epoch, history.best, history.stopped_early) == (4, 5, True)
    assert weights == trained(config={"epochs": 4})[0]


def test_the_best_is_taken_when_the_epochs_run_out() -> None:
    weights, history = trained(config={"evaluate_every": 4}, validate=values(2, 1))
    assert (history.best_epoch, history.stopped_early, len(history.losses)) == (4, False, 10)
    assert weights == trained(config={"epochs": 4})[0]


def test_the_last_is_taken_without_any_evaluation() -> None:
    assert trained()[1].best_epoch == 10


def test_evaluations_see_a_model_that_does_not_train_and_take_no_gradient() -> None:
    model, seen = Line(), []
    trained(model, validate=lambda: seen.append((model.training, torch.is_grad_enabled())) or 1.0)
    assert set(seen) == {(False, False)}


# ---- checkpoints


@pytest.mark.parametrize("killed_after", [2, 4, 7, 9])
def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path, killed_after: int) -> None:
    file, scores = tmp_path / "deep" / "it.pt", [3.0, 1, 4, 1, 5, 2, 6, 0, 0, 0]

    def run(model: Trainable, **more: Any) -> tuple[list[float], History]:
        return trained(model, config={"evaluate_every": 1}, validate=lambda: scores[done[0]], **more)

    done = [0]
    whole = run(Line(0.5), progress=lambda _, epoch, __: done.__setitem__(0, epoch))

    def interrupted(_: str, epoch: int, __: int) -> None:
        done[0] = epoch
        if epoch == killed_after:
            raise KeyboardInterrupt

    done = [0]
    with pytest.raises(KeyboardInterrupt):
        run(Line(0.5), progress=interrupted, checkpoint=file)
    done, seen = [killed_after // 3 * 3], []
    resumed = run(
        Line(0.5), checkpoint=file, progress=lambda _, epoch, __: (seen.append(epoch), done.__setitem__(0, epoch))
    )
    assert resumed == whole
    assert seen[0] == killed_after // 3 * 3 + 1  # not from the beginning


def test_a_finished_training_is_only_read(tmp_path: Path) -> None:
    first = trained(checkpoint=tmp_path / "it.pt")
    assert trained(checkpoint=tmp_path / "it.pt", progress=stop_after(1)) == first


def test_a_finished_training_goes_on_when_it_may_take_longer(tmp_path: Path) -> None:
    trained(config={"epochs": 4}, checkpoint=tmp_path / "it.pt")
    assert trained(checkpoint=tmp_path / "it.pt") == trained()


def test_one_that_stopped_early_goes_on_with_more_patience(tmp_path: Path) -> None:
    config = {"evaluate_every": 1, "epochs": 6}
    trained(config={**config, "patience": 2}, validate=values(2, 1, 1), checkpoint=tmp_path / "it.pt")
    more = trained(config={**config, "patience": 3}, validate=values(3, 1, 1), checkpoint=tmp_path / "it.pt")
    assert more == trained(config={**config, "patience": 3}, validate=values(2, 1, 1, 3, 1, 1))


@pytest.mark.parametrize(
    ("model", "seed", "config"),
    [(Line(0.5), 1, {}), (Line(0.25), 0, {}), (Line(0.5, points=5), 0, {}), (Line(0.5), 0, {"learning_rate": 0.1})],
    ids=["seed", "model's settings", "data", "learning rate"],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, model: Line, seed: int, config: Any) -> None:
    trained(checkpoint=tmp_path / "it.pt")
    with pytest.raises(InvalidInput, match="a checkpoint of another training"):
        trained(model, seed, config=config, checkpoint=tmp_path / "it.pt")


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    trained(checkpoint=tmp_path / "it.pt")
    whole = (tmp_path / "it.pt").read_bytes()
    for damaged in (b"", b"no checkpoint", whole[: len(whole) // 2]):
        (tmp_path / "it.pt").write_bytes(damaged)
        with pytest.raises(InvalidInput, match=r"it\.pt: not a checkpoint"):
            trained(checkpoint=tmp_path / "it.pt")
    assert [file.name for file in tmp_path.iterdir()] == ["it.pt"]


# ---- what goes wrong


def test_a_loss_that_is_not_finite_names_the_epoch() -> None:
    class Bursts(Line):
        def loss(self, batch: Tensor) -> Tensor:
            return super().loss(batch) * (float("nan") if abs(self.weights[0] - 0.5) > 0.2 else 1)

    with pytest.raises(FitError, match=r"epoch 2: the loss is nan"):
        trained(Bursts())


def test_weights_that_are_not_finite_are_named() -> None:
    model = Line()
    with torch.no_grad():
        model.register_buffer("scale", torch.tensor(float("inf")))
    with pytest.raises(FitError, match="scale is not finite"):
        trained(model)


def test_a_validation_that_is_not_finite_names_the_epoch() -> None:
    with pytest.raises(FitError, match="epoch 5: the validation is nan"):
        trained(validate=lambda: float("nan"))


def test_an_epoch_without_a_batch_is_nothing_to_learn_from() -> None:
    class Empty(Line):
        def batches(self, rng: np.random.Generator) -> Iterator[Tensor]:
            return iter(())

    with pytest.raises(FitError, match="epoch 1: nothing to learn from"):
        trained(Empty())


def test_ctrl_c_ends_it_within_a_second() -> None:
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        trained(config={"epochs": 10**9})
    assert time.monotonic() - began < 1.3
