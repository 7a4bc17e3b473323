"""Maps, waves and raw images of elastography."""

from __future__ import annotations

from functools import partial

from liverstiff.catalog.identify import never, source
from liverstiff.catalog.words import CONFIDENCE, ELASTOGRAPHY, MASKED, RAW, STIFFNESS, WAVE
from liverstiff.records import Kind

_stiffness_map = partial(source, Kind.MRE_STIFFNESS)
ELASTOGRAPHY_RULES = (
    never(
        Kind.DERIVED,
        0.9,
        "the text names a colour map of elastography",
        text=rf"({STIFFNESS}|mre)[ _-]*(map[ _-]*)?(colou?r|rgb|farb\w*|couleur)|colou?r[ _-]*(map|{STIFFNESS}|mre)",
        flags=("no_phase",),
    ),
    source(
        Kind.MRE_MASKED,
        0.98,
        "the image type names the masked stiffness map",
        tokens=("STGRYM", "MASKED", "STIFFNESS_MASK", "STIFFNESS_95", "STIFFNESS95"),
        flags=("no_phase",),
    ),
    source(
        Kind.MRE_MASKED,
        0.95,
        "the text names the masked stiffness map",
        text=MASKED,
        not_text=r"conf[ _-]?map\w*|confidence[ _-]?map",
        flags=("no_phase",),
    ),
    source(
        Kind.MRE_CONFIDENCE,
        0.98,
        "the image type names the confidence map",
        tokens=("CONFIDENCE", "CONFMAP", "CONF", "CONFIDENCEMAP"),
    ),
    never(
        Kind.MRE_WAVE,
        0.97,
        "the image type names wave images",
        tokens=("WAVE", "WAVES", "WAVEIMAGE"),
    ),
    _stiffness_map(
        0.98,
        "the image type names the stiffness map",
        tokens=("STIFFNESS", "ELASTOGRAM", "STGRY", "STIFF", "SHEAR", "STIFFNESSMAP"),
    ),
    _stiffness_map(0.97, "its values are mapped to a unit of stiffness", unit=("kpa", "pa")),
    source(
        Kind.MRE_CONFIDENCE,
        0.9,
        "the text names the confidence map",
        text=CONFIDENCE,
        not_text=RAW,
        flags=("no_phase",),
    ),
    _stiffness_map(
        0.9, "the text names the stiffness map", text=STIFFNESS, not_text=rf"{RAW}|adc|dwi", flags=("no_phase",)
    ),
    never(
        Kind.MRE_WAVE,
        0.9,
        "the text names wave images of elastography",
        text=rf"({ELASTOGRAPHY})[^|]*[^a-z|]({WAVE})|({WAVE})[^|]*[^a-z|]({ELASTOGRAPHY})|waves?[ _-]?im\w*",
    ),
    never(
        Kind.MRE_WAVE,
        0.7,
        "the text names wave images",
        text=WAVE,
        flags=("no_fat_suppressed",),
    ),
    never(
        Kind.MRE_RAW,
        0.9,
        "the text names elastography: a phase image",
        variant="phase",
        text=ELASTOGRAPHY,
        flags=("phase",),
    ),
    never(
        Kind.MRE_RAW,
        0.85,
        "the text names elastography: a phase image",
        variant="phase",
        text=r"(mre\w*|\w*elasto\w*|touch)[^|]*[^a-z|]pha?(se)?s?|pha?(se)?s?[^a-z|][^|]*mre",
        not_text=r"mag\w*",
    ),
    never(
        Kind.MRE_RAW,
        0.9,
        "the text names elastography, but no map of stiffness: the magnitude",
        variant="magnitude",
        text=ELASTOGRAPHY,
    ),
)
