"""The stage ``catalog``: which series every exam holds, which are taken, which exams share a job."""

from liverstiff.catalog.site import catalog_site
from liverstiff.catalog.study import catalog_study

__all__ = ["catalog_site", "catalog_study"]
