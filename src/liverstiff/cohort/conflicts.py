"""What contradicts itself in the record: listed, with one consequence each, never guessed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

CONFLICT = ["site", "patient", "exam", "what", "detail"]
YEAR_DAYS = 365.25


def of_patients(patients: pd.Series, what: str, detail: str) -> pd.DataFrame:
    """Rows about patients."""
    return pd.DataFrame({"patient": list(patients), "what": what, "detail": detail})


def of_exams(exams: pd.Series, what: str, detail: str | pd.Series) -> pd.DataFrame:
    """Rows about exams."""
    return pd.DataFrame(
        {"exam": list(exams), "what": what, "detail": detail if isinstance(detail, str) else list(detail)}
    )


def one_each(rows: pd.DataFrame, column: str, what: str, detail: str) -> tuple[pd.Series, pd.DataFrame]:
    """By patient the one value of a column; a patient with several has none and is listed."""
    different = rows[["patient", column]].dropna().drop_duplicates()
    several = different.patient.duplicated(keep=False)
    one = different[~several].set_index("patient")[column]
    return one, of_patients(different.patient[several].drop_duplicates(), what, detail)


def ages_at(exams: pd.DataFrame, births: pd.Series) -> tuple[pd.Series, pd.DataFrame]:
    """Age in years by exam from the date of birth; missing, and listed, where the birth comes after the exam."""
    born = pd.to_datetime(exams.patient.map(births))
    age = pd.Series(((exams.study_date - born).dt.days / YEAR_DAYS).to_numpy(), index=exams.exam)
    unborn = age < 0
    listed = of_exams(age.index[unborn].to_series(), "birth_after_exam", "the age is missing")
    return age.where(~unborn).round(2), listed


def same_exam_twice(exams: pd.DataFrame) -> pd.DataFrame:
    """Exams of a patient on the same day at the same site; all stay."""
    again = exams.duplicated(["site", "patient", "study_date"], keep=False) & exams.study_date.notna()
    return of_exams(exams.exam[again], "same_exam_twice", "another exam of the patient on the same day; all stay")


def persons_of(edges: pd.DataFrame) -> tuple[dict[str, str], pd.DataFrame]:
    """By patient of a site the person; patients and persons that are linked in any way are one person.

    A patient with the numbers of several persons is listed, and all these are taken for one, so that nobody can be on
    both sides of a split.
    """
    if not len(edges):
        return {}, of_patients(pd.Series(dtype=object), "two_persons", "")
    patients, persons = pd.factorize(edges.patient), pd.factorize(edges.person)
    size = len(patients[1]) + len(persons[1])
    graph = coo_array((np.ones(len(edges)), (patients[0], persons[0] + len(patients[1]))), shape=(size, size))
    label = connected_components(graph, directed=False)[1]
    named = pd.DataFrame({"label": label[len(patients[1]) :], "person": persons[1]}).groupby("label").person.min()
    several = edges[edges.patient.duplicated(keep=False)].patient.drop_duplicates()
    listed = of_patients(several, "two_persons", "numbers of several persons; they are taken for one")
    return dict(zip(patients[1], named.reindex(label[: len(patients[1])]), strict=True)), listed


def in_order(parts: list[pd.DataFrame], exams: pd.DataFrame) -> pd.DataFrame:
    """All conflicts in one table, with the site and patient of every exam."""
    table = pd.concat([pd.DataFrame(columns=CONFLICT), *(part for part in parts if len(part))], ignore_index=True)
    known = exams.set_index("exam")
    for name in ("patient", "site"):
        table[name] = table[name].where(table[name].notna(), table.exam.map(known[name]))
    return table[CONFLICT].sort_values(["site", "what", "patient", "exam"], ignore_index=True, kind="stable")
