"""Phase images, localizers, reformats and maps: never a source."""

from __future__ import annotations

from liverstiff.catalog.identify import never
from liverstiff.catalog.words import ADC, BOLUS, CALIBRATION, CHOLANGIOGRAPHY, EXPONENTIAL, LOCALIZER, MADE, SYNTHETIC
from liverstiff.records import Kind

NEVER_A_SOURCE = (
    never(Kind.OTHER, 0.97, "a phase image", flags=("phase",)),
    never(Kind.LOCALIZER, 0.99, "the image type says localizer", tokens=("LOCALIZER", "SCOUT")),
    never(
        Kind.OTHER,
        0.9,
        "the image type says field map",
        tokens=("B0MAP", "FIELDMAP", "FIELD MAP", "B0 MAP", "B1MAP"),
    ),
    never(Kind.LOCALIZER, 0.9, "the text names a localizer", text=LOCALIZER, not_text=r"mrcp\w*"),
    never(Kind.LOCALIZER, 0.9, "the text names a calibration", text=CALIBRATION),
    never(Kind.OTHER, 0.9, "the text names the tracking of a bolus or of breathing", text=BOLUS),
    never(
        Kind.LOCALIZER,
        0.85,
        "slices lie in several directions",
        slices=(0, 15),
        b_max=(0, 25),
        flags=("several_planes",),
    ),
    never(Kind.OTHER, 0.9, "the text names cholangiography", text=CHOLANGIOGRAPHY, not_text=MADE),
    never(
        Kind.DERIVED,
        0.95,
        "the image type says subtraction, projection or reformat",
        tokens=("SUBTRACT", "SUBTRACTION", "SUB", "MPR", "MIP", "MINIP", "PROJECTION IMAGE", "REFORMATTED", "PJN"),
    ),
    never(Kind.DERIVED, 0.85, "the text names a subtraction, projection, reformat or picture", text=MADE),
    never(
        Kind.DERIVED,
        0.95,
        "a map that the scanner made from diffusion images",
        tokens=("FA", "EADC", "EXP", "EXPONENTIAL", "TENSOR", "COLFA", "IVIM"),
    ),
    never(Kind.DERIVED, 0.85, "the text names an exponential map", text=EXPONENTIAL),
    never(Kind.ADC, 0.97, "the image type says ADC", tokens=("ADC",)),
    never(Kind.ADC, 0.85, "the text names an ADC map", text=ADC, b_count=(0, 1)),
    never(Kind.DERIVED, 0.8, "the text names a diffusion map", text=r"fa(?!\d)|frac\w*[ _-]?aniso\w*", echo="spin"),
    never(
        Kind.DERIVED,
        0.9,
        "b-values that were calculated, not measured",
        tokens=("SYNTHETIC", "CALCULATED", "CALC", "COMPUTED", "CALC_BVALUE", "CALCBVALUE"),
    ),
    never(Kind.DERIVED, 0.85, "the text names calculated b-values", text=SYNTHETIC),
)
