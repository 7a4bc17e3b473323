"""Tables between stages: odd paths survive, nothing is taken for missing but an empty b-value."""

import csv
import os

import numpy as np

from liverstiff.records import read_files

COLUMNS = ["exam", "patient", "site", "series", "kind", "variant", "volume", "b_value", "path", "member", "frame"]
ODD = [os.fsdecode(b'/a/\xff\xe9 b,"q"\n x\ry\r\nz'), "NA", "nan", "null", '"', "ü'", " led by a blank"]


def test_paths_come_back_as_they_were(tmp_path):
    with (tmp_path / "files.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(["e1", "p1", "007", "s001", "DWI", "", 0, 50.5, path, "NaN", 3] for path in ODD)
        writer.writerow(["e1", "p1", "007", "s002", "T1w", "", 1, "", "/x.zip", "", 0])
    table = read_files(tmp_path / "files.csv")
    assert list(table.path) == [*ODD, "/x.zip"]
    assert list(table.member) == ["NaN"] * len(ODD) + [""]
    assert set(table.site) == {"007"}
    assert (table.frame[0], table.volume.iloc[-1], table.b_value[0]) == (3, 1, 50.5)
    assert np.isnan(table.b_value.iloc[-1])
