"""Where all that tests need is installed, a test that skips has not run: it fails.

`.ci/run` sets EVERGREEN_NO_SKIPS. A test that is expected to fail is none that skips.
"""

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

VARIABLE = "EVERGREEN_NO_SKIPS"
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure."""
    return _failed((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure."""
    return _failed((yield))


def _failed(report: Report) -> Report:
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(VARIABLE):
        report.outcome = "failed"
        report.longrepr = f"Expected to run, since {VARIABLE} is set, got a skip: {report.longrepr}"
    return report
