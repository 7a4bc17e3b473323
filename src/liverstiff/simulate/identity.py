"""Invented identifiers: names, numbers, hospitals. None belongs to a person."""

from __future__ import annotations

import datetime as dt
import zlib
from dataclasses import dataclass
from typing import Any

from liverstiff.config import SimulatedSiteConfig
from liverstiff.simulate.dialects import equipment
from liverstiff.simulate.dicom import uid
from liverstiff.simulate.record import RecordStyle

_NAMES = {
    "english": (
        ("ALDERTON", "BRISKWELL", "CORBYNE", "DUNMARSH", "ELVERSON"),
        ("AVERY", "BLAKE", "CASEY", "DREW", "ELLIS"),
    ),
    "german": (
        ("Müllerstein", "Größberg", "Jäschkow", "Köhlmann", "Süßfeld"),
        ("Jürgen", "Änne", "Björn", "Käthe", "Sören"),
    ),
    "coded": (("VAN OSTERWIJK", "DE RIETVELDEN", "TEN BRUGGE"), ("JORIS", "MAAIKE", "SANNE", "TEUN")),
    "french": (
        ("Lefèvreau", "Châtelmont", "Béranville", "Garçonnet"),
        ("Agnès", "François", "Hélène", "Jérôme", "Noëlle"),
    ),
    "plain": (("FAIRLOCK", "GRESHOLM", "HARTWICKE", "INGLEBY"), ("FRANCES", "GEORGE", "HOLLIS", "IVY")),
}
_PREFIX = {"english": "A", "german": "", "coded": "C-", "french": "F", "plain": "00"}
_HOSPITALS = {
    "english": ("Alder Valley Medical Center", "100 Alder Way, Fairmont"),
    "german": ("Klinikum Brücktal Süd", "Hügelstraße 7, Brücktal"),
    "coded": ("Cedarhof Ziekenhuis", "Lindelaan 12, Cedarhof"),
    "french": ("Hôpital de l'Évêché", "3 allée des Tilleuls, Bréville"),
    "plain": ("Delta General Hospital", "5 Harbour Road, Deltaport"),
}


@dataclass(frozen=True)
class Visit:
    """One exam of one patient."""

    patient: int
    """Number of the patient at the site."""
    repeat: int
    """0 for the first exam, 1 for the second."""
    date: dt.date
    """Day of the exam."""
    first: dt.date
    """Day of the patient's first exam."""


def character_set(style: RecordStyle) -> str:
    """SpecificCharacterSet of a site: UTF-8 where accents are frequent, else Latin-1."""
    return "ISO_IR 192" if style in ("german", "french") else "ISO_IR 100"


def identify(
    site: str, settings: SimulatedSiteConfig, seed: int, visit: Visit, patient: dict[str, Any]
) -> dict[str, Any]:
    """DICOM attributes of patient, study and equipment, by keyword; a patient keeps name, number and birthday."""
    style, key = settings.record_style, f"{seed}/{site}"
    pick = zlib.crc32(f"{key}/{visit.patient}".encode())
    last, first = _NAMES[style]
    number = 10_000_000 + (zlib.crc32(key.encode()) + visit.patient * 7_368_787) % 89_999_999
    birth = visit.date - dt.timedelta(days=round(365.25 * patient["age"]))
    hospital, address = _HOSPITALS[style]
    study_uid = uid(key, "study", visit.patient, visit.repeat)
    return {
        "SpecificCharacterSet": character_set(style),
        "PatientName": f"{last[pick % len(last)]}^{first[pick // 7 % len(first)]}",
        "PatientID": f"{_PREFIX[style]}{number}",
        "PatientBirthDate": birth.strftime("%Y%m%d"),
        "PatientSex": "M" if patient["male"] else "F",
        "PatientAge": f"{int(patient['age']):03d}Y",
        "PatientSize": 1.7,
        "PatientWeight": round(patient["bmi"] * 1.7**2, 1),
        "InstitutionName": hospital,
        "InstitutionAddress": address,
        "StationName": f"MR{site.upper()}1"[:16],
        "DeviceSerialNumber": str(40000 + zlib.crc32(site.encode()) % 9999),
        "ReferringPhysicianName": "REFERRER^ROBIN",
        "OperatorsName": "OPERATOR^OLLIE",
        "AccessionNumber": f"ACC{pick % 10**7:07d}{visit.repeat}",
        "StudyID": str(pick % 100_000),
        "StudyInstanceUID": study_uid,
        "FrameOfReferenceUID": uid(study_uid, "frame"),
        "StudyDate": visit.date.strftime("%Y%m%d"),
        "StudyTime": f"{8 + pick % 9:02d}{pick % 60:02d}00",
        "StudyDescription": "MR ABDOMEN WITH ELASTOGRAPHY",
        "Modality": "MR",
        "BodyPartExamined": "ABDOMEN",
        "PatientPosition": "HFS",
        "PositionReferenceIndicator": "",
        "Laterality": "",
        "MagneticFieldStrength": settings.field_t,
        "ImagingFrequency": round(42.577 * settings.field_t, 3),
        "ImagedNucleus": "1H",
        **equipment(settings.dialect, settings.field_t),
    }
