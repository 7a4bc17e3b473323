"""What users call their series in their own language, and how they write the phases of contrast."""

from __future__ import annotations

from typing import Literal

Language = Literal["english", "german", "french", "dutch"]

TRADE: dict[str, dict[str, str]] = {
    "GE": {"gre": "LAVA", "dixon": "LAVA-Flex", "ss": "SSFSE", "radial": "PROPELLER", "bal": "FIESTA", "tse": "FSE"},
    "Siemens": {"gre": "VIBE", "dixon": "VIBE Dixon", "ss": "HASTE", "radial": "BLADE", "bal": "TRUFI", "tse": "TSE"},
    "Philips": {"gre": "THRIVE", "dixon": "mDIXON", "ss": "SSh", "radial": "MultiVane", "bal": "BTFE", "tse": "TSE"},
    "Canon": {"gre": "Quick3D", "dixon": "Dixon", "ss": "FASE", "radial": "JET", "bal": "TrueSSFP", "tse": "FSE"},
    "UIH": {"gre": "Quick3D", "dixon": "WFI", "ss": "SSFSE", "radial": "ARMS", "bal": "bSSFP", "tse": "FSE"},
}
"""The vendors' names of techniques, which are the same in all languages."""

LOCAL: dict[Language, dict[str, tuple[str, ...]]] = {
    "english": {},
    "german": {
        "localizer": ("Übersicht", "Lokalisator", "Planung 3 Ebenen"),
        "calibration": ("Kalibrierung", "Referenzmessung"),
        "t1_fs": ("T1 {gre} fs tra", "T1 3D {gre} fettgesättigt ax", "{gre} FS transversal Atemstopp"),
        "t1_dixon": ("T1 {dixon} tra", "{dixon} transversal Atemstopp", "T1w {dixon} ax"),
        "t1_dual": ("T1 in/gegen Phase tra", "T1 In-Phase/Gegenphase", "T1 GRE in-opp tra AA"),
        "t1_plain": ("T1 GRE tra ohne FS", "T1 2D tra Atemstopp"),
        "t2_tse_fs": ("T2 {tse} fs tra atemgetriggert", "T2 fettgesättigt tra", "T2w {tse} FS ax Navigator"),
        "t2_tse": ("T2 {tse} tra atemgetriggert", "T2w {tse} ax", "T2 {tse} tra Atemstopp"),
        "t2_ss": ("T2 {ss} tra Atemstopp", "{ss} transversal", "T2 {ss} ax AA"),
        "t2_ss_fs": ("T2 {ss} fs tra", "{ss} fettgesättigt ax"),
        "t2_radial_fs": ("T2 {radial} fs tra getriggert", "{radial} T2 fettgesättigt"),
        "t2_radial": ("T2 {radial} tra getriggert", "{radial} T2 tra"),
        "t2_coronal": ("T2 {ss} cor", "{ss} koronar Atemstopp", "T2 {ss} frontal"),
        "mrcp_slab": ("MRCP Einzelschicht", "MRCP dicke Schicht koronar", "MRCP 2D Slab"),
        "mrcp_3d": ("MRCP 3D getriggert", "3D MRCP Gallengänge"),
        "balanced": ("{bal} tra", "{bal} transversal Atemstopp"),
        "balanced_cor": ("{bal} cor", "{bal} koronar"),
        "dwi": ("Diffusion tra", "DWI ax atemgetriggert", "Diffusion b50-800 Leber"),
        "quant": ("Fettquantifizierung Leber", "Leberfett/Eisen"),
        "mre": ("MR-Elastographie 60 Hz", "Elastographie Leber", "MRE tra"),
        "capture": ("Bildschirmfoto", "Befundübersicht"),
    },
    "french": {
        "localizer": ("Repérage", "Localisateur 3 plans", "REPERAGE"),
        "calibration": ("Calibration", "Carte de sensibilité"),
        "t1_fs": ("AX T1 {gre} FATSAT", "T1 3D {gre} saturation graisse", "AX {gre} FS apnée"),
        "t1_dixon": ("AX T1 {dixon}", "T1 {dixon} apnée", "{dixon} axial"),
        "t1_dual": ("T1 en phase/opposition de phase", "AX T1 IN/OPP", "T1 double écho"),
        "t1_plain": ("AX T1 EG 2D", "T1 écho de gradient apnée"),
        "t2_tse_fs": ("AX T2 FATSAT synchro respi", "T2 {tse} FS résp", "T2 saturation de graisse axial"),
        "t2_tse": ("AX T2 {tse} respi", "T2 {tse} axial", "T2 sans FATSAT"),
        "t2_ss": ("AX T2 {ss} apnée", "{ss} axial", "T2 {ss} AX"),
        "t2_ss_fs": ("AX T2 {ss} FATSAT", "{ss} FS axial apnée"),
        "t2_radial_fs": ("AX T2 {radial} FATSAT", "T2 {radial} FS synchro"),
        "t2_radial": ("AX T2 {radial}", "T2 {radial} synchro respi"),
        "t2_coronal": ("COR T2 {ss} apnée", "{ss} coronal", "T2 coronal"),
        "mrcp_slab": ("CPRM 2D coupe épaisse", "Bili-IRM slab", "CPIRM radiaire"),
        "mrcp_3d": ("CPRM 3D", "Bili IRM 3D synchro", "CPIRM 3D"),
        "balanced": ("AX {bal} apnée", "{bal} axial"),
        "balanced_cor": ("COR {bal}", "{bal} coronal apnée"),
        "dwi": ("Diffusion axiale", "AX DIFF b50-800", "DIFFUSION foie respi"),
        "quant": ("Quantification graisse/fer", "Stéatose foie"),
        "mre": ("Élastographie IRM 60 Hz", "ELASTO foie", "Élasto-IRM"),
        "capture": ("Capture d'écran", "Résultats"),
    },
    "dutch": {
        "localizer": ("Overzicht", "Locator 3 vlakken", "Planscan"),
        "calibration": ("Referentiescan", "Kalibratie"),
        "t1_fs": ("T1 {gre} vetonderdrukt tra", "T1 {gre} vetsat", "{gre} tra ademstop"),
        "t1_dixon": ("T1 {dixon} tra", "{dixon} ademstop", "T1 {dixon} transversaal"),
        "t1_dual": ("T1 in/uit fase", "T1 in fase / tegenfase", "T1 dual echo tra"),
        "t1_plain": ("T1 GE tra", "T1 2D tra ademstop"),
        "t2_tse_fs": ("T2 {tse} vetonderdrukt tra", "T2 vetsat tra getriggerd", "T2 {tse} vetsuppressie"),
        "t2_tse": ("T2 {tse} tra", "T2 {tse} getriggerd", "T2 transversaal"),
        "t2_ss": ("T2 {ss} tra ademstop", "{ss} transversaal"),
        "t2_ss_fs": ("T2 {ss} vetsat tra", "{ss} vetonderdrukt"),
        "t2_radial_fs": ("T2 {radial} vetsat", "{radial} T2 vetonderdrukt tra"),
        "t2_radial": ("T2 {radial} tra", "{radial} T2 getriggerd"),
        "t2_coronal": ("T2 {ss} cor", "{ss} coronaal ademstop"),
        "mrcp_slab": ("MRCP dikke plak", "MRCP 2D radiair"),
        "mrcp_3d": ("MRCP 3D getriggerd", "3D MRCP galwegen"),
        "balanced": ("{bal} tra", "{bal} transversaal"),
        "balanced_cor": ("{bal} cor", "{bal} coronaal"),
        "dwi": ("Diffusie tra", "DWI lever getriggerd", "diffusie b0-800"),
        "quant": ("Vetkwantificatie", "Lever vet/ijzer"),
        "mre": ("MR elastografie", "Elastografie lever 60Hz", "MRE tra"),
        "capture": ("Schermafdruk", "Resultaten"),
    },
}
"""Names of whole series, by step of the protocol."""

LOCAL_ROLES: dict[Language, dict[str, tuple[str, ...]]] = {
    "english": {},
    "german": {
        **{"stiffness": ("{} Steifigkeit",), "confidence": ("{} Konfidenz",), "wave": ("{} Wellenbild",)},
        **{"masked": ("{} Steifigkeit 95%",), "colour": ("{} Steifigkeit farbig",), "subtraction": ("Subtraktion {}",)},
    },
    "french": {
        **{"stiffness": ("{} rigidité", "{} élasticité"), "confidence": ("{} carte de confiance",)},
        **{"masked": ("{} rigidité masquée",), "wave": ("{} ondes",), "colour": ("{} rigidité couleur",)},
        "subtraction": ("Soustraction {}",),
    },
    "dutch": {
        **{"stiffness": ("{} stijfheid",), "confidence": ("{} betrouwbaarheid",), "wave": ("{} golven",)},
        **{"masked": ("{} stijfheid 95%",), "colour": ("{} stijfheid kleur",), "subtraction": ("Subtractie {}",)},
    },
}
"""What users call results that they name themselves."""

PHASES: dict[Language, dict[str, tuple[str, ...]]] = {
    "english": {
        "arterial": ("art", "ART", "arterial", "late art", "+C ART"),
        "portal": ("pv", "PV", "portal venous", "ven", "+C PV", "PVP"),
        "delayed": ("delay", "delayed", "DEL", "3 min delay", "+C delay"),
        "hepatobiliary": ("hbp", "HBP", "20 min HBP", "hepatobiliary"),
        "post": ("post", "+C", "POST GD", "post contrast"),
    },
    "german": {
        "arterial": ("arteriell", "art", "KM art"),
        "portal": ("portalvenös", "pv", "ven", "KM portal"),
        "delayed": ("Spätphase", "spät venös", "delay"),
        "hepatobiliary": ("hepatobiliär", "20 min hepatobiliär", "hbp"),
        "post": ("nach KM", "+KM", "post KM", "mit KM"),
    },
    "french": {
        "arterial": ("artériel", "temps artériel", "ART"),
        "portal": ("portal", "temps portal", "PORTAL INJ"),
        "delayed": ("tardif", "temps tardif", "TARDIF"),
        "hepatobiliary": ("hépatobiliaire", "20 min HB", "hbp"),
        "post": ("après injection", "GADO", "inj"),
    },
    "dutch": {
        "arterial": ("arterieel", "art", "ART"),
        "portal": ("portoveneus", "portaal", "pv"),
        "delayed": ("laat", "late fase", "delayed"),
        "hepatobiliary": ("hepatobiliair", "20 min hepatobiliair", "HBP"),
        "post": ("na contrast", "+C", "post Gd"),
    },
}

TIMED = {
    "arterial": ("20s", "20 sec", "25s", "Ph1"),
    "portal": ("70s", "70 sec", "60s", "Ph2"),
    "delayed": ("3min", "180s", "5 min", "Ph3"),
    "hepatobiliary": ("20min", "15 min", "20 MIN"),
    "post": ("dyn", "1 min", "2min"),
}
"""Phases by their time; used only where the header names the agent."""

NATIVE: dict[Language, tuple[str, ...]] = {
    "english": ("pre", "PRE", "native", "non con", "w/o"),
    "german": ("nativ", "ohne KM", "nativ"),
    "french": ("sans injection", "sans IV", "avant inj", "natif"),
    "dutch": ("blanco", "zonder contrast", "pre"),
}
"""What stands in the text of images before contrast."""
