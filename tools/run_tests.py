"""Runs every test, in two processes beside each other that take about as long.

One has the tests of services, which wait a lot and learn releases; it begins once the machine code that they need is
compiled, and what it says is printed when both are done. The other one begins with tests that need none of it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

SERVICES: Final = ("tests/api", "tests/system")
FIRST: Final = "tests/graph"
PYTEST: Final = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")


def main() -> int:
    """Returns: the first status of the two that is not 0."""
    others = sorted(str(path) for path in (*Path("tests").glob("test_*.py"), *Path("tests").glob("*/")))
    others = [path for path in others if path not in (*SERVICES, FIRST, "tests/support", "tests/__pycache__")]
    rest = subprocess.Popen([*PYTEST, FIRST, *others])
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told:
        try:
            subprocess.run([sys.executable, "-P", "-m", "api.jobs.precompile"], check=True)
            services = subprocess.run([*PYTEST, *SERVICES], stdout=told, stderr=subprocess.STDOUT, check=False)
            status = rest.wait()
        finally:
            if rest.poll() is None:  # somebody ended this process
                rest.terminate()
                rest.wait()
            told.seek(0)
            shutil.copyfileobj(told, sys.stdout)
    return status or services.returncode


if __name__ == "__main__":
    sys.exit(main())
