"""Stage ``split``: folds by patient, a temporal test, an external test.

The folds come from a ledger that is kept outside the results: a patient that once got a fold keeps it, so adding
exams never moves an earlier patient.
"""

from liverstiff.split.folds import assign_folds, merged_strata
from liverstiff.split.ledger import Ledger, Plan, band_names, read_ledger
from liverstiff.split.partition import partitions
from liverstiff.split.stage import split_cohort

__all__ = ["Ledger", "Plan", "assign_folds", "band_names", "merged_strata", "partitions", "read_ledger", "split_cohort"]
