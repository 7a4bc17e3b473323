"""Simulated elastograms of three vendors, as DICOM and chosen by the catalog: a few of bench/elastography.py."""

import importlib.util
import sys

import pandas as pd
import pytest

from liverstiff.simulate.elastogram import FAILURES


@pytest.fixture(scope="module")
def bench(root):
    spec = importlib.util.spec_from_file_location("bench_elastography", root / "bench" / "elastography.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_vendor_is_read_as_written_and_every_failure_has_its_code(bench, tmp_path):
    rows = pd.DataFrame(bench.judged(list(bench.made_exams(25)), tmp_path, faults=False))
    intact, planted = rows[rows.failure == ""], rows[rows.failure != ""]
    assert set(planted.failure) == set(FAILURES)
    assert (planted.failure == planted.code).all(), planted[["dialect", "failure", "code"]]
    assert set(intact.dialect) == set(bench.DIALECTS)
    assert (intact.code == "").all()
    assert (intact.kpa / intact.written - 1).abs().max() < 0.002
    assert (intact.kpa / intact.truth - 1).abs().max() < 0.05
    assert bench.same_by_the_stage(rows.to_dict("records"), tmp_path)


def test_a_faulty_mask_or_confidence_changes_little(bench, tmp_path):
    made = [one for one in bench.made_exams(6) if not one.failure]
    rows = pd.DataFrame(bench.judged(made, tmp_path))
    for fault in ("larger", "shifted", "holes", "breathed"):
        assert (rows[fault] / rows.kpa - 1).abs().max() < 0.05, fault
        assert (rows[fault] != rows.kpa).any(), fault
