"""A simulated cohort with known truth: DICOM trees of three vendors, health records, and labelled atlases."""

from liverstiff.simulate.site import simulate_atlases, simulate_site

__all__ = ["simulate_atlases", "simulate_site"]
