"""Stage ``cohort``: the health record joined to the exams; one reason for every exam that is not analysed."""

from liverstiff.cohort.nearest import before_biopsies, nearest_values
from liverstiff.cohort.record import Record, read_record
from liverstiff.cohort.scores import apri, fib4, nfs
from liverstiff.cohort.stage import build_cohort, site_values
from liverstiff.cohort.tables import COLUMNS, SCHEMA, earliest, flow_counts
from liverstiff.cohort.units import UNITS, Unit, unit_factor
from liverstiff.cohort.variables import CODES, PLAUSIBLE, VARIABLES

__all__ = [
    "CODES",
    "COLUMNS",
    "PLAUSIBLE",
    "SCHEMA",
    "UNITS",
    "VARIABLES",
    "Record",
    "Unit",
    "apri",
    "before_biopsies",
    "build_cohort",
    "earliest",
    "fib4",
    "flow_counts",
    "nearest_values",
    "nfs",
    "read_record",
    "site_values",
    "unit_factor",
]
