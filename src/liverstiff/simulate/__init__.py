"""A simulated cohort with known truth: DICOM trees of five vendors, health records, and labelled atlases."""

from liverstiff.simulate.site import simulate_atlases, simulate_site
from liverstiff.simulate.small import write_small_exams

__all__ = ["simulate_atlases", "simulate_site", "write_small_exams"]
