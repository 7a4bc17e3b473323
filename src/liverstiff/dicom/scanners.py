"""Names of scanners as they may be published: one name per vendor, known models, nominal field strengths.

A model name is free text that a hospital may have changed; only words that vendors use are passed on.
"""

from __future__ import annotations

import re

_VENDORS = {
    "ge": "GE",
    "siemens": "Siemens",
    "philips": "Philips",
    "canon": "Canon",
    "toshiba": "Canon",
    "uih": "UIH",
}

MODELS = {
    "GE": r"(genesis_)?signa|discovery|optima|brivo|artist|architect|pioneer|premier|voyager|creator|explorer|hero"
    r"|champion|victor|prime|excite|hdxt?|hde|genesis|mr\d{3}w?|gem|mr|pet|pet/mr|ev|infinity|air|it|\d(\.\d)?t",
    "Siemens": r"(aera|skyra|prisma|vida|sola|avanto|trio|verio|espree|symphony|lumina|altea|spectra)(tim|[_ ]?fit)?"
    r"|amira|sempra|essenza|terra|biograph(_mmr)?|mmr|cima\.x|free\.max|free\.star|viato|magnetom|sonata|harmony|vision"
    r"|fit|tim|dot|xq|c!|\d(\.\d)?t",
    "Philips": r"ingenia|achieva|intera|ambition|elition|prodiva|evolution|multiva|panorama|gyroscan|dstream|ingenuity"
    r"|mr|mr\d{4}|7700|5300|tx|cx|s|x|xr|hp|nova|smart|path|\d(\.\d)?t",
    "Canon": r"vantage|titan|elan|galan|orian|fortian|gracian|centurian|excelart|atlas|mrt\d{3,4}\w{0,3}"
    r"|xgv|zgv|mgv|tgv|mr|\d(\.\d)?t",
    "UIH": r"umr|upmr|jupiter|omega|nx|rena|ultra|\d{3}|\d(\.\d)?t",
}
"""Words of the vendors' model names, lower case."""


def vendor_name(manufacturer: str) -> str:
    """One name per vendor for the many spellings of (0008,0070); ``other`` for the rest."""
    words = re.split(r"[\s_,]+", manufacturer.strip().lower())
    return _VENDORS.get(words[0], "UIH" if words[:2] == ["united", "imaging"] else "other")


def model_name(vendor: str, text: str) -> str:
    """The model as the header writes it when all its words are known ones, else ``unlisted``; empty when not stated."""
    words = text.split()
    known = re.compile(MODELS.get(vendor, r"(?!)"), re.IGNORECASE)
    return (" ".join(words) if all(known.fullmatch(word.strip("()™®,")) for word in words) else "unlisted")[:40]


def nominal_field(strength: float | None) -> float | None:
    """Field strength in T, rounded to what the scanner is sold as (1.494 -> 1.5, 2.8936 -> 3.0); also from gauss."""
    if strength is None or strength <= 0:
        return None
    tesla = strength / 10_000 if strength > 100 else strength
    nearest = min((0.55, 1.0, 1.5, 3.0, 7.0), key=lambda nominal: abs(nominal - tesla))
    return nearest if abs(nearest - tesla) <= 0.12 else round(tesla, 2)
