"""A test that is skipped without saying why has failed."""

from __future__ import annotations

from collections.abc import Generator

import pytest

NO_REASON = ("", "unconditional skip", "got empty parameter set")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped").removeprefix(":").strip()
        if reason.startswith(NO_REASON[2]) or reason in NO_REASON[:2]:
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid}: skipped without a reason (got {reason!r})"
    return report
