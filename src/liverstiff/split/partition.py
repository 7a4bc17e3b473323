"""Which exams are development, temporal test or external test: by site, date and patient."""

from __future__ import annotations

import numpy as np
import pandas as pd

from liverstiff.records import PARTITIONS, Reason

DEVELOPMENT, TEMPORAL, EXTERNAL = PARTITIONS
EXCLUDED = "excluded"


def partitions(table: pd.DataFrame) -> pd.DataFrame:
    """Partition of every exam, and the reason of those excluded; a patient is never on both sides of anything.

    A patient first seen at a development site before day 0 belongs to development, and that patient's exams from day 0
    on are excluded; a patient first seen there on day 0 or later is the temporal test. External sites are external,
    without the patients that are seen at a development site.

    Args:
        table: ``patient, role, day``.

    Returns:
        ``partition, reason``, by the index of the table.
    """
    external = table.role == "external"
    first_day = table.patient.map(table[~external].groupby("patient").day.min())
    late = table.day >= 0
    cases = [
        (external & first_day.notna(), EXCLUDED, str(Reason.PATIENT_AT_DEVELOPMENT_SITE)),
        (external, EXTERNAL, ""),
        (late & (first_day < 0), EXCLUDED, str(Reason.PATIENT_IN_DEVELOPMENT)),
        (late, TEMPORAL, ""),
    ]
    where = [case[0] for case in cases]
    partition = np.select(where, [case[1] for case in cases], DEVELOPMENT)
    reason = np.select(where, [case[2] for case in cases], "")
    return pd.DataFrame({"partition": partition, "reason": reason}, index=table.index)
