"""Runs every test, in two processes beside each other that take about as long.

One has the tests of services, which wait a lot; what it says is printed when both are done.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from typing import Final

SERVICES: Final = ("tests/api", "tests/system")
PYTEST: Final = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")


def main() -> int:
    """Returns: the first status of the two that is not 0."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told:
        services = subprocess.Popen([*PYTEST, *SERVICES], stdout=told, stderr=subprocess.STDOUT)
        try:
            rest = subprocess.run([*PYTEST, *(f"--ignore={one}" for one in SERVICES)], check=False).returncode
            status = services.wait()
        finally:
            if services.poll() is None:  # somebody ended this process
                services.terminate()
                services.wait()
            told.seek(0)
            shutil.copyfileobj(told, sys.stdout)
    return rest or status


if __name__ == "__main__":
    sys.exit(main())
