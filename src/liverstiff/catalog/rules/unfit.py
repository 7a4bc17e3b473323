"""What no T1w or T2w source can be: planes, maps, contradictions."""

from __future__ import annotations

from liverstiff.catalog.identify import EVERY, never
from liverstiff.catalog.words import BALANCED, LEAST_SLICES, LONG_TE, MAPS, MOST_ECHOES, SHORT_TE
from liverstiff.records import Kind, SeriesReason

UNFIT = (
    never(Kind.OTHER, 0.9, "not axial", flags=("no_axial",)),
    never(
        Kind.OTHER,
        0.8,
        "too few slices to cover a liver",
        code=SeriesReason.TOO_FEW_SLICES,
        slices=(0, LEAST_SLICES - 1),
    ),
    never(Kind.OTHER, 0.8, "echo-planar without b-values", flags=("echo_planar",)),
    never(Kind.OTHER, 0.85, "the text names a balanced gradient echo", text=BALANCED),
    never(
        Kind.OTHER,
        0.9,
        "a map made from several echoes",
        tokens=("R2STAR", "T2STAR", "FRACTION", "PDFF", "FF", "R2", "T2", "T1MAP", "T2MAP", "B0", "FIELDMAP"),
        te_ms=(0, 15),
    ),
    never(Kind.OTHER, 0.85, "the text names a relaxation, field or fat-fraction map", text=MAPS, not_text=r"stir"),
    never(
        Kind.OTHER,
        0.9,
        "more echoes than a Dixon acquisition has: the source of a fat or iron map",
        echo="gradient",
        echoes=(MOST_ECHOES + 1, EVERY),
    ),
    never(
        Kind.OTHER,
        0.8,
        "review: a gradient echo with a short echo time, but its text says T2",
        code=SeriesReason.CONTRADICTION,
        echo="gradient",
        te_ms=SHORT_TE,
        text=r"t2w?",
        not_text=r"t1w?|vibe|lava|thrive",
    ),
    never(
        Kind.OTHER,
        0.8,
        "review: a spin echo with a long echo time, but its text says T1",
        code=SeriesReason.CONTRADICTION,
        echo="spin",
        te_ms=LONG_TE,
        text=r"t1w?|vibe\w*|lava\w*|e?thrive\w*",
        not_text=r"t2w?",
    ),
    never(Kind.DERIVED, 0.85, "the image type says secondary: not as it was acquired", tokens=("SECONDARY",)),
    never(
        Kind.OTHER,
        0.85,
        "the text names a time-of-flight or cine sequence",
        text=r"tof\w*|cine\w*|angio\w*|pc|flow|tag\w*",
    ),
)
