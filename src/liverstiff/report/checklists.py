"""TRIPOD+AI and CLAIM: where the page answers an item, and what is left to the authors."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

from liverstiff.report.study import Block, Section, Study

AUTHORS = "to be written by the authors"


def checklists(study: Study) -> Section:
    """Both tables."""
    listed = yaml.safe_load(files("liverstiff").joinpath("templates", "checklists.yaml").read_text(encoding="utf-8"))
    lead = (
        "What a journal’s checklist asks, and where this page answers. Items are given in short; the checklists "
        "themselves hold their full wording. A run cannot know why a study was done, or who agreed to it."
    )
    blocks = [
        Block("checklist", [_item(item) for item in checklist["items"]], f"{checklist['name']} ({checklist['source']})")
        for checklist in listed
    ]
    return Section("checklists", "Checklists", "Reporting checklists", lead, blocks)


def _item(item: dict[str, Any]) -> dict[str, Any]:
    """Number, text, links to sections, and what the authors add."""
    found = item.get("see") or []
    added = item.get("authors", "")
    said = AUTHORS if not found else f"{AUTHORS}: {added}" if added else ""
    return {"number": str(item["item"]), "text": item["asks"], "see": found, "authors": said}
