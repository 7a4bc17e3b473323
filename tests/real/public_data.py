"""Where the public data lies that the tests in this folder read, and what happens without it."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("LIVERSTIFF_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def needs(name: str) -> pytest.MarkDecorator:
    """Skip, with the reason, where a folder of the public data is absent."""
    return pytest.mark.skipif(
        not (DATA / name).is_dir(), reason=f"no public data at {DATA / name}; set LIVERSTIFF_DATA"
    )
