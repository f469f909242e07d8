"""The compiled loop against the same thing written out slowly, and against the gradient."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from embeddings.skipgram.sgns import NEAR, kernel, rows, sigmoid
from embeddings.skipgram.walks import build_alias
from graph.snapshot.arrays import Array

MASK, GOLDEN, ODD = 2**64 - 1, 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03
ALWAYS = 2**32 - 1


def mix(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


class Draws:
    """SplitMix, a stream for each sequence."""

    def __init__(self, seed: int, number: int) -> None:
        key = mix(seed + GOLDEN & MASK) ^ mix(number * GOLDEN + ODD & MASK)
        self.state, self.step = mix(key), mix(key + GOLDEN & MASK) | 1

    def __call__(self) -> int:
        self.state = self.state + self.step & MASK
        return mix(self.state)


class Case:
    """A vocabulary of 7 words, vectors of 5 numbers, and sequences with repeated and unknown words."""

    def __init__(self, seed: int = 0, dim: int = 5) -> None:
        rng = np.random.default_rng(seed)
        self.x, self.w = rng.normal(size=(2, 7, dim)).astype(np.float32) / 2
        self.sequences = [rng.integers(0, 9, size=n).tolist() for n in (12, 1, 2, 0, 9)]
        self.place = np.array([3, 0, 6, 2, -1, 1, 4, 5, 2], dtype=np.int32)
        self.keep = np.full(7, ALWAYS, dtype=np.uint32)
        self.window, self.shrink, self.alpha, self.fall, self.negative = 4, True, 0.3, 0.004, 3
        self.kind = np.zeros(7, dtype=np.int32)
        self.begin, self.member = np.array([0, 7]), np.arange(7, dtype=np.int32)
        self.draw_by(np.arange(1.0, 8))

    def draw_by(self, shares: Array) -> None:
        self.threshold, self.alias = np.empty(7, dtype=np.float32), np.empty(7, dtype=np.int32)
        build_alias(self.begin, shares[self.member], np.empty(len(self.begin) - 1), self.threshold, self.alias)

    def compiled(self, seed: int = 11, first: int = 5) -> tuple[Array, Array, int]:
        ids = np.array(sum(self.sequences, []), dtype=np.int32)  # noqa: RUF017
        indptr = np.cumsum([0, *map(len, self.sequences)])
        x, w = rows(self.x.copy()), rows(self.w.copy())  # they may be trained where they are
        how = (self.window, self.shrink, self.alpha, self.fall, np.uint64(seed), first)
        negatives = self.kind, self.begin, self.member, self.threshold, self.alias
        n = kernel(self.negative)(ids, indptr, self.place, self.keep, negatives, x, w, *how)
        dim = self.x.shape[1]
        assert not x[:, dim:].any()
        assert not w[:, dim:].any()
        return x[:, :dim], w[:, :dim], n

    def slowly(self, seed: int = 11, first: int = 5) -> tuple[Array, Array, int]:
        x, w = self.x.astype(float), self.w.astype(float)
        read = trained = 0
        for s, sequence in enumerate(self.sequences):
            draw, alpha = Draws(seed, first + s), self.alpha - self.fall * read
            read += len(sequence)
            known = [int(self.place[i]) for i in sequence if self.place[i] >= 0]
            words = [i for i in known if self.keep[i] == ALWAYS or draw() >> 32 <= self.keep[i]]
            trained += len(words)
            for at, centre in enumerate(words):
                width = self.window - ((draw() >> 32) * self.window >> 32) if self.shrink else self.window
                around = words[max(0, at - width) : at] + words[at + 1 : at + 1 + width]
                for a in range(0, len(around), NEAR):
                    self._learn(x, w, centre, around[a : a + NEAR], self._negatives(centre, draw), alpha)
        return x, w, trained

    def _negatives(self, centre: int, draw: Draws) -> list[int]:
        low, high = self.begin[self.kind[centre] :][:2].tolist()
        drawn = []
        for _ in range(self.negative):
            bits = draw()
            slot = low + ((bits >> 32) * (high - low) >> 32)
            keep = (bits & ALWAYS) / 2**32 < self.threshold[slot]
            drawn.append(int(self.member[slot if keep else low + self.alias[slot]]))
        return drawn

    def _learn(self, x: Array, w: Array, centre: int, group: list[int], negatives: list[int], alpha: float) -> None:
        others = [(centre, 1.0, 1)]
        others += [(k, 0.0, negatives.count(k)) for k in dict.fromkeys(negatives) if k != centre]
        k, label, count = (np.array(column) for column in zip(*others, strict=True))
        for j in [group] if len(set(group)) == NEAR else [[one] for one in group]:
            gain = alpha * count * (label - 1 / (1 + np.exp(-(x[j] @ w[k].T))))
            x[j], w[k] = x[j] + gain @ w[k], w[k] + gain.T @ x[j]


CHANGES = [
    {},
    {"negative": 1},
    {"negative": 12},
    {"window": 1},
    {"window": 9},
    {"shrink": False},
    {"keep": np.array([2**31, ALWAYS, 2**30, 2**31, 2**29, 2**31, ALWAYS], dtype=np.uint32)},
]


@pytest.mark.parametrize("change", CHANGES)
def test_it_does_what_the_definition_says(change: dict[str, object]) -> None:
    case = Case()
    vars(case).update(change)
    x, w, n = case.compiled()
    expected = case.slowly()
    assert n == expected[2]
    np.testing.assert_allclose(x, expected[0], atol=2e-4)
    np.testing.assert_allclose(w, expected[1], atol=2e-4)
    assert np.abs(x - case.x).max() > 0.05


def test_negatives_are_of_the_centres_kind() -> None:
    case = Case()
    case.kind = np.array([1, 0, 1, 0, 0, 1, 1], dtype=np.int32)
    case.begin, case.member = np.array([0, 3, 7]), np.array([1, 3, 4, 0, 2, 5, 6], dtype=np.int32)
    case.draw_by(np.arange(1.0, 8))
    x, w, _ = case.compiled()
    expected = case.slowly()
    np.testing.assert_allclose(x, expected[0], atol=2e-4)
    np.testing.assert_allclose(w, expected[1], atol=2e-4)
    case.sequences = [[1, 3]]  # rows 0 and 2, both of kind 1: no other kind's output is touched
    moved = np.abs(case.compiled()[1] - case.w).max(axis=1) > 0
    assert moved[[0, 2]].all()
    assert not moved[[1, 3, 4]].any()


@pytest.mark.parametrize("dim", [1, 16, 17, 48])
def test_vectors_may_have_any_length(dim: int) -> None:
    case = Case(dim=dim)
    x, w, _ = case.compiled()
    expected = case.slowly()
    np.testing.assert_allclose(x, expected[0], atol=5e-4)
    np.testing.assert_allclose(w, expected[1], atol=5e-4)


def test_a_step_is_one_down_the_gradient() -> None:
    case = Case()
    case.sequences, case.negative, case.alpha = [[1, 2]], 2, 1e-3  # rows 0 and 6; all negatives are row 4
    case.threshold[:], case.alias[:] = 0, 4
    x, w = (torch.tensor(matrix, dtype=torch.float64, requires_grad=True) for matrix in (case.x, case.w))
    loss = torch.zeros(())
    for centre, near in ((0, 6), (6, 0)):
        loss = loss - torch.log(torch.sigmoid(x[near] @ w[centre])) - 2 * torch.log(torch.sigmoid(-x[near] @ w[4]))
    loss.backward()
    for found, before, gradient in zip(case.compiled(), (case.x, case.w), (x.grad, w.grad), strict=False):
        np.testing.assert_allclose((before - found) / case.alpha, gradient, atol=5e-3)


def test_the_sigmoid_is_within_5e_5() -> None:
    x = np.linspace(-30, 30, 6001, dtype=np.float32)
    found = np.array([sigmoid(value) for value in x])
    assert np.abs(found - 1 / (1 + np.exp(-x.astype(float)))).max() < 5e-5


def test_rows_are_laid_out_once() -> None:
    matrix = np.arange(6, dtype=np.float64).reshape(3, 2)
    made = rows(matrix)
    assert (made.shape, made.dtype, made.ctypes.data % 64) == ((3, 16), np.float32, 0)
    assert made[:, :2].tolist() == matrix.tolist()
    assert not made[:, 2:].any()
    assert rows(made) is made


def test_rows_that_cannot_be_written_to_are_laid_out_anew() -> None:
    fixed = rows(np.ones((3, 16), dtype=np.float32))
    fixed.flags.writeable = False
    made = rows(fixed)
    assert made.flags.writeable
    assert made.tolist() == fixed.tolist()


def test_another_process_finds_the_loop_compiled(tmp_path: Path) -> None:
    code = """
from test_sgns import Case
Case().compiled()
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent)}
    kept = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        kept.append({file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nb?")})
    assert kept[0]
    assert kept[1] == kept[0]
