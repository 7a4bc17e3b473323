"""The texts of one exam's series: the vendor's usual ones, or drawn from what hospitals write."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liverstiff.simulate.languages import LOCAL, LOCAL_ROLES, NATIVE, PHASES, TIMED, TRADE, Language
from liverstiff.simulate.population import Vendor
from liverstiff.simulate.record import RecordStyle
from liverstiff.simulate.texts import BASES, ROLES, USUAL_PHASE

LANGUAGES: dict[RecordStyle, Language] = {
    "english": "english",
    "german": "german",
    "coded": "dutch",
    "plain": "english",
    "french": "french",
}
"""The language of a hospital, by the style of its record."""

_EXAM_PROTOCOLS = ("LIVER W WO MRE", "Abdomen Liver MASS", "LIVER ELASTOGRAPHY", "Body^Liver", "LEBER", "FOIE")
"""GE states one protocol name for all series of an exam."""

_LONGEST = 64
"""Of a DICOM long string."""


def _cut(text: str) -> str:
    """As much of a text as a long string holds, in bytes of UTF-8."""
    return text.encode()[:_LONGEST].decode(errors="ignore")


class Wording:
    """One exam's spelling: a step, a result and a phase are written the same way in all its series."""

    def __init__(self, vendor: Vendor, language: Language, clutter: float, rng: np.random.Generator) -> None:
        """Args: clutter: 0 for the usual texts, 1 for any."""
        self._vendor, self._language, self._clutter, self._rng = vendor, language, clutter, rng
        self._bases: dict[str, str] = {}
        self._chosen: dict[str, str] = {}
        self._states_native = rng.random() < 0.3 * clutter
        self._times = rng.random() < 0.35 * clutter
        self._exam_protocol = self._pick(_EXAM_PROTOCOLS)

    def base(self, step: str) -> str:
        """What a step of the protocol is called."""
        if step not in self._bases:
            local = LOCAL[self._language].get(step)
            own = local is not None and self._rng.random() < 0.6 * self._clutter
            chosen = self._pick(local if own and local else BASES[self._vendor][step])
            self._bases[step] = chosen.format(**TRADE[self._vendor])
        return self._bases[step]

    def description(self, step: str, role: str, phase: str, tagged: bool) -> str:
        """SeriesDescription.

        Args:
            step: of the protocol.
            role: what was made of it; empty for plain images.
            phase: of contrast; ``native`` or empty before it.
            tagged: the header names the agent, so that the text may be vague.
        """
        text = self.base(step)
        after = self._phase(phase, tagged)
        text = text + ("_" if "_" in text and " " not in text else " ") + after if after else text
        return _cut(self._role(role).format(text))

    def protocol_name(self, step: str, description: str) -> str:
        """ProtocolName: the description where nothing varies; else the name of the step, or GE's of the exam."""
        if not self._clutter:
            return description
        return self._exam_protocol if self._vendor == "GE" else _cut(self.base(step))

    def _role(self, role: str) -> str:
        """How a result is called, with a place for the name of the step."""
        if not role:
            return "{}"
        usual = ROLES[self._vendor].get(role, ("{}",))
        local = LOCAL_ROLES[self._language].get(role, usual)
        return self._once(role, local if self._rng.random() < 0.4 * self._clutter else usual)

    def _phase(self, phase: str, tagged: bool) -> str:
        """What tells images of one phase from another."""
        if phase == "native":
            return self._once(phase, NATIVE[self._language]) if self._states_native else ""
        if not phase:
            return ""
        if not self._clutter:
            return USUAL_PHASE[self._vendor]
        return self._once(phase, TIMED[phase] if tagged and self._times else PHASES[self._language][phase])

    def _once(self, key: str, choices: Sequence[str]) -> str:
        """A choice that holds for the whole exam."""
        return self._chosen.setdefault(key, self._pick(choices))

    def _pick(self, choices: Sequence[str]) -> str:
        """The first choice, or any."""
        varied = self._rng.random() < self._clutter
        return choices[int(self._rng.integers(len(choices)))] if varied else choices[0]
