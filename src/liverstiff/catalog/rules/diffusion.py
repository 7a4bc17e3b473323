"""Diffusion, by its b-values."""

from __future__ import annotations

from liverstiff.catalog.identify import EVERY, never, source
from liverstiff.catalog.words import DIFFUSION_TEXT, LEAST_SLICES
from liverstiff.records import Kind, SeriesReason

DIFFUSION = (
    never(Kind.OTHER, 0.9, "diffusion, but not axial", b_max=(25, EVERY), flags=("no_axial",)),
    source(
        Kind.DWI,
        0.97,
        "it has two or more b-values, and diffusion directions",
        variant="directions",
        rank=1,
        b_max=(25, EVERY),
        b_count=(2, EVERY),
        directions=(2, EVERY),
    ),
    source(Kind.DWI, 0.97, "it has two or more b-values", variant="trace", b_max=(25, EVERY), b_count=(2, EVERY)),
    source(
        Kind.DWI,
        0.8,
        "it has one b-value, and diffusion directions",
        variant="directions",
        rank=3,
        b_max=(25, EVERY),
        directions=(2, EVERY),
    ),
    source(Kind.DWI, 0.8, "it has one b-value", variant="trace", rank=2, b_max=(25, EVERY)),
    source(
        Kind.DWI,
        0.7,
        "a diffusion series that holds b = 0 alone",
        variant="trace",
        rank=2,
        text=DIFFUSION_TEXT,
        slices=(LEAST_SLICES, EVERY),
        flags=("b_stated", "axial"),
    ),
    source(
        Kind.DWI,
        0.7,
        "a trace image at b = 0 alone",
        variant="trace",
        rank=2,
        tokens=("TRACEW", "TRACE"),
        slices=(LEAST_SLICES, EVERY),
        flags=("b_stated", "axial"),
    ),
    never(
        Kind.OTHER,
        0.8,
        "the image type says diffusion, but no b-value is stated",
        code=SeriesReason.NO_B_VALUES,
        tokens=("TRACEW", "TRACE", "DIFFUSION"),
    ),
    never(
        Kind.OTHER,
        0.8,
        "echo-planar and its text names diffusion, but no b-value is stated",
        code=SeriesReason.NO_B_VALUES,
        text=DIFFUSION_TEXT,
        flags=("echo_planar",),
    ),
    never(
        Kind.OTHER,
        0.7,
        "its text names diffusion, but no b-value is stated",
        code=SeriesReason.NO_B_VALUES,
        text=DIFFUSION_TEXT,
        te_ms=(35, 150),
    ),
)
