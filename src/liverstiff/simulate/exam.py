"""The series of one exam: its plan carried out with images, in a vendor's words, units and order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from liverstiff.simulate import dialects, pulses
from liverstiff.simulate.contents import Images
from liverstiff.simulate.dialects import Scanner, Weighting
from liverstiff.simulate.dicom import (
    AXIAL,
    CORONAL,
    SECONDARY_CAPTURE,
    Frame,
    Part,
    Private,
    Series,
    as_stored,
    axial_frames,
    coronal_frames,
)
from liverstiff.simulate.elastography import elastogram_attributes, elastogram_frames
from liverstiff.simulate.plan import DIXON, Plan, Step
from liverstiff.simulate.wording import Wording

DIRECTIONS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
SYNTHETIC_B = 1500.0
"""s/mm2 of the images that a scanner extrapolates."""
_GE_OFFSET = 1_000_000_000
_MEASURED = ("", "trace", "directions", "magnitude", "phase", *DIXON)
_CONTRASTS = {"DWI": "DIFFUSION", "ADC": "DIFFUSION", "T1w": "T1", "T1w_post": "T1", "T2w": "T2"}


@dataclass(frozen=True)
class Exam:
    """What all series of one exam share."""

    scanner: Scanner
    images: Images
    plan: Plan
    wording: Wording
    ge_offset: bool
    """The b-values carry GE's 1,000,000,000."""

    def series(self) -> Iterator[Series]:
        """All series in the order of acquisition."""
        number = 0
        for step in self.plan.steps:
            for roles in [step.roles] if step.together else [(role,) for role in step.roles]:
                number += 1
                build = self._capture if self._captured(step, roles) else self._series
                yield build(step, roles, number)

    def _captured(self, step: Step, roles: tuple[str, ...]) -> bool:
        """Whether a result is a secondary capture."""
        colours = roles == ("colour",) and (self.plan.captured_colours or self._enhanced(step))
        return step.name == "capture" or colours

    def _enhanced(self, step: Step) -> bool:
        """Whether a step is written as multi-frame objects."""
        written = self.plan.all_enhanced or step.roles[0] in ("trace", "directions")
        return self.scanner.dialect in dialects.ENHANCED and written

    def _series(self, step: Step, roles: tuple[str, ...], number: int) -> Series:
        """An MR series of one role or several."""
        attributes = self._texts(step, "" if len(roles) > 1 else roles[0])
        attributes |= pulses.pulse_attributes(self.scanner.vendor, step.pulse) | self._timing(step) | self._slab(step)
        attributes |= {"EchoNumbers": 1, "AcquisitionNumber": 1, "InPlanePhaseEncodingDirection": "COL"}
        attributes |= {"NumberOfAverages": 1} | self._agent(step)
        if self.scanner.vendor == "Siemens" and roles[0] not in _MEASURED:
            attributes.pop("SequenceName", None)
            attributes["EchoTrainLength"] = 1  # results carry no SequenceName
        series = Series(number, tuple(self._part(step, r) for r in roles), self._spacing(step), attributes)
        series = replace(series, orientation=AXIAL if step.plane == "axial" else CORONAL)
        series = replace(series, interleaved=self.plan.interleaved and step.together and step.name != "mre")
        return self._as_enhanced(series, step) if self._enhanced(step) else series

    def _as_enhanced(self, series: Series, step: Step) -> Series:
        """A series as multi-frame objects."""
        objects, dimensions = dialects.ENHANCED[self.scanner.dialect]
        if "b" in dimensions and step.name != "dwi":
            dimensions = ("stack", "place", "time")
        contrast = _CONTRASTS.get(step.kind, "UNKNOWN")
        stated = pulses.enhanced_attributes(self.scanner.vendor, step.pulse, contrast)
        attributes = {key: value for key, value in series.attributes.items() if key not in self._left_out()}
        if not self.plan.all_enhanced:
            stated = {k: stated[k] for k in ("PulseSequenceName", "EchoPlanarPulseSequence", "AcquisitionContrast")}
        return replace(series, attributes=attributes | stated, objects=objects, dimensions=dimensions)

    def _left_out(self) -> tuple[str, ...]:
        """What classic images state and enhanced objects of the scanner do not."""
        return ("SequenceName", "SpacingBetweenSlices") if self.scanner.vendor == "Canon" else ("SequenceName",)

    def _texts(self, step: Step, role: str) -> dict[str, Any]:
        """Description and protocol."""
        description = self.wording.description(step.name, role, step.phase, self.plan.agent is not None)
        return {
            "SeriesDescription": description,
            "ProtocolName": self.wording.protocol_name(step.name, description),
        }

    def _timing(self, step: Step) -> dict[str, float]:
        """TR, TE, flip angle."""
        tr, te, flip = pulses.timing(self.scanner.protocol, step.pulse)
        return {"RepetitionTime": tr, "EchoTime": te, "FlipAngle": flip}

    def _slab(self, step: Step) -> dict[str, float]:
        """Thickness and distance of slices in mm."""
        _, y, z = self.images.grid(step.content).spacing
        thick = z if step.plane == "axial" else y * self._coronal_step(step)
        return {"SliceThickness": thick, "SpacingBetweenSlices": thick}

    def _spacing(self, step: Step) -> tuple[float, float]:
        """Millimetres between rows, between columns."""
        x, y, z = self.images.grid(step.content).spacing
        return (y, x) if step.plane == "axial" else (z, x)

    def _coronal_step(self, step: Step) -> int:
        """Every how many-th coronal section is kept."""
        rows = self.images.grid(step.content).shape[1]
        return max(1, rows // (3 if step.plane == "slab" else 12))

    def _agent(self, step: Step) -> dict[str, Any]:
        """What the header says of contrast agent; Siemens' enhanced objects say it in a sequence alone."""
        agent = self.plan.agent
        if not step.contrast:
            native = step.kind == "T1w" and self.plan.native_agent is not None
            return {"ContrastBolusAgent": self.plan.native_agent} if native else {}
        if not agent:
            return {}
        given = {"ContrastBolusAgent": agent, "ContrastBolusVolume": 7.5, "ContrastBolusRoute": "IV"}
        if not self._enhanced(step):
            return given
        code = {"CodeValue": "AGENT", "CodingSchemeDesignator": "99SIM", "CodeMeaning": agent}
        item = {**code, "ContrastBolusAgentNumber": 1, "ContrastBolusVolume": 7.5}
        coded = {"ContrastBolusAgentSequence": [item]}
        return coded if self.scanner.dialect == "siemens-xa" else given | coded

    def _part(self, step: Step, role: str) -> Part:
        """The images of one role."""
        kind, variant, source = step.truth(role)
        plain = "" if step.name == "t1_dual" else role
        image_type = pulses.image_type(
            self.scanner.vendor, self.scanner.dialect, plain, step.pulse, self._enhanced(step)
        )
        attributes: dict[str, Any] = {"ImageType": list(image_type)}
        if step.together or (step.name == "t1_dixon" and len(step.roles) > 1):
            attributes |= self._echo(step, role)
        if step.annotated:
            attributes["BurnedInAnnotation"] = "YES"
        if role == "phase" and self._enhanced(step):
            attributes["ComplexImageComponent"] = "PHASE"
        if step.content == "mre":
            attributes |= elastogram_attributes(self.scanner.dialect, self.images.mre)
        return Part(kind, variant, source, self._frames(step, role), attributes, self._part_private(role))

    def _echo(self, step: Step, role: str) -> dict[str, Any]:
        """TE of a Dixon part; a dual echo numbers its echoes."""
        if role not in DIXON:
            return {}
        in_phase, opposed = pulses.in_phase_te(self.scanner.field_t)
        echo = {"EchoTime": in_phase if role == "in" else opposed}
        return echo | ({"EchoNumbers": 2 if role == "in" else 1} if step.name == "t1_dual" else {})

    def _part_private(self, role: str) -> tuple[Private, ...]:
        """GE says by a private element that raw images are phase."""
        raw = self.plan.ge_complex and self.scanner.vendor == "GE" and role in ("magnitude", "phase")
        return ((0x0043, "GEMS_PARM_01", 0x2F, "SS", int(role == "phase")),) if raw else ()

    def _frames(self, step: Step, role: str) -> list[Frame]:
        """The images of one role, stored as the vendor does."""
        top = self.scanner.top
        if step.content == "localizer":
            return self.images.localizer(top)
        if step.content == "mre":
            return elastogram_frames(self.scanner.dialect, role, self.images.mre, self.images.offsets)
        if role in ("trace", "directions", "synthetic"):
            return self._diffusion(step, role)
        content = f"t1_{role}" if role in DIXON and step.content == "t1" else step.content
        stored, grid = as_stored(self.images.volume(content), top), self.images.grid(content)
        if step.annotated:
            stored[1:6, 2:5] = top
        return (
            axial_frames(stored, grid)
            if step.plane == "axial"
            else coronal_frames(stored, grid, self._coronal_step(step))
        )

    def _diffusion(self, step: Step, role: str) -> list[Frame]:
        """Diffusion images with their b-values, volume by volume or slice by slice."""
        by_volume = [
            self._diffusion_volume(self._enhanced(step), k, weighting, volume)
            for volume, (k, weighting) in enumerate(self._weightings(step, role))
        ]
        if self.plan.slice_major:
            return [frame for slices in zip(*by_volume, strict=True) for frame in slices]
        return [frame for volume in by_volume for frame in volume]

    def _weightings(self, step: Step, role: str) -> Iterator[tuple[int, Weighting]]:
        """Number of the protocol's b-value and weighting of every volume of a diffusion series."""
        b_values = self.scanner.protocol.b_values
        if role == "synthetic":
            yield len(b_values) - 1, Weighting(SYNTHETIC_B)
            return
        for k in step.b_index or range(len(b_values)):
            if step.directions and b_values[k] > 5:
                for number, direction in enumerate(DIRECTIONS[: step.directions], start=1):
                    yield k, Weighting(b_values[k], direction, number)
            else:
                yield k, Weighting(b_values[k])

    def _diffusion_volume(self, enhanced: bool, k: int, weighting: Weighting, volume: int) -> list[Frame]:
        """The slices of one weighting; ``k`` numbers the image, ``volume`` counts within the series."""
        combined = str(len(DIRECTIONS)) if weighting.directed else self.plan.ge_combined
        offset = _GE_OFFSET if self.ge_offset else 0
        attributes, private = dialects.b_value(self.scanner.dialect, weighting, enhanced, offset, combined)
        frames = axial_frames(as_stored(self.images.diffusion(k), self.scanner.top), self.images.grid("dwi"))
        return [replace(frame, attributes=attributes, private=private, volume=volume) for frame in frames]

    def _capture(self, step: Step, roles: tuple[str, ...], number: int) -> Series:
        """A secondary capture, in 8 bits of grey or colour, without a place in the patient."""
        if step.content == "mre":
            frames = elastogram_frames(self.scanner.dialect, roles[0], self.images.mre)
        else:
            frames = [Frame(_screen(self.images, roles[0]), None)]
        frames = [replace(frame, position=None, attributes={}) for frame in frames]
        image_type = ["DERIVED", "SECONDARY", "SCREEN SAVE"] if step.name == "capture" else ["DERIVED", "SECONDARY"]
        part = Part(
            "derived", "", False, frames, {"ImageType": image_type, "ConversionType": "WSD", "PatientOrientation": ""}
        )
        return Series(number, (part,), (1.0, 1.0), self._texts(step, roles[0]), sop_class=SECONDARY_CAPTURE)


def _screen(images: Images, role: str) -> np.ndarray:
    """A picture of the middle T1w slice, 8 bits of grey or colour."""
    volume = images.volume("t1")
    grey = axial_frames(volume, images.grid("t1"))[volume.shape[2] // 2].pixels
    scaled = (255 * np.clip(grey / max(float(grey.max()), 1.0), 0, 1)).astype(np.uint8)
    return np.stack([scaled, scaled, 255 - scaled], axis=-1) if role == "rgb" else scaled
