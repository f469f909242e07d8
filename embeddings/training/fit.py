"""One training loop for every torch model: epochs, Adam, early stopping, checkpoints.

A training is a function of the model, the config and one seed: epoch e draws its batches and its noise from (seed, e)
alone, so that one which was interrupted goes on from its checkpoint to exactly the weights it would have had.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from embeddings.vectors.node_vectors import replacing
from graph.configure import check_positive
from graph.errors import FitError, InvalidInput
from graph.files import fingerprint
from graph.snapshot.arrays import Array, digest_of

Progress = Callable[[str, int, int], None]


class Trainable(nn.Module):
    """What `fit` trains: parameters, the batches of an epoch, and the loss of one batch."""

    def batches(self, rng: np.random.Generator) -> Iterable[Any]:
        """The batches of one epoch, drawn from `rng` alone."""
        raise NotImplementedError

    def loss(self, batch: Any) -> Tensor:
        """() the loss of one batch; its noise, if any, from torch's own generators, which `fit` seeds."""
        raise NotImplementedError

    def settings(self) -> str:
        """The model's own hyper-parameters; a checkpoint of other ones is refused."""
        return ""

    def data(self) -> Iterable[tuple[str, Array]]:
        """What it learns from, as named arrays; a checkpoint of other data is refused."""
        return ()


@dataclass(frozen=True)
class FitConfig:
    """How to train.

    Raises: ValueError for a number that is not above 0.
    """

    epochs: int = 1000
    """Passes over the data at most, 1 or more."""
    learning_rate: float = 1e-3
    """Adam's step, above 0."""
    evaluate_every: int = 5
    """Epochs between two evaluations, 1 or more."""
    patience: int = 10
    """Evaluations without a better one after which training stops, 1 or more."""
    checkpoint_every: int = 10
    """Epochs between two checkpoints, 1 or more."""

    def __post_init__(self) -> None:
        check_positive(self, "epochs", "learning_rate", "evaluate_every", "patience", "checkpoint_every")


@dataclass
class History:
    """What happened: the mean loss of every epoch, (epoch, value) of every evaluation, and which was the best.

    Epochs count from 1; `best_epoch` is the one whose weights the model has now.
    """

    losses: list[float] = field(default_factory=list)
    evaluations: list[tuple[int, float]] = field(default_factory=list)
    best_epoch: int = 0
    stopped_early: bool = False

    @property
    def best(self) -> float:
        """The best evaluation, -inf without any."""
        return max((value for _, value in self.evaluations), default=-math.inf)


def fit(
    model: Trainable,
    config: FitConfig,
    *,
    rng: np.random.Generator,
    validate: Callable[[], float] | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> History:
    """Train `model` in place; it ends with the weights that `validate` (higher is better) liked best, or the last.

    With `checkpoint` the state is kept in that file, and a training found there goes on, up to `config.epochs`. The
    same state of `rng` gives the same weights, interrupted or not. `threads` are torch's, as they are where None.

    Raises: FitError, naming the epoch, if a loss or a weight is not finite, or an epoch has no batch; InvalidInput if
    the checkpoint is damaged or of another training.
    """
    run = _Run(model.to(device), config, int(rng.integers(2**62)), checkpoint)
    with _threads(threads):
        run.resume()
        while run.epoch < config.epochs and not run.history.stopped_early:
            run.train_epoch()
            if validate is not None and run.epoch % config.evaluate_every == 0:
                run.evaluate(validate)
            run.save()
            if progress is not None:
                progress(type(model).__name__.lower(), run.epoch, config.epochs)
        run.finish()
    return run.history


class _Run:
    """One training: all that a checkpoint holds, and the steps that change it."""

    def __init__(self, model: Trainable, config: FitConfig, seed: int, checkpoint: Path | None) -> None:
        self.model, self.config, self.seed, self.checkpoint = model, config, seed, checkpoint
        self.optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
        self.history = History()
        self.best: dict[str, Tensor] | None = None

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history.losses)

    def train_epoch(self) -> None:
        self.model.train()
        rng = np.random.default_rng([self.seed, self.epoch])
        losses = []
        with _noise(self.model, int(rng.integers(2**62))):
            for batch in self.model.batches(rng):
                self.optimizer.zero_grad()
                loss = self.model.loss(batch)
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
                losses.append(loss.detach())
        if not losses:
            raise FitError(f"epoch {self.epoch + 1}: nothing to learn from, there is no batch")
        mean = float(torch.stack(losses).mean())
        if not math.isfinite(mean):
            raise FitError(f"epoch {self.epoch + 1}: the loss is {mean}: lower the learning rate")
        self.history.losses.append(mean)

    def evaluate(self, validate: Callable[[], float]) -> None:
        self.model.eval()
        with torch.no_grad():
            value = float(validate())
        history = self.history
        if not math.isfinite(value):
            raise FitError(f"epoch {self.epoch}: the validation is {value} (expected a finite number)")
        if value > history.best:
            history.best_epoch = self.epoch
            self.best = {name: weights.clone() for name, weights in self.model.state_dict().items()}
        history.evaluations.append((self.epoch, value))
        stale = sum(epoch > history.best_epoch for epoch, _ in history.evaluations)
        history.stopped_early = stale >= self.config.patience

    def finish(self) -> None:
        if self.best is None:
            self.history.best_epoch = self.epoch
        else:
            self.model.load_state_dict(self.best)
        self.model.eval()
        for name, weights in self.model.state_dict().items():
            if not torch.isfinite(weights).all():
                raise FitError(f"epoch {self.history.best_epoch}: {name} is not finite: lower the learning rate")

    def save(self) -> None:
        """Write the checkpoint if it is time for one."""
        due = self.epoch % self.config.checkpoint_every == 0
        last = self.epoch == self.config.epochs or self.history.stopped_early
        if self.checkpoint is None or not (due or last):
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "training": self._identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "history": asdict(self.history),
        }
        with replacing(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        device = next(self.model.parameters()).device
        try:
            state = torch.load(self.checkpoint, map_location=device, weights_only=True)
            if state["training"] != self._identity:
                raise InvalidInput(f"{self.checkpoint}: a checkpoint of another training (model, settings, data, seed)")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.best, self.history = state["best"], History(**state["history"])
        except (OSError, LookupError, ValueError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise InvalidInput(f"{self.checkpoint}: not a checkpoint ({type(error).__name__})") from error
        # a training that had come to its end goes on if it now may take more epochs or patience
        stale = sum(epoch > self.history.best_epoch for epoch, _ in self.history.evaluations)
        self.history.stopped_early = bool(self.history.evaluations) and stale >= self.config.patience

    @cached_property
    def _identity(self) -> str:
        """What a checkpoint must share with this training: all but how long it may last."""
        config = asdict(self.config)
        for name in ("epochs", "patience", "checkpoint_every"):
            del config[name]
        shapes = {name: list(weights.shape) for name, weights in self.model.state_dict().items()}
        model, data = self.model, digest_of(self.model.data())
        return fingerprint([type(model).__name__, model.settings(), config, self.seed, shapes, data])


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """torch with `count` threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    if count is not None:
        if count < 1:
            raise ValueError(f"threads must be at least 1 (got {count})")
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _noise(model: nn.Module, seed: int) -> Iterator[None]:
    """torch's generators seeded, and as they were before afterwards."""
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
