"""What contradicts itself in the record: listed, with one consequence each, never guessed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from liverstiff.cohort.variables import PLAUSIBLE

CONFLICT = ["site", "patient", "exam", "what", "detail"]
ALIAS = ["patient", "alias"]
YEARS_APART = 2
"""A given age and a date of birth that differ by more contradict each other ..."""
BMI_APART = 0.15
"""... and so do a given BMI and that of height and weight, by this share of it."""
PATIENTS_OF_A_PERSON = 5
"""More patients of one site with one person's number: that number is likely a text for none."""


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
    """Age in completed years by exam from the date of birth; missing, and listed, where there can be no such age."""
    born, day = pd.to_datetime(exams.patient.map(births)).dt, exams.study_date.dt
    before = (day.month < born.month) | ((day.month == born.month) & (day.day < born.day))
    age = pd.Series((day.year - born.year - before).to_numpy(float), index=exams.exam)
    unborn, beyond = age < 0, age > PLAUSIBLE["age"][1]
    listed = [
        of_exams(age.index[unborn].to_series(), "birth_after_exam", "the age is missing"),
        of_exams(age.index[beyond].to_series(), "implausible_birth_date", "no age follows from it"),
    ]
    return age.where(~unborn & ~beyond), pd.concat(listed)


def contradicting(table: pd.DataFrame, ages: pd.Series) -> pd.DataFrame:
    """Given ages and BMIs that do not fit what they follow from; the given ones stay.

    Args:
        table: ``age, height, weight, bmi`` as given, by exam.
        ages: from the date of birth, by exam.
    """
    computed = table.weight / (table.height / 100) ** 2
    apart = {
        "age_and_birth_date": (table.age - ages).abs() > YEARS_APART,
        "bmi_and_height": (table.bmi / computed - 1).abs() > BMI_APART,
    }
    return pd.concat(
        [of_exams(table.index[rows].to_series(), what, "the given one counts") for what, rows in apart.items()]
    )


def crowds(persons: pd.DataFrame) -> pd.DataFrame:
    """Numbers of a person that implausibly many patients of a site have; all these are taken for one patient."""
    counts = persons.drop_duplicates().groupby("person").patient.nunique()
    said = [
        f"{count} patients have one number in person and are taken for one; if it stands for none, list it in missing"
        for count in counts[counts > PATIENTS_OF_A_PERSON]
    ]
    return pd.DataFrame({"patient": None, "what": "many_patients", "detail": said})


def same_exam_twice(exams: pd.DataFrame) -> pd.DataFrame:
    """Exams of a patient on the same day at the same site; all stay."""
    again = exams.duplicated(["site", "patient", "study_date"], keep=False) & exams.study_date.notna()
    return of_exams(exams.exam[again], "same_exam_twice", "another exam of the patient on the same day; all stay")


def persons_of(edges: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Who is one person: patients and persons that are linked in any way.

    A patient with the numbers of several persons is listed, and all these are taken for one, so that nobody can be on
    both sides of a split.

    Returns:
        ``patient, alias``: the name of each person, and every pseudonym of a patient or person that stands for it; and
        the list.
    """
    edges = edges.drop_duplicates()
    if not len(edges):
        return pd.DataFrame(columns=ALIAS, dtype=object), of_patients(pd.Series(dtype=object), "two_persons", "")
    patients, persons = pd.factorize(edges.patient), pd.factorize(edges.person)
    size = len(patients[1]) + len(persons[1])
    graph = coo_array((np.ones(len(edges)), (patients[0], persons[0] + len(patients[1]))), shape=(size, size))
    label = connected_components(graph, directed=False)[1]
    named = pd.DataFrame({"label": label[len(patients[1]) :], "person": persons[1]}).groupby("label").person.min()
    several = edges[edges.patient.duplicated(keep=False)].patient.drop_duplicates()
    listed = of_patients(several, "two_persons", "numbers of several persons; they are taken for one")
    return pd.DataFrame({"patient": named.reindex(label), "alias": [*patients[1], *persons[1]]}), listed


def in_order(parts: list[pd.DataFrame], exams: pd.DataFrame) -> pd.DataFrame:
    """All conflicts in one table, with the site and patient of every exam."""
    table = pd.concat([pd.DataFrame(columns=CONFLICT), *(part for part in parts if len(part))], ignore_index=True)
    known = exams.set_index("exam")
    for name in ("patient", "site"):
        table[name] = table[name].where(table[name].notna(), table.exam.map(known[name]))
    sites = exams.drop_duplicates("patient").set_index("patient").site
    table["site"] = table.site.where(table.site.notna(), table.patient.map(sites))
    return table[CONFLICT].sort_values(["site", "what", "patient", "exam"], ignore_index=True, kind="stable")
