"""T1-weighted gradient echoes: the variants, in the order of preference by rank."""

from __future__ import annotations

from functools import partial

from liverstiff.catalog.identify import source
from liverstiff.catalog.words import (
    DUAL_ECHO,
    FAT,
    FAT_KEPT,
    FAT_SUPPRESSED,
    IN_PHASE,
    MOST_ECHOES,
    OPPOSED,
    SHORT_TE,
    WATER,
)
from liverstiff.records import Kind, SeriesReason

_t1w = partial(source, Kind.T1W, echo="gradient", te_ms=SHORT_TE)
_dixon = partial(_t1w, 0.9)
_GRADIENT = "gradient echo with a short echo time"
T1 = (
    _t1w(
        0.95,
        "the fat image of a Dixon acquisition",
        variant="fat",
        code=SeriesReason.NOT_A_SOURCE,
        tokens=("FAT", "F"),
    ),
    _t1w(0.95, f"{_GRADIENT}: the water image", variant="water", tokens=("WATER", "W")),
    _t1w(
        0.9,
        f"{_GRADIENT}: the opposed-phase image",
        variant="opposed-phase",
        rank=3,
        tokens=("OPP_PHASE", "OUT_PHASE", "OP", "OPP", "OUT", "OPPOSED", "OPPPHASE", "OUTPHASE", "OOP"),
    ),
    _t1w(
        0.9,
        f"{_GRADIENT}: the in-phase image",
        variant="in-phase",
        rank=2,
        tokens=("IN_PHASE", "IP", "IN", "INPHASE"),
    ),
    _t1w(
        0.9,
        "the text names the fat image of a Dixon acquisition",
        variant="fat",
        code=SeriesReason.NOT_A_SOURCE,
        text=FAT,
        not_text=rf"{WATER}|{IN_PHASE}|{OPPOSED}|{FAT_SUPPRESSED}",
    ),
    _dixon(
        f"{_GRADIENT}: in phase by echo time",
        variant="in-phase",
        rank=2,
        echoes=(2, MOST_ECHOES),
        flags=("in_phase", "no_fat_suppressed"),
    ),
    _dixon(
        f"{_GRADIENT}: opposed phase by echo time",
        variant="opposed-phase",
        rank=3,
        echoes=(2, MOST_ECHOES),
        flags=("opposed_phase", "no_fat_suppressed"),
    ),
    _dixon(
        f"{_GRADIENT}: one of two echoes, in phase",
        variant="in-phase",
        rank=2,
        text=DUAL_ECHO,
        not_text=WATER,
        flags=("in_phase", "no_fat_suppressed"),
    ),
    _dixon(
        f"{_GRADIENT}: one of two echoes, in opposed phase",
        variant="opposed-phase",
        rank=3,
        text=DUAL_ECHO,
        not_text=WATER,
        flags=("opposed_phase", "no_fat_suppressed"),
    ),
    _dixon(
        f"{_GRADIENT}: the text names the opposed phase",
        variant="opposed-phase",
        rank=3,
        text=OPPOSED,
        not_text=rf"{IN_PHASE}|{WATER}",
    ),
    _dixon(
        f"{_GRADIENT}: the text names the in-phase image",
        variant="in-phase",
        rank=2,
        text=IN_PHASE,
        not_text=rf"{OPPOSED}|{WATER}",
    ),
    _dixon(
        f"{_GRADIENT}: in phase by echo time",
        variant="in-phase",
        rank=2,
        text=IN_PHASE,
        not_text=WATER,
        flags=("in_phase",),
    ),
    _dixon(
        f"{_GRADIENT}: opposed phase by echo time",
        variant="opposed-phase",
        rank=3,
        text=OPPOSED,
        not_text=WATER,
        flags=("opposed_phase",),
    ),
    _dixon(f"{_GRADIENT}: the text names the water image", variant="water", text=WATER),
    _t1w(0.9, f"{_GRADIENT}: fat-suppressed", variant="fat-sat", flags=("fat_suppressed",)),
    _t1w(
        0.85,
        f"{_GRADIENT}: a sequence that suppresses fat by its name",
        variant="fat-sat",
        text=r"e?thrive\w*|lava(?![ _-]?flex)\w*|quick[ _-]?3ds",
        not_text=rf"dixon\w*|flex|mdix\w*|{FAT_KEPT}",
    ),
    _t1w(0.8, _GRADIENT, variant="plain", rank=1),
)
