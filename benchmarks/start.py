"""What starting a command costs: CPU of `--help`, `release list` and `recommend` in fresh processes, beside the bars.

The release is that of the settings file that SEGUE_CONFIG names, else one of a small world made in a temporary folder.
Every command runs once before it is measured, so that its compiled Python and machine code are on disk, as they are
after an install. CPU is user and system time of the process and its children; the least of the runs counts, and the
median stands beside it. The peer is the interpreter with the libraries that no answer can do without.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

RUNS = 9
BARS = {"--help": 0.35, "release list": 0.7, "recommend": 1.5}
"""Seconds of CPU."""
PEERS = {
    "--help": "import typer, rich.console",
    "release list": "import typer, pydantic_settings",
    "recommend": "import typer, pydantic_settings, numba, polars, sqlalchemy, scipy.sparse",
}


def run() -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them."""
    if os.environ.get("SEGUE_CONFIG"):
        return _rows(Path(os.environ["SEGUE_CONFIG"]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        _cpu(["-m", "api", "demo", "--dir", folder, "--json"])
        return _rows(Path(folder) / "segue.toml")


def _rows(config: Path) -> list[dict[str, Any]]:
    settings = ["--config", str(config)]
    commands = {
        "--help": ["--help"],
        "release list": [*settings, "release", "list"],
        "recommend": [*settings, "recommend", _listener(config)],
    }
    rows = []
    for what, command in commands.items():
        ours, peer = ["-m", "api", *command], ["-c", PEERS[what]]
        _cpu(ours), _cpu(peer)
        found = [(_cpu(ours), _cpu(peer)) for _ in range(RUNS)]
        mine, theirs = ([one[i] for one in found] for i in (0, 1))
        rows.append(
            {
                "what": f"segue {what}: CPU",
                "ours": round(min(mine), 3),
                "peer": round(min(theirs), 3),
                "peer_name": PEERS[what],
                "ratio": round(min(mine) / min(theirs), 2),
                "unit": "s",
                "ours_quality": f"median {median(mine):.3f}; the bar is {BARS[what]}",
                "peer_quality": f"median {median(theirs):.3f}",
            }
        )
    return rows


def _listener(config: Path) -> str:
    """The first listener of the current release."""
    from api.settings import load
    from graph.release import Releases

    return Releases(load(config).releases.dir).open().snapshot.ids["User"][0]


def _cpu(arguments: Sequence[str]) -> float:
    """Seconds of CPU of the interpreter with those arguments."""
    # a setting of whoever runs this, with which every start compiles our sources again
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
