"""What an exam consists of: the usual steps of a protocol, and what else real exams hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from liverstiff.simulate.dialects import Scanner
from liverstiff.simulate.dicom import Kind
from liverstiff.simulate.population import Vendor
from liverstiff.simulate.pulses import Pulse

DIXON = ("in", "opp", "water", "fat")
AGENTS = ("Gadobutrol", "GADOVIST", "Primovist 10 ml", "Eovist", "DOTAREM", "Gadoxetate", "11 ml MultiHance")
_VARIANTS = {"water": "water", "fat": "fat", "in": "in-phase", "opp": "opposed-phase"}


@dataclass(frozen=True)
class Step:
    """One acquisition or result; its roles are series of their own, or parts of one."""

    name: str
    """Of its texts."""
    pulse: Pulse
    kind: Kind
    variant: str = ""
    source: bool = False
    roles: tuple[str, ...] = ("",)
    """What is made of it."""
    together: bool = False
    """The roles share a SeriesInstanceUID."""
    content: str = "t1"
    """What the pixels show."""
    plane: str = "axial"
    """``axial``, ``coronal`` or ``slab``, a few thick coronal slices."""
    phase: str = ""
    """Of contrast; ``native`` before it."""
    contrast: bool = False
    """Made after contrast."""
    annotated: bool = False
    """Text is burned into the pixels."""
    b_index: tuple[int, ...] = ()
    """Which of the protocol's b-values, in order; empty for all."""
    directions: int = 0
    """Gradient directions kept apart at each b-value; 0 for trace images."""

    def truth(self, role: str) -> tuple[Kind, str, bool]:
        """Kind, variant, and whether it may be taken as a source."""
        if role in _RESULTS:
            return _RESULTS[role]
        if self.name == "mre":
            return _ELASTOGRAM[role]
        variant = _VARIANTS.get(role, self.variant)
        return self.kind, variant, self.source and role != "fat" and not self.annotated


_RESULTS: dict[str, tuple[Kind, str, bool]] = {
    "adc": ("ADC", "", False),
    **dict.fromkeys(("eadc", "fa", "synthetic", "subtraction", "mpr", "mip"), ("derived", "", False)),
    **dict.fromkeys(("pdff", "r2star", "field_map"), ("other", "", False)),
}
_ELASTOGRAM: dict[str, tuple[Kind, str, bool]] = {
    "magnitude": ("MRE_raw", "magnitude", True),
    "phase": ("MRE_raw", "phase", False),
    "wave": ("MRE_wave", "", False),
    "stiffness": ("MRE_stiffness", "", True),
    "masked": ("MRE_masked_stiffness", "", True),
    "confidence": ("MRE_confidence", "", True),
    "colour": ("derived", "", False),
}

LOCALIZER = Step("localizer", "localizer", "localizer", content="localizer")
T1_FS = Step("t1_fs", "gre3d_fs", "T1w", "fat-sat", True, phase="native")
T1_DIXON = Step("t1_dixon", "gre3d", "T1w", "", True, DIXON, phase="native")
T1_DUAL = Step("t1_dual", "gre2d", "T1w", "", True, ("opp", "in"), True, phase="native")
T1_PLAIN = Step("t1_plain", "gre2d", "T1w", "plain", True, phase="native")
T2_FS = Step("t2_tse_fs", "tse_fs", "T2w", "TSE fat-sat", True, content="t2")
DWI = Step("dwi", "epi", "DWI", "trace", True, ("trace",), content="dwi")
ADC = Step("dwi", "epi", "ADC", roles=("adc",), content="adc")
T2_OTHERS = (
    Step("t2_tse", "tse", "T2w", "TSE", True, content="t2"),
    Step("t2_ss", "single_shot", "T2w", "single-shot", True, content="t2"),
    Step("t2_ss_fs", "single_shot_fs", "T2w", "single-shot fat-sat", True, content="t2"),
    Step("t2_radial_fs", "radial_fs", "T2w", "radial fat-sat", True, content="t2"),
    Step("t2_radial", "radial", "T2w", "radial", True, content="t2"),
)
_EXTRAS = (
    (0.5, Step("calibration", "calibration", "localizer")),
    (0.5, Step("t2_coronal", "single_shot", "other", content="t2", plane="coronal")),
    (0.25, Step("mrcp_slab", "mrcp_slab", "other", content="t2", plane="slab")),
    (0.25, Step("mrcp_3d", "mrcp_3d", "other", content="t2", plane="coronal")),
    (0.2, Step("balanced", "balanced", "other", content="t2")),
    (0.2, Step("balanced_cor", "balanced", "other", content="t2", plane="coronal")),
    (0.25, Step("quant", "multi_echo", "other", roles=("pdff", "r2star"))),
    (0.1, Step("field_map", "multi_echo", "other", roles=("field_map",))),
    (0.1, Step("gre_phase", "gre2d", "other", roles=("phase",))),
)
"""Chance in a fully cluttered exam, and the step."""


@dataclass(frozen=True)
class Plan:
    """An exam's steps in the order of acquisition, and habits of the site."""

    steps: tuple[Step, ...]
    agent: str | None = "Gadobutrol"
    """ContrastBolusAgent after contrast; none where the header does not name it."""
    native_agent: str | None = None
    """ContrastBolusAgent of T1w before contrast; none where the attribute is absent."""
    ge_combined: str = "0"
    """GE's (0019,10E0) of diffusion: anything but 0 is a number of directions."""
    slice_major: bool = False
    """Diffusion is numbered slice by slice, all b-values of a slice first."""
    interleaved: bool = False
    """Parts that share a series are numbered slice by slice."""
    all_enhanced: bool = False
    """Every series is a multi-frame object, where the vendor writes some."""
    ge_complex: bool = False
    """GE says by (0043,102F) which images are phase."""
    captured_colours: bool = False
    """Colour maps are secondary captures."""


def usual_plan(scanner: Scanner, absent: str) -> Plan:
    """The exam that holds nothing unusual; ``absent`` is ``T2w``, ``DWI`` or empty."""
    vendor = scanner.vendor
    t1 = replace(T1_DIXON, roles=("water",)) if vendor == "GE" else T1_FS
    steps = [LOCALIZER]
    steps += [T2_FS] if absent != "T2w" else []
    steps += [DWI, *([ADC] if vendor in ("Siemens", "Philips", "UIH") else [])] if absent != "DWI" else []
    steps += [elastography("mre", roles) for roles in usual_elastogram(vendor)]
    post = replace(t1, kind="T1w_post", source=False, phase="portal", contrast=True, content="t1_post")
    steps += [t1, post, replace(post, roles=("subtraction",), phase="", content="t1_subtraction")]
    return Plan(
        tuple(steps),
        native_agent="" if vendor == "Philips" else None,
        slice_major=scanner.protocol.dwi_slice_major,
        all_enhanced=scanner.dialect != "philips-enhanced",
    )


def usual_elastogram(vendor: Vendor) -> tuple[tuple[str, ...], ...]:
    """What a vendor always exports of an elastogram, a series each."""
    return ("magnitude",), ("stiffness",), ("masked",) if vendor == "GE" else ("confidence",)


def elastography(pulse: Pulse, roles: tuple[str, ...], **changes: Any) -> Step:
    """A step of elastography."""
    return Step("mre", pulse, "MRE_raw", roles=roles, content="mre", **changes)


class Draw:
    """Chances of one exam, all scaled by the clutter."""

    def __init__(self, clutter: float, rng: np.random.Generator) -> None:
        """Args: clutter: 0 for nothing unusual, 1 for all that is possible."""
        self.clutter, self.rng = clutter, rng

    def maybe(self, chance: float) -> bool:
        """True with that chance in a fully cluttered exam."""
        return bool(self.rng.random() < chance * self.clutter)

    def one(self, choices: tuple[Any, ...]) -> Any:
        """One of the choices."""
        return choices[int(self.rng.integers(len(choices)))]

    def some(self, pairs: tuple[tuple[float, Any], ...]) -> list[Any]:
        """Those that come up."""
        return [what for chance, what in pairs if self.maybe(chance)]


def draw_plan(scanner: Scanner, absent: str, draw: Draw) -> Plan:
    """An exam as a clinic makes it; with a clutter of 0 the usual one.

    Args:
        scanner: whose; echo-planar elastography is at 3 T only.
        absent: ``T2w``, ``DWI`` or empty.
        draw: chances.
    """
    usual = usual_plan(scanner, absent)
    if not draw.clutter:
        return usual
    t1 = _t1_steps(draw, usual)
    steps = [LOCALIZER, *_native_steps(draw, scanner, usual, absent), *t1]
    steps += _contrast_steps(draw, t1) if not draw.maybe(0.2) else []
    return replace(
        usual,
        steps=(*steps, *_captures(draw)),
        agent=None if draw.maybe(0.25) else draw.one(AGENTS) if draw.maybe(1) else usual.agent,
        native_agent=draw.one((None, "", "NONE", "None", "No contrast")) if draw.maybe(0.4) else usual.native_agent,
        ge_combined="6" if draw.maybe(0.2) else "0",
        slice_major=usual.slice_major != draw.maybe(0.3),
        interleaved=draw.maybe(0.4),
        all_enhanced=usual.all_enhanced or draw.maybe(0.6),
        ge_complex=True,
        captured_colours=draw.maybe(0.5),
    )


def _native_steps(draw: Draw, scanner: Scanner, usual: Plan, absent: str) -> list[Step]:
    """Everything before contrast but T1w, block by block in any order."""
    has_map = any(step.roles == ("adc",) for step in usual.steps)
    blocks = [
        _t2_steps(draw) if absent != "T2w" else [],
        _dwi_steps(draw, scanner, has_map) if absent != "DWI" else [],
        _mre_steps(draw, scanner),
        draw.some(_EXTRAS),
    ]
    order = draw.rng.permutation(len(blocks)) if draw.maybe(0.5) else range(len(blocks))
    return [step for k in order for step in blocks[k]]


def _t1_steps(draw: Draw, usual: Plan) -> list[Step]:
    """T1w before contrast: one candidate or two."""
    plain = [step for step in usual.steps if step.kind == "T1w"]
    layouts = (
        [T1_FS],
        [T1_DIXON],
        [replace(T1_DIXON, together=True)],
        [T1_DUAL, T1_FS],
        [T1_DIXON, T1_FS],
        [T1_DUAL, replace(T1_DIXON, roles=("water",))],
        [T1_DUAL],
        [T1_PLAIN],
        [T1_PLAIN, T1_DUAL],
    )
    return list(draw.one(layouts)) if draw.maybe(0.85) else plain


def _t2_steps(draw: Draw) -> list[Step]:
    """T2w: one candidate or two."""
    first = draw.one(T2_OTHERS) if draw.maybe(0.65) else T2_FS
    steps = [first]
    if draw.maybe(0.4):
        steps.append(draw.one(tuple(step for step in (T2_FS, *T2_OTHERS) if step != first)))
    if draw.maybe(0.1):
        steps.append(replace(first, annotated=True))
    return steps


def _dwi_steps(draw: Draw, scanner: Scanner, usual_map: bool) -> list[Step]:
    """Diffusion: trace images in one series or one series per b-value, raw directions, and maps."""
    vendor, volumes = scanner.vendor, len(scanner.protocol.b_values)
    steps = [DWI]
    if vendor in ("Siemens", "UIH") and draw.maybe(0.25):
        steps = [replace(DWI, b_index=(k,)) for k in range(volumes)]
    elif vendor == "Philips" and draw.maybe(0.3):
        steps = [replace(DWI, b_index=(0, *range(volumes)))]
    if draw.maybe(0.3):
        raw = replace(DWI, variant="directions", roles=("directions",), directions=3)
        steps = [raw] if draw.maybe(0.3) else [raw, *steps]
    if draw.maybe(0.6) or (usual_map and not draw.maybe(0.4)):
        steps.append(ADC)
    maps = ((0.2, "eadc"), (0.1, "fa"), (0.35, "synthetic"))
    return steps + [replace(ADC, kind="derived", roles=(role,)) for role in draw.some(maps)]


def _mre_steps(draw: Draw, scanner: Scanner) -> list[Step]:
    """Elastography with some of its raw images and maps."""
    vendor = scanner.vendor
    pulse: Pulse = "mre_epi" if scanner.field_t > 2 and draw.maybe(0.4) else "mre"
    raw = elastography(pulse, ("magnitude",))
    if draw.maybe(0.5):
        raw = replace(raw, roles=("magnitude", "phase"), together=vendor in ("GE", "Philips"))
    always = [role for (role,) in usual_elastogram(vendor)[1:]]
    more = draw.some(((0.4, "wave"), (0.4, "masked"), (0.4, "confidence"), (0.4, "colour")))
    return [raw, elastography(pulse, tuple(dict.fromkeys(always + more)))]


_PHASES = (
    (("portal",), ("arterial", "portal"), ("arterial", "portal", "delayed"), ("post",)),
    (("arterial", "portal", "delayed", "hepatobiliary"), ("arterial", "portal", "hepatobiliary")),
)


def _contrast_steps(draw: Draw, native: list[Step]) -> list[Step]:
    """T1w after contrast in several phases, and what is made of them."""
    dynamic = next((step for step in native if step.name in ("t1_fs", "t1_dixon")), T1_FS)
    if dynamic.name == "t1_dixon" and draw.maybe(0.5):
        dynamic = replace(dynamic, roles=("water",), together=False)
    post = replace(dynamic, kind="T1w_post", source=False, contrast=True, content="t1_post")
    phases = draw.one(draw.one(_PHASES)) if draw.maybe(0.9) else ("portal",)
    made = replace(post, roles=("subtraction",), together=False, content="t1_subtraction", phase=phases[-1])
    coronal = replace(made, content="t1_post", plane="coronal")
    results = ((0.5, made), (0.25, replace(coronal, roles=("mpr",))), (0.25, replace(coronal, roles=("mip",))))
    return [replace(post, phase=phase) for phase in phases] + draw.some(results)


def _captures(draw: Draw) -> list[Step]:
    """Screen captures, in colour and in 8 bits of grey."""
    capture = Step("capture", "localizer", "derived", content="capture")
    return draw.some(((0.3, replace(capture, roles=("rgb",))), (0.2, replace(capture, roles=("grey",)))))
