"""Whether a release is published: a paired comparison with its parent, and what follows from it.

Every listener is measured twice, with the candidate and with the other one, on the same held-out songs. The mean of
the differences says who is better, and its standard error says how much of that is chance: listeners differ far more
from each other than two releases differ for one listener.
Source: Student's paired comparison, with the normal distribution's 1.96 for an interval of 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from graph.snapshot.arrays import Array

Decision = Literal["published", "kept back", "published without a comparison"]
Against = Literal["parent", "popularity"]
_Z: Final = 1.96


@dataclass(frozen=True)
class Paired:
    """Means of a metric over the same listeners, and the mean of the differences (candidate - other) with its 95 %
    interval; without an interval where there are fewer than two listeners."""

    metric: str
    candidate: float
    other: float
    difference: float
    low: float | None
    high: float | None
    listeners: int

    @classmethod
    def of(cls, metric: str, candidate: Array, other: Array) -> Paired | None:
        """Shapes: candidate, other (N,) the metric of each listener, in the same order. None without listeners.

        Raises: ValueError if the two are not of the same listeners.
        """
        if candidate.shape != other.shape:
            raise ValueError(f"{len(candidate)} listeners of the candidate, {len(other)} of the other")
        n = len(candidate)
        if not n:
            return None
        differences = candidate - other
        mean = float(differences.mean())
        half = _Z * float(differences.std(ddof=1)) / n**0.5 if n > 1 else None
        low, high = (None, None) if half is None else (mean - half, mean + half)
        return cls(metric, float(candidate.mean()), float(other.mean()), mean, low, high, n)

    def worse(self, margin: float) -> bool:
        """Whether the candidate is worse beyond chance and beyond the share `margin` of the other's mean."""
        return self.high is not None and self.high < -margin * self.other

    def text(self, other: str) -> str:
        """The figures in words; `other` is who the candidate was compared with."""
        counted = f"{self.listeners} listener{'s' if self.listeners != 1 else ''}"
        interval = "" if self.low is None else f", 95 % interval {self.low:.4f} to {self.high:.4f}"
        return (
            f"{self.metric} {self.candidate:.4f}, {other} {self.other:.4f} "
            f"(difference {self.difference:.4f}{interval}, {counted})"
        )


@dataclass(frozen=True)
class Verdict:
    """The decision of the gate, its reason in words, and the comparison that it rests on where there was one."""

    decision: Decision
    reason: str
    against: Against
    compared: Paired | None
    margin: float

    @property
    def kept_back(self) -> bool:
        return self.decision == "kept back"

    def as_json(self) -> dict[str, Any]:
        """For the manifest: the mean of who it was compared with stands under that one's name."""
        figures = dict.fromkeys(("metric", "candidate", "difference", "low", "high"), None) | {"listeners": 0}
        others: dict[str, float | None] = {"parent": None, "popularity": None}
        if self.compared is not None:
            figures = asdict(self.compared)
            others[self.against] = figures.pop("other")
        return {"decision": self.decision, "reason": self.reason, "margin": self.margin, **figures, **others}


def compared_with_parent(gate: Mapping[str, Any]) -> Paired | None:
    """The comparison with its parent that a manifest's `gate` tells of; None if there was none."""
    if gate.get("parent") is None:
        return None
    figures = {name: gate[name] for name in ("metric", "candidate", "difference", "low", "high", "listeners")}
    return Paired(other=gate["parent"], **figures)


def first_release(compared: Paired | None, margin: float) -> Verdict:
    """A first release is published whatever it measures, and says how it compares with popularity."""
    figures = "no held-out song measures it" if compared is None else compared.text("popularity")
    return Verdict("published", f"the first release: {figures}", "popularity", compared, margin)


def decide(compared: Paired | None, margin: float, min_listeners: int) -> Verdict:
    """Keep a release back that is worse than its parent beyond chance and the margin; too few listeners cannot tell."""
    if compared is None:
        return without_comparison("no held-out song measures it", margin)
    figures = compared.text("parent")
    if compared.listeners < min_listeners:
        reason = f"too few listeners to compare it with its parent ({min_listeners} are needed): {figures}"
        return Verdict("published without a comparison", reason, "parent", compared, margin)
    worse = compared.worse(margin)
    words = "worse" if worse else "not worse"
    reason = f"{words} than its parent beyond chance and the margin of {margin * 100:g}%: {figures}"
    return Verdict("kept back" if worse else "published", reason, "parent", compared, margin)


def without_comparison(reason: str, margin: float) -> Verdict:
    """Published, because nothing can be said against it."""
    return Verdict("published without a comparison", reason, "parent", None, margin)
