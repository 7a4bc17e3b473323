"""The default study made small, for a quick pass of a bench."""

from typing import Any

EXAMS = {"alba": 7, "brook": 6, "cedar": 6, "delta": 3}
"""Exams by site; 22 in two shards."""


def few_exams(config: dict[str, Any]) -> None:
    """Change the default configuration to 22 exams and little training."""
    for site, exams in EXAMS.items():
        config["simulate"]["sites"][site]["exams"] = exams
    config["data"] |= {"temporal_cut": "2024-08-01", "shard_size": 11}
    config["split"]["folds"] = 3
    config["train"]["epochs"] = 4
