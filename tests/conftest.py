"""Shared fixtures: where the checkout and the public test data are."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LIVERSTIFF_DATA", ROOT.parent / "shared" / "data"))


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
