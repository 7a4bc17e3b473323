"""Shared fixtures: the checkout, a copy to run in, a finished run; and whether tests may be skipped."""

import os
from pathlib import Path

import pytest
from tiny_cohort import checkout, finished

__all__ = ["checkout", "finished", "root"]

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With LIVERSTIFF_REQUIRE_DATA=1 nothing may be skipped."""
    skipped = terminalreporter.stats.get("skipped", [])
    if os.environ.get("LIVERSTIFF_REQUIRE_DATA") == "1" and skipped:
        terminalreporter.write_line(f"{len(skipped)} skipped tests, and LIVERSTIFF_REQUIRE_DATA=1 forbids that")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """See pytest_terminal_summary."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("LIVERSTIFF_REQUIRE_DATA") == "1" and reporter and reporter.stats.get("skipped"):
        session.exitstatus = 1
