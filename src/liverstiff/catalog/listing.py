"""One folder of DICOM files looked at by hand, outside the workflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from liverstiff.catalog.site import catalog_site

SITE = "folder"


@dataclass(frozen=True)
class Listing:
    """The series of a folder and the files that gave no image."""

    series: pd.DataFrame
    """A row per series, as the public table of the stage; with ``text`` when texts were asked for."""
    skipped: dict[str, int]
    """Files by reason."""

    def exams(self) -> Iterator[tuple[int, pd.DataFrame]]:
        """The series of each exam, numbered from 1."""
        return enumerate((rows for _, rows in self.series.groupby("exam", sort=False)), start=1)


def list_series(folder: Path, private: Path, overrides: list[Path], workers: int = 1, texts: bool = False) -> Listing:
    """Find and identify every series below a folder.

    Args:
        folder: DICOM files in any shape.
        private: folder (mode 0700) for everything that links series to people.
        overrides: tables of corrections.
        workers: processes that read headers.
        texts: add what the headers call the series.

    Raises:
        DataError: when there is no image below the folder.
    """
    catalog_site(
        site=SITE,
        tree=folder,
        key=private / "key" / "pseudonym.key",
        private=private,
        series=private / "series.csv",
        skipped=private / "skipped_counts.csv",
        overridden=private / "overridden.csv",
        cache=private / "headers" / "headers.sqlite",
        overrides=overrides,
        workers=workers,
    )
    series = pd.read_csv(private / "series.csv", keep_default_na=False)
    if texts:
        found = pd.read_csv(private / "texts.csv", keep_default_na=False, encoding_errors="replace")
        series = series.merge(found[["exam", "series", "text"]], on=["exam", "series"])
    counts = pd.read_csv(private / "skipped_counts.csv")
    return Listing(series, dict(zip(counts.reason, counts.files, strict=True)))
