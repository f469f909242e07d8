"""Runs `segue` until a certain call of a certain function, and there stands still for good, waiting to be killed.

    python halt.py package.module:Name.name CALL MARKER segue-arguments…

A `+` after the name halts just after the call instead of just before it. MARKER is a file that is made then. This is
how tests kill a program at an exact place while the program itself knows nothing of it.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    where, call, marker, *arguments = sys.argv[1:]
    after = where.endswith("+")
    module, _, name = where.removesuffix("+").partition(":")
    owner: Any = importlib.import_module(module)
    *holders, last = name.split(".")
    for holder in holders:
        owner = getattr(owner, holder)
    original = getattr(owner, last)
    calls = 0

    def halting(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        answer = original(*args, **kwargs) if after or calls != int(call) else None
        if calls == int(call):
            Path(marker).touch()
            time.sleep(600)
        return answer

    setattr(owner, last, halting)
    sys.argv = ["segue", *arguments]
    from api.cli import main as segue

    segue()


main()
