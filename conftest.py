"""Registers what all tests share: houses with a service in them, two small worlds by hand, and a rule on skips.

Tests import the names of `tests/support/worlds.py` from `segue_test_worlds`, and so for the other files there.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).resolve().parent / "tests" / "support"


def pytest_configure(config: pytest.Config) -> None:
    """Load the support files by their paths: tests are no package."""
    for name in ("house", "worlds", "skips", "configs"):
        spec = importlib.util.spec_from_file_location(f"segue_test_{name}", SUPPORT / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        config.pluginmanager.register(module, spec.name)
