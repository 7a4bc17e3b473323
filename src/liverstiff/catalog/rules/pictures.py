"""What is no plain MR image."""

from __future__ import annotations

from liverstiff.catalog.identify import never
from liverstiff.records import Kind, SeriesReason

NOT_AN_IMAGE = (
    never(Kind.DERIVED, 0.99, "a colour image holds a picture, not values", flags=("colour",)),
    never(
        Kind.DERIVED,
        0.99,
        "a secondary capture holds a picture, not values",
        code=SeriesReason.SECONDARY_CAPTURE,
        flags=("capture",),
    ),
    never(
        Kind.OTHER,
        0.99,
        "its modality is not MR",
        code=SeriesReason.WRONG_MODALITY,
        flags=("no_mr_modality",),
    ),
    never(Kind.OTHER, 0.95, "not an MR image object", flags=("no_mr_object",)),
    never(
        Kind.DERIVED,
        0.95,
        "the image type says screen capture",
        tokens=(
            "SCREEN SAVE",
            "SCREENSAVE",
            "SCREEN CAPTURE",
            "SCREENCAPTURE",
            "PROTOCOL",
            "REPORT",
            "CAPTURE",
            "RGB",
            "CSA RESULT",
        ),
    ),
)
