"""What a release has learned about its channels: how much their scores contribute, and how many candidates to take.

**Calibration.** See `recall.blend.calibration`.

**Weights.** Each channel's weight is learned from the same listeners, so that sorting by the weighted sum ranks the
relevant songs first. A candidate contributes its channel's weight times its log-standardised gap: the logarithm of 1 +
how many standard deviations its score is above the last of its list. Weights are used unless the sum of the calibrated
chances ranks better on held-out listeners, by more than a standard error: weights that are fitted to one half of the
listeners do worse than those that are fitted to all.

**Quotas.** See `recall.blend.quotas`.

Source: weights as a linear stack of models with non-negative weights, Breiman 1996, Stacked regressions, by a listwise
loss (`recall.blend.listwise`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays
from recall.base import Candidates
from recall.blend.calibration import Calibration
from recall.blend.listwise import listwise
from recall.blend.outcome import Outcome, candidate_table
from recall.blend.quotas import learned_quotas
from recall.kernels.merging import RANK_OFFSET, gap_contributions

_TIE: Final = 1e-3
_L2S: Final = (1e-3, 1e-2, 1e-1)
"""L2 penalties of the weights; the one that ranks best on held-out listeners is used."""


@dataclass(frozen=True)
class Fusion:
    """Calibrations, quotas and weights by channel. `otherwise` is the contribution of the best candidate of a channel
    without calibration. Without `weights` a candidate contributes its calibrated chance."""

    calibrations: Mapping[str, Calibration]
    quotas: Mapping[str, int]
    otherwise: float = 1 / RANK_OFFSET
    weights: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        outcomes: Sequence[Outcome],
        pool: int,
        cost_ms: Mapping[str, float],
        budget_ms: float,
        *,
        quotas: Mapping[str, int] | None = None,
        signed: bool = False,
    ) -> Fusion | None:
        """From listeners' outcomes; None where no channel found a song that its listener liked.

        `cost_ms`: each channel's milliseconds; the channels that get a quota stay within `budget_ms` in sum. Given
        `quotas` are kept, and weights learned for them. If `signed`, weights may be negative: more precise where every
        channel answers every listener, but inverts the ranking for a listener served by that channel alone.
        """
        calibrations = {}
        for name in cost_ms:
            lists = [(o.found[name].scores, np.isin(o.found[name].songs, o.loved)) for o in outcomes if name in o.found]
            if (fitted := Calibration.fit([one for one in lists if len(one[0])])) is not None:
                calibrations[name] = fitted
        learned = learned_quotas(outcomes, pool, cost_ms, budget_ms)
        if not learned:
            return None
        quotas = learned if quotas is None else quotas
        best = [float(c.chance[-1]) for c in calibrations.values()]
        plain = cls(calibrations, quotas, float(np.median(best)) if best else cls.otherwise)
        cut = [outcome.within(quotas) for outcome in outcomes]
        halves = cut[::2], cut[1::2]

        def crossed(l2: float) -> Array:
            weighed = [replace(plain, weights=learned_weights(half, signed=signed, l2=l2)) for half in halves]
            return np.concatenate([one.gains(half) for one, half in zip(weighed, halves[::-1], strict=True)])

        l2 = max(_L2S, key=lambda one: float(crossed(one).sum()))
        lost = np.concatenate([plain.gains(half) for half in halves[::-1]]) - crossed(l2)
        if lost.mean() > lost.std() / np.sqrt(len(lost)) or not np.any(lost):
            return plain
        return replace(plain, weights=learned_weights(cut, signed=signed, l2=l2))

    def contribution(self, name: str, found: Candidates) -> Array:
        """(C,) the contribution of each candidate of one channel; see `contributions`."""
        starts, mains = np.array([0, len(found)]), np.array([len(found) - found.besides])
        return self.contributions((name,), found.scores, starts, mains, (1.0,))

    def contributions(
        self, names: Sequence[str], scores: Array, starts: Array, mains: Array, factors: Sequence[float]
    ) -> Array:
        """(E,) the contribution of each candidate to the fused score; ties keep the channel's order.

        The channel's weight (the median weight where it has none) x the log-standardised gap, if there are weights.
        Else the calibrated chance, or the reciprocal of the rank for a channel without calibration. 0 for what is there
        for an interest alone.

        Shapes: scores (E,) of C channels, one after the other, each the best first, starts (C + 1,); mains (C,) how
        many of each stand for the whole history; factors (C,) what all that a channel contributes is multiplied by.
        """
        if self.weights:
            weights = np.array([self.weights.get(name, self._median) for name in names])
            return np.asarray(gap_contributions(scores, starts, mains, weights, np.array(factors, dtype=float), _TIE))
        found = np.zeros(len(scores))
        for name, first, main, factor in zip(names, starts.tolist(), mains.tolist(), factors, strict=False):
            by_rank = RANK_OFFSET / (RANK_OFFSET + np.arange(main))
            mine = slice(first, first + main)
            if name in self.calibrations:
                found[mine] = factor * self.calibrations[name](scores[mine]) * (1 + _TIE * by_rank)
            else:
                found[mine] = factor * self.otherwise * by_rank
        return found

    @cached_property
    def _median(self) -> float:
        return float(np.median(list(self.weights.values())))

    def interpolate(self, other: Fusion, share: float) -> Fusion:
        """Weights and quotas between those of this fusion (`share` 0) and of `other` (`share` 1).

        Weights and calibrated chances cannot be mixed: if either fusion has no weights, the result is this fusion at 0
        and `other` above 0.
        """
        if share == 0 or not (self.weights and other.weights):
            return other if share else self

        def mixed(mine: Mapping[str, float], others: Mapping[str, float]) -> dict[str, float]:
            return {n: (1 - share) * mine.get(n, 0.0) + share * others.get(n, 0.0) for n in {**mine, **others}}

        quotas = {name: round(quota) for name, quota in mixed(self.quotas, other.quotas).items()}
        return Fusion(other.calibrations, quotas, other.otherwise, mixed(self.weights, other.weights))

    def gains(self, outcomes: Sequence[Outcome]) -> Array:
        """(O,) the NDCG of each outcome's candidates, sorted by the sum of their contributions."""
        found = np.zeros(len(outcomes))
        for i, outcome in enumerate(outcomes):
            songs, contributions = candidate_table(outcome, list(outcome.found), self.contribution)
            order = np.argsort(-contributions.sum(axis=1), kind="stable")
            discounts = 1 / np.log2(np.arange(2, 2 + max(len(songs), len(outcome.loved))))
            hits = np.flatnonzero(np.isin(songs[order], outcome.loved))
            found[i] = discounts[hits].sum() / max(discounts[: len(outcome.loved)].sum(), 1e-12)
        return found

    def save(self, path: Path) -> None:
        """Write to `path`.bin and `path`.json."""
        arrays: dict[str, Array] = {}
        for name, one in self.calibrations.items():
            arrays |= {f"{name}/knots": one.knots, f"{name}/chance": one.chance}
        kinds = {name: one.kind for name, one in self.calibrations.items()}
        told = {"quotas": dict(self.quotas), "otherwise": self.otherwise, "weights": dict(self.weights)}
        write_arrays(path, arrays, {**told, "kinds": kinds})

    @classmethod
    def load(cls, release: Release, name: str) -> Fusion:
        """The one stored under `name`.

        Raises: CorruptRelease if there is none.
        """
        arrays, meta = release.arrays(name)
        calibrations = {
            channel: Calibration(kind, arrays[f"{channel}/knots"], arrays[f"{channel}/chance"])
            for channel, kind in meta["kinds"].items()
        }
        return cls(calibrations, meta["quotas"], meta["otherwise"], meta.get("weights", {}))


def log_standardised_gap(scores: Array) -> Array:
    """(C,) ln(1 + gap), where gap is how far each of `scores` (C,), in descending order, is above the last one, in
    standard deviations of all; 0 where all scores are equal.

    The last song of a list gets 0, as does a song that the list does not hold.
    """
    spread = float(scores.std()) if len(scores) else 0.0
    return np.log1p((scores - scores[-1]) / spread) if spread > 0 else np.zeros(len(scores))


def learned_weights(outcomes: Sequence[Outcome], *, signed: bool = False, l2: float = _L2S[0]) -> dict[str, float]:
    """The channel weights that minimise the listwise loss of the weighted sums of log-standardised gaps, plus
    l2 x |weights|^2 (convex); none is negative unless `signed`. Empty if no outcome found a relevant song."""
    from scipy.optimize import minimize

    names = sorted({name for outcome in outcomes for name in outcome.found})
    parts, labels = [], []
    for outcome in outcomes:
        songs, table = candidate_table(outcome, names, lambda _, found: log_standardised_gap(found.scores))
        hits = np.isin(songs, outcome.loved)
        if hits.any():
            parts.append(table)
            labels.append(hits)
    if not parts:
        return {}
    rows, loved = np.concatenate(parts), np.concatenate(labels).astype(np.float64)
    groups = np.concatenate([[0], np.cumsum([len(part) for part in parts])])

    def objective(weights: Array) -> tuple[float, Array]:
        loss, gradient = listwise(rows @ weights, loved, groups)
        return loss + l2 * float(weights @ weights), rows.T @ gradient + 2 * l2 * weights

    bounds = [(None if signed else 0.0, None)] * len(names)
    found = minimize(objective, np.full(len(names), 0.1), jac=True, method="L-BFGS-B", bounds=bounds).x
    return {name: float(weight) for name, weight in zip(names, found, strict=True)}
