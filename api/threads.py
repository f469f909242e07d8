"""How many threads the service computes with: one a worker, and all of them for the refreshes that it starts.

Workers are how the service scales, and threads of both would fight for the cores. A refresh has the machine to itself,
and the last bits of what it solves depend on the number of threads: started by the service or by hand, the same data
must give the same release.
"""

from __future__ import annotations

import os
from typing import Final

VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_OURS: Final = "_SEGUE_ONE_THREAD"
"""Says to the workers which of the variables were set here, and not by whoever started the service."""


def use_one_thread() -> None:
    """From here on this process and its workers compute with one thread, unless the environment says otherwise."""
    ours = [name for name in VARIABLES if name not in os.environ]
    os.environ |= dict.fromkeys(ours, "1")
    os.environ[_OURS] = ",".join([*ours, *os.environ.get(_OURS, "").split(",")])


def environment_of_jobs() -> dict[str, str]:
    """The environment that the service itself was started with, for a process that has the machine to itself."""
    ours = {_OURS, *os.environ.get(_OURS, "").split(",")}
    return {name: value for name, value in os.environ.items() if name not in ours}
