"""T2-weighted spin echoes: the variants, in the order of preference by rank."""

from __future__ import annotations

from functools import partial

from liverstiff.catalog.identify import EVERY, never, source
from liverstiff.catalog.words import INVERSION, LONG_TE, RADIAL, SINGLE_SHOT
from liverstiff.records import Kind

_t2w = partial(source, Kind.T2W, echo="spin", te_ms=LONG_TE)
_SPIN = "spin echo with a long echo time"
T2 = (
    never(
        Kind.OTHER,
        0.85,
        "spin echo with an echo time above 300 ms: cholangiography",
        echo="spin",
        te_ms=(LONG_TE[1], EVERY),
    ),
    _t2w(
        0.85,
        f"{_SPIN}: single shot, fat-suppressed",
        variant="single-shot fat-sat",
        rank=2,
        text=SINGLE_SHOT,
        flags=("fat_suppressed",),
    ),
    _t2w(0.85, f"{_SPIN}: single shot", variant="single-shot", rank=3, text=SINGLE_SHOT),
    _t2w(
        0.9,
        f"{_SPIN}: radial blades, fat-suppressed",
        variant="radial fat-sat",
        text=RADIAL,
        flags=("fat_suppressed",),
    ),
    _t2w(0.9, f"{_SPIN}: radial blades", variant="radial", rank=1, text=RADIAL),
    _t2w(0.9, f"{_SPIN}: fat-suppressed", variant="TSE fat-sat", flags=("fat_suppressed",)),
    _t2w(0.9, f"{_SPIN}: the water image", variant="TSE fat-sat", tokens=("WATER", "W")),
    never(Kind.OTHER, 0.9, "the fat image of a Dixon acquisition", echo="spin", te_ms=LONG_TE, tokens=("FAT", "F")),
    _t2w(0.85, _SPIN, variant="TSE", rank=1),
    source(
        Kind.T2W,
        0.8,
        "spin echo that suppresses fat by inversion",
        variant="TSE fat-sat",
        echo="spin",
        te_ms=(35, LONG_TE[1]),
        text=INVERSION,
    ),
)
