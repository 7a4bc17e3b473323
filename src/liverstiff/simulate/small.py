"""Many tiny exams, to test how series are identified: real headers and texts, pixels that show nothing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from liverstiff.config import SimulatedSiteConfig
from liverstiff.simulate.contents import three_planes
from liverstiff.simulate.dialects import ALL, Dialect, Scanner
from liverstiff.simulate.dicom import Frame, as_stored
from liverstiff.simulate.elastogram import Elastogram, slice_grids
from liverstiff.simulate.encode import Encoder
from liverstiff.simulate.exam import Exam
from liverstiff.simulate.identity import Visit, identify
from liverstiff.simulate.plan import Draw, draw_plan
from liverstiff.simulate.population import SiteModel, draw_patients
from liverstiff.simulate.record import RecordStyle
from liverstiff.simulate.signal import Grid
from liverstiff.simulate.tree import write_exam
from liverstiff.simulate.wording import LANGUAGES, Wording

_FIELDS, _STYLES, _LAYOUTS = (1.5, 3.0), get_args(RecordStyle), ("series", "exam", "flat")
_T1W = Grid((12, 10, 10), (33.0, 33.0, 6.0))
_GRIDS = {
    "t2": Grid((12, 10, 9), (33.0, 33.0, 8.0)),
    "dwi": Grid((12, 10, 8), (33.0, 33.0, 9.0)),
    "adc": Grid((12, 10, 8), (33.0, 33.0, 9.0)),
    "localizer": Grid((12, 10, 9), (33.0, 33.0, 8.0)),
    "mre": Grid((12, 10, 1), (33.0, 33.0, 10.0)),
}
_FIRST_DAY = dt.date(2021, 1, 4)


def write_small_exams(
    *,
    exams: int,
    seed: int,
    tree: Path,
    truth_series: Path,
    dialects: tuple[Dialect, ...] = ALL,
    clutter: float = 1.0,
) -> None:
    """Write exams spread evenly over dialects, field strengths, languages and layouts; same arguments, same bytes.

    Args:
        exams: how many.
        seed: all follows from it.
        tree: folder for the DICOM files; the layouts stand side by side in it.
        truth_series: CSV for what is true of each series, as ``simulate_site`` writes it.
        dialects: whose DICOM, in turn.
        clutter: 0 for the usual exam, 1 for all that a clinic makes of it.
    """
    patients = draw_patients(exams, SiteModel("small", "GE", 3.0, 0, 0, 0), np.random.default_rng(seed)).to_dict(
        "records"
    )
    truth: list[dict[str, Any]] = []
    encoders: dict[str, Encoder] = {}
    for number, patient in enumerate(patients):
        rng = np.random.default_rng([seed, number])
        settings = _settings(number, dialects, clutter)
        day = _FIRST_DAY + dt.timedelta(days=number % 1400)
        study = identify("small", settings, seed, Visit(number, 0, day, day), {str(k): v for k, v in patient.items()})
        character_set = study["SpecificCharacterSet"]
        encoder = encoders.setdefault(character_set, Encoder(character_set))
        truth += write_exam(_exam(settings, rng), study, settings.layout, Path(tree), encoder)
    Path(truth_series).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(truth).to_csv(truth_series, index=False)


def _settings(number: int, dialects: tuple[Dialect, ...], clutter: float) -> SimulatedSiteConfig:
    """Each dialect meets every field, language and layout in turn: their numbers have no common divisor."""
    turn, dialect = divmod(number, len(dialects))
    return SimulatedSiteConfig(
        dialect=dialects[dialect],
        field_t=_FIELDS[(turn + dialect) % len(_FIELDS)],
        exams=1,
        record_style=_STYLES[(turn + dialect) % len(_STYLES)],
        layout=_LAYOUTS[(turn + dialect) % len(_LAYOUTS)],
        clutter=clutter,
    )


def _exam(settings: SimulatedSiteConfig, rng: np.random.Generator) -> Exam:
    """Plan and texts of one exam over images of noise."""
    scanner = Scanner(settings.dialect, settings.field_t)
    draw = Draw(settings.clutter, rng)
    absent = draw.one(("T2w", "DWI")) if draw.maybe(0.05) else ""
    plan = draw_plan(scanner, absent, draw)
    wording = Wording(scanner.vendor, LANGUAGES[settings.record_style], settings.clutter, rng)
    return Exam(scanner, Tiny.draw(draw), plan, wording, bool(rng.random() < 0.5))


@dataclass(frozen=True)
class Tiny:
    """Noise on grids of about 12 x 10 pixels with the field of view of an abdomen."""

    noise: np.ndarray
    """Values of the largest grid (x, y, z)."""
    mre: Elastogram
    offsets: int = 2

    @classmethod
    def draw(cls, draw: Draw) -> Tiny:
        """Noise, and an elastogram that is confident in its middle."""
        grids = slice_grids(3.0 if draw.maybe(0.3) else 0.0, _GRIDS["mre"])
        shape = (*_GRIDS["mre"].shape[:2], len(grids))
        noise = draw.rng.random((*_T1W.shape[:2], _T1W.shape[2])).astype(np.float32)
        confidence = np.full(shape, 0.5, np.float32)
        confidence[2:-2, 2:-2] = 0.98
        kpa = (2 + 4 * draw.rng.random() + 0.2 * draw.rng.standard_normal(shape)).astype(np.float32)
        return cls(100 + 900 * noise, Elastogram(grids, noise[:, :, : len(grids)], np.clip(kpa, 0.5, 19), confidence))

    def grid(self, content: str) -> Grid:
        """Where the images lie."""
        return _GRIDS.get(content, _T1W)

    def volume(self, content: str) -> np.ndarray:
        """Noise (x, y, z)."""
        return self.noise[:, :, : self.grid(content).shape[2]]

    def diffusion(self, k: int) -> np.ndarray:
        """Noise that fades with the number of the b-value."""
        return self.volume("dwi") * np.float32(0.7**k)

    def localizer(self, top: int) -> list[Frame]:
        """Three planes of noise."""
        return three_planes(as_stored(self.volume("localizer"), top), self.grid("localizer"))
