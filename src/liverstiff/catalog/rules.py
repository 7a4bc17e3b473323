"""How a series is identified: one table of rules, read from top to bottom, the first that holds decides.

Specific before generic, and in this order: what is no plain MR image, elastography, what is never a source (phase,
localizers, reformats, maps), diffusion by its b-values, then T1w and T2w by the physics of the sequence. What fits no
rule, and what contradicts itself, is ``other`` with a reason, never a guess. A wrong ``gradient echo`` of a diffusion
series does no harm, since b-values come first.
"""

from __future__ import annotations

from liverstiff.catalog.identify import EVERY, Rule
from liverstiff.records import Kind

LEAST_SLICES = 6
"""Fewer slices do not cover a liver."""

SHORT_TE, LONG_TE = (0.0, 6.0), (60.0, 300.0)
"""Echo times in ms of a T1-weighted gradient echo and of a T2-weighted spin echo."""

CONFIDENCE = r"conf[ _-]?map|confidence\w*"
MASKED = r"stgrym|(stiff\w*|elastogram)[ _-]*(conf\w*[ _-]*)?(mask\w*|95\w*)|mask\w*[ _-]*(stiff\w*|elastogram)"
STIFFNESS = r"stgry|stiff\w*|elastogram|shear[ _-]?(stiff\w*|modulus)"
RAW = r"waves?(?![ _-]?caipi)|wave[ _-]?image\w*|magn?\w*|phase|raw|colou?r|rgb"
ELASTOGRAPHY = rf"mre|elasto\w*|mr[ _-]?touch|greflex\w*|waves?[ _-]?images?|{STIFFNESS}|{CONFIDENCE}"
FAT_SUPPRESSED = r"fs|fat[ _-]?(sat\w*|sup\w*)|spair|spir|stir"

NOT_AN_IMAGE = (
    Rule(Kind.DERIVED, 0.99, "a colour image holds a picture, not values", flags=("colour",)),
    Rule(Kind.OTHER, 0.95, "not an MR image object", flags=("no_mr_object",)),
)

ELASTOGRAPHY_RULES = (
    Rule(
        Kind.MRE_MASKED,
        0.98,
        "the image type names the masked stiffness map",
        tokens=("STGRYM", "STIFFNESS_MASKED", "MASKED_STIFFNESS", "ELASTOGRAM_MASKED", "STIFFNESS_MASK"),
        flags=("no_phase",),
    ),
    Rule(Kind.MRE_MASKED, 0.95, "the text names the masked stiffness map", text=MASKED, flags=("no_phase",)),
    Rule(
        Kind.MRE_CONFIDENCE,
        0.98,
        "the image type names the confidence map",
        tokens=("CONFIDENCE", "CONFMAP", "CONF", "CONFIDENCEMAP"),
    ),
    Rule(
        Kind.MRE_STIFFNESS,
        0.98,
        "the image type names the stiffness map",
        tokens=("STIFFNESS", "ELASTOGRAM", "STGRY", "STIFF", "SHEAR", "STIFFNESSMAP"),
        not_text=r"colou?r",
    ),
    Rule(Kind.MRE_STIFFNESS, 0.97, "its values are mapped to a unit of stiffness", unit=("kpa", "pa")),
    Rule(
        Kind.MRE_CONFIDENCE,
        0.9,
        "the text names the confidence map",
        text=CONFIDENCE,
        not_text=RAW,
        flags=("no_phase",),
    ),
    Rule(
        Kind.MRE_STIFFNESS,
        0.9,
        "the text names the stiffness map",
        text=STIFFNESS,
        not_text=RAW,
        flags=("no_phase",),
    ),
    Rule(
        Kind.MRE_RAW,
        0.9,
        "the text names elastography, but no map of stiffness: raw, wave or magnitude",
        text=ELASTOGRAPHY,
    ),
)

NEVER_A_SOURCE = (
    Rule(Kind.OTHER, 0.97, "a phase image", flags=("phase",)),
    Rule(Kind.LOCALIZER, 0.99, "the image type says localizer", tokens=("LOCALIZER", "SCOUT")),
    Rule(
        Kind.LOCALIZER,
        0.9,
        "the text names a localizer or a calibration",
        text=r"loc|locali[sz]er\w*|scout|survey|(3|three)[ -]?pl(ane)?s?|calibration|asset[ _-]?cal\w*|ref[ _-]?scan",
    ),
    Rule(
        Kind.LOCALIZER,
        0.85,
        "slices lie in several directions",
        slices=(0, 15),
        b_max=(0, 25),
        flags=("several_directions",),
    ),
    Rule(Kind.OTHER, 0.9, "the text names cholangiography", text=r"mrcp\w*"),
    Rule(
        Kind.DERIVED,
        0.95,
        "the image type says subtraction, projection or reformat",
        tokens=("SUBTRACT", "SUBTRACTION", "SUB", "MPR", "MIP", "MINIP", "PROJECTION IMAGE", "REFORMATTED"),
    ),
    Rule(
        Kind.DERIVED,
        0.85,
        "the text names a subtraction, projection or reformat",
        text=r"sub|subtr\w*|mpr|mip|minip|reformat\w*",
    ),
    Rule(Kind.ADC, 0.97, "the image type says ADC", tokens=("ADC",)),
    Rule(
        Kind.ADC, 0.85, "the text names an ADC map", text=r"d?adc|apparent[ _-]diff\w*", not_text=r"(e|exp\w*)[ _-]adc"
    ),
    Rule(
        Kind.DERIVED,
        0.95,
        "a map that the scanner made from diffusion images",
        tokens=("FA", "EADC", "EXP", "EXPONENTIAL", "TENSOR", "COLFA", "IVIM"),
    ),
    Rule(Kind.DERIVED, 0.85, "the text names a diffusion map", text=r"eadc|(e|exp\w*)[ _-]adc|fa(?!\d)|ivim\w*"),
    Rule(
        Kind.DERIVED,
        0.9,
        "b-values that were calculated, not measured",
        tokens=("SYNTHETIC", "CALCULATED", "CALC"),
    ),
    Rule(Kind.DERIVED, 0.85, "the text names calculated b-values", text=r"synth\w*|calc\w*|cdwi|c[ _-]?b\d+"),
)

DIFFUSION = (
    Rule(
        Kind.DERIVED,
        0.9,
        "a trace image at one b-value, made from another series",
        tokens=("TRACEW",),
        b_count=(0, 1),
    ),
    Rule(Kind.OTHER, 0.9, "diffusion, but not axial", b_max=(25, EVERY), flags=("no_axial",)),
    Rule(Kind.DWI, 0.97, "it has two or more b-values", b_max=(25, EVERY), b_count=(2, EVERY)),
    Rule(Kind.DWI, 0.8, "it has one b-value", rank=1, b_max=(25, EVERY)),
)

UNFIT = (
    Rule(Kind.OTHER, 0.9, "not axial", flags=("no_axial",)),
    Rule(Kind.OTHER, 0.8, "too few slices to cover a liver", slices=(0, LEAST_SLICES - 1)),
    Rule(Kind.OTHER, 0.8, "echo-planar without b-values", flags=("echo_planar",)),
    Rule(
        Kind.OTHER,
        0.8,
        "review: a gradient echo with a short echo time, but its text says T2",
        echo="gradient",
        te_ms=SHORT_TE,
        text=r"t2w?",
    ),
    Rule(
        Kind.OTHER,
        0.8,
        "review: a spin echo with a long echo time, but its text says T1",
        echo="spin",
        te_ms=LONG_TE,
        text=r"t1w?",
        not_text=r"t2w?",
    ),
    Rule(
        Kind.OTHER,
        0.85,
        "the text names a balanced gradient echo",
        text=r"trufi\w*|true?[ _-]?fisp\w*|fiesta\w*|b[ _-]?t?ffe|balanced|b?ssfp",
    ),
    Rule(Kind.OTHER, 0.95, "the fat image of a Dixon acquisition", tokens=("FAT", "F"), te_ms=(0, 10)),
    Rule(
        Kind.OTHER,
        0.9,
        "a map made from Dixon echoes",
        tokens=("R2STAR", "T2STAR", "FRACTION", "PDFF", "FF"),
        te_ms=(0, 15),
    ),
    Rule(
        Kind.OTHER,
        0.85,
        "the text names a relaxation, field or fat-fraction map",
        text=r"[rt]2(\*|[ _-]?star)|r2|pdff|fat[ _-]?fr\w*|ff|(b0|b1|t1|field)[ _-]?map\w*|molli",
    ),
    Rule(
        Kind.OTHER,
        0.9,
        "the text names the fat image of a Dixon acquisition",
        text=r"f|fat([ _-]only)?",
        not_text=rf"{FAT_SUPPRESSED}|w|water",
        te_ms=SHORT_TE,
    ),
)

T1 = (
    Rule(
        Kind.T1W_POST,
        0.8,
        "several volumes over time: a dynamic series",
        echo="gradient",
        te_ms=SHORT_TE,
        volumes=(2, EVERY),
    ),
    Rule(
        Kind.T1W,
        0.95,
        "gradient echo with a short echo time: the water image",
        tokens=("WATER", "W"),
        echo="gradient",
        te_ms=SHORT_TE,
    ),
    Rule(
        Kind.T1W,
        0.9,
        "gradient echo with a short echo time: the in-phase image",
        rank=2,
        tokens=("IN_PHASE", "IP", "IN", "INPHASE"),
        echo="gradient",
        te_ms=SHORT_TE,
    ),
    Rule(
        Kind.T1W,
        0.85,
        "gradient echo with a short echo time: the opposed-phase image",
        rank=3,
        tokens=("OPP_PHASE", "OUT_PHASE", "OP", "OPP", "OUT", "OPPOSED"),
        echo="gradient",
        te_ms=SHORT_TE,
    ),
    Rule(
        Kind.T1W,
        0.9,
        "gradient echo with a short echo time: fat-suppressed",
        echo="gradient",
        te_ms=SHORT_TE,
        flags=("fat_suppressed",),
    ),
    Rule(
        Kind.T1W,
        0.9,
        "gradient echo with a short echo time: the text names water or fat suppression",
        text=rf"w|water|{FAT_SUPPRESSED}|thrive|lava(?![ _-]?flex)",
        echo="gradient",
        te_ms=SHORT_TE,
    ),
    Rule(Kind.T1W, 0.8, "gradient echo with a short echo time", rank=1, echo="gradient", te_ms=SHORT_TE),
)

T2 = (
    Rule(
        Kind.OTHER,
        0.85,
        "spin echo with an echo time above 300 ms: cholangiography",
        echo="spin",
        te_ms=(LONG_TE[1], EVERY),
    ),
    Rule(
        Kind.T2W,
        0.85,
        "spin echo with a long echo time: single shot",
        rank=2,
        echo="spin",
        te_ms=LONG_TE,
        text=r"haste\w*|ssfse\w*|ssh\w*|single[ _-]?shot|ss[ _-]?tse|fase",
    ),
    Rule(
        Kind.T2W,
        0.9,
        "spin echo with a long echo time: fat-suppressed",
        echo="spin",
        te_ms=LONG_TE,
        flags=("fat_suppressed",),
    ),
    Rule(
        Kind.T2W,
        0.9,
        "spin echo with a long echo time: the text names fat suppression",
        text=FAT_SUPPRESSED,
        echo="spin",
        te_ms=LONG_TE,
    ),
    Rule(Kind.T2W, 0.85, "spin echo with a long echo time", rank=1, echo="spin", te_ms=LONG_TE),
)

RULES: tuple[Rule, ...] = (
    *NOT_AN_IMAGE,
    *ELASTOGRAPHY_RULES,
    *NEVER_A_SOURCE,
    *DIFFUSION,
    *UNFIT,
    *T1,
    *T2,
    Rule(Kind.OTHER, 0.5, "no rule fits its echo type and echo time"),
)
