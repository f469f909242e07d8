"""SplitMix: 64 random bits of a number, the same wherever it comes up.

Source: Steele et al. 2014, Fast splittable pseudorandom number generators, doi 10.1145/2660193.2660195.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
"""From one state of a generator to the next."""
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_U27, _U30, _U31 = (np.uint64(n) for n in (27, 30, 31))


def mix(z: Any) -> Any:
    """The bits of a state, uint64, or of each of an array of states; kernels compile it."""
    z = (z ^ (z >> _U30)) * _FIRST
    z = (z ^ (z >> _U27)) * _SECOND
    return z ^ (z >> _U31)
