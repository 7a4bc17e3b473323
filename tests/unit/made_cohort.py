"""A small study on disk, and records in every shape: for the tests of the cohort."""

import datetime as dt

import pandas as pd

from liverstiff.cohort import build_cohort, read_record
from liverstiff.config import CohortConfig, RecordConfig, SiteConfig, TargetConfig
from liverstiff.pseudonyms import patient_pseudonym
from liverstiff.records import ExamStatus, write_status

KEY = bytes(range(32))
CUT = dt.date(2024, 1, 1)
FULL = {
    "age": {"column": "AGE", "unit": "y"},
    "sex": {"column": "SEX", "codes": {"F": "female", "M": "male"}},
    "diabetes": {"column": "DM", "codes": {"Y": "1", "N": "0"}},
    "ast": {"column": "AST", "unit": "U/L"},
    "alt": {"column": "ALT", "unit": "U/L"},
    "platelets": {"column": "PLT", "unit": "10^3/uL"},
    "pdff": {"column": "PDFF", "unit": "%"},
}
RECORD = """MRN,DATE,AGE,SEX,DM,AST,ALT,PLT,PDFF
A1,2023-05-20,50,F,Y,40,25,200,<5
A1,2024-02-03,17.5,F,,40,25,200,
A2,2020-01-01,60,M,N,40,25,200,12
"""
AST = {"ast": {"column": "AST", "unit": "U/L"}}
OUTPUTS = ("cohort", "exclusions", "flow", "missingness", "scanners", "conflicts", "agreements", "aliases")


def of(number, site="alba"):
    """Pseudonym of a patient."""
    return patient_pseudonym(KEY, site, number)


def config(columns=FULL, **given):
    """The record of a site."""
    return RecordConfig(**{"table": "record.csv", "patient": "MRN", "date": "DATE", "columns": columns, **given})


def read(folder, content, columns=AST, name="record.csv", **given):
    """Read a record given as text or bytes."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_record([path], config(columns, **given), site="alba", key=KEY)


def column(record, variable):
    """The values of a variable, in the order of the rows."""
    return record.values.value[record.values.variable == variable].tolist()


class Study:
    """Five exams of four patients at one site."""

    def __init__(self, folder):
        self.folder = folder
        names = {"e1": "A1", "e2": "A1", "e3": "A2", "e4": "A3", "e5": "A4"}
        dates = {"e1": "20230601", "e2": "20240201", "e3": "2023-06-01", "e4": "20230601", "e5": "20230601"}
        rows = [(e, of(m), "alba", m, f"1.2.{e}", dates[e]) for e, m in names.items()]
        columns = ["exam", "patient", "site", "patient_id", "study_uid", "study_date"]
        self.linkage = pd.DataFrame(rows, columns=columns)
        self.exams = self.linkage[["exam", "patient", "site"]].assign(
            vendor="GE", model="m", field_t=1.5, t1w=True, t2w=True, dwi=[True, False, True, True, True], mre=True,
            shard="s1", status=["ok"] * 3 + ["excluded", "ok"], reason=["", "", "", "missing_sequence", ""],
            detail=["", "", "", "no T1w", ""],
        )  # fmt: skip

    def status(self, stage, excluded=()):
        """A shard folder; ``excluded`` names exams and reasons."""
        folder = self.folder / stage
        folder.mkdir()
        rows = []
        for row in self.exams.itertuples():
            if row.status == "ok":
                reason = dict(excluded).get(row.exam, "")
                state = "excluded" if reason else "ok"
                detail = "why" if reason else ""
                rows.append(ExamStatus(row.exam, row.patient, row.site, stage, state, reason, detail))
        write_status(rows, folder / "status.csv")
        return folder

    def elastography(self, values, excluded=()):
        """The shard folder of the stage elastography."""
        folder = self.status("elastography", excluded)
        stiffness = {"exam": list(values), "stiffness_kpa": list(values.values())}
        pd.DataFrame(stiffness).to_csv(folder / "stiffness.csv", index=False)
        return folder

    def build(self, statuses, stiffness, records=(RECORD,), sites=None, target=None, **settings):
        """Run the stage; the tables come back by name."""
        self.exams.to_csv(self.folder / "exams.csv", index=False)
        self.linkage.to_csv(self.folder / "linkage.csv", index=False)
        (self.folder / "key").write_bytes(KEY)
        files = [self.folder / f"record-{place}.csv" for place in range(len(records))]
        for file, text in zip(files, records, strict=True):
            file.write_text(text)
        build_cohort(
            exams=self.folder / "exams.csv",
            linkage=self.folder / "linkage.csv",
            key=self.folder / "key",
            statuses=statuses,
            stiffness=stiffness,
            records=files,
            sites=sites or {"alba": SiteConfig(role="development", dicom="dicom", record=config())},
            temporal_cut=CUT,
            settings=CohortConfig(**settings),
            target=target or TargetConfig(),
            **{name: self.folder / "out" / f"{name}.csv" for name in OUTPUTS},
        )
        return {
            name: pd.read_csv(self.folder / "out" / f"{name}.csv", keep_default_na=name in ("cohort", "agreements"))
            for name in OUTPUTS
        }
