"""The methods of the study in the past tense, written from the configuration, ready to paste."""

from __future__ import annotations

from typing import Any

from liverstiff import __version__
from liverstiff.config import (
    CatalogConfig,
    CohortConfig,
    ElastographyConfig,
    HarmonizeConfig,
    PackConfig,
    PredictConfig,
    RegisterConfig,
    SegmentConfig,
    SplitConfig,
    TrainConfig,
)
from liverstiff.report import cutpoints
from liverstiff.report.study import Block, Section, Study, filled
from liverstiff.report.wording import days_text, listed, variable_text

MODELS = {
    "transformer": ("a transformer over image patches", " and one token per variable"),
    "swin": ("the encoder of a SwinUNETR over all image channels", ", joined with the variables"),
    "densenet121": ("a three-dimensional DenseNet-121 over all image channels", ", joined with the variables"),
    "published_like": (
        "a pretrained two-dimensional vision transformer, left as it was, over central slices, with dense layers on "
        "top",
        ", which also read the variables",
    ),
    "ridge": ("a linear ridge regression", " on the variables"),
}
"""The model, and what is said where it reads variables."""

SEGMENTERS = {
    "network": "a network trained on labelled volumes",
    "atlas": "labelled volumes registered to the image",
    "masks": "masks that were given",
    "totalsegmentator": "TotalSegmentator",
    "mrsegmentator": "MRSegmentator",
}

ROLES = {"development": "for development", "external": "for the external test"}


def methods(study: Study) -> Section:
    """A paragraph per part of the study."""
    unknown = "ethics, recruitment, dates, scan protocols"
    unknown = unknown if study.of_workflow else f"how the estimates were made, {unknown}"
    lead = (
        f"Written from the configuration of this run. What a run cannot know – {unknown} – is for the authors to add."
    )
    return Section("methods", "Methods", "Methods, ready to paste", lead, [Block("prose", paragraphs(study))])


def paragraphs(study: Study) -> list[tuple[str, str]]:
    """Title and text of every paragraph, in order; of anybody's estimates only what was done with them."""
    if not study.of_workflow:
        return [
            ("Statistics", _statistics(study)),
            ("Software", f"The statistics were made by LiverStiff {__version__}."),
        ]
    config = study.config
    images = "images" in TrainConfig(**config.get("train", {})).inputs
    written = [
        ("Data", _data(study)),
        *([("Image processing", _images(config))] if images else []),
        ("Reference", _reference(study)),
        ("Health record", _record(config)),
        ("Partitions", _partitions(study)),
        ("Model", _model(study)),
        ("Uncertainty", _uncertainty(config)),
        ("Statistics", _statistics(study)),
        (
            "Software",
            f"All steps were run by LiverStiff {__version__} as a Snakemake workflow; versions are listed below.",
        ),
    ]
    return [(title, text) for title, text in written if text]


def model_facts(config: dict[str, Any]) -> dict[str, str]:
    """The model in facts."""
    train, pack = TrainConfig(**config.get("train", {})), PackConfig(**config.get("pack", {}))
    facts = {"Model": train.model, "Inputs": ", ".join(train.inputs), "Measured on images": train.measured}
    record = train.record if "record" in train.inputs else ()
    facts["Variables of the record"] = ", ".join(map(variable_text, record)) or "none"
    if "images" in train.inputs:
        facts["Sequences"] = ", ".join(train.sequences)
        facts["Grid"] = f"{_times(pack.shape)} voxels of {_times(pack.spacing_mm)} mm"
    if train.model == "transformer":
        facts["Size"] = (
            f"{train.depth} blocks, width {train.width}, {train.heads} heads, patches of {_times(train.patch)}"
        )
    if train.model != "ridge":
        facts["Training"] = f"up to {train.epochs} epochs, batches of {train.batch}, seed {train.seed}"
    return facts


def _times(values: tuple[float, ...]) -> str:
    return " × ".join(f"{value:g}" for value in values)


def _data(study: Study) -> str:
    sites = study.config.get("data", {}).get("sites", {})
    roles = {
        role: [name for name, site in sites.items() if site.get("role") == role] for role in ("development", "external")
    }
    text = f"Exams of {len(sites)} site{'s' * (len(sites) != 1)} were studied"
    parts = [f"{len(names)} {ROLES[role]} ({listed(names)})" for role, names in roles.items() if names]
    text += f": {listed(parts)}." if parts else "."
    if study.simulated_sites:
        text += f" The exams of {listed(study.simulated_sites)} were simulated."
    catalog = CatalogConfig(**study.config.get("catalog", {}))
    if any(site.get("dicom") or site.get("nifti") for site in sites.values()):
        text += (
            f" Series were identified from their headers; exams without {listed(catalog.required, 'or')} were excluded"
            + (", as were exams without an elastogram" if catalog.require_mre else "")
            + ". Patients and exams were pseudonymised with a keyed hash, and dates became differences in days."
        )
    return text


def _images(config: dict[str, Any]) -> str:
    harmonize, register = HarmonizeConfig(**config.get("harmonize", {})), RegisterConfig(**config.get("register", {}))
    segment, pack = config.get("segment", {}), PackConfig(**config.get("pack", {}))
    text = (
        "The bias field was removed and intensities were divided by the median of "
        f"{'the body' if harmonize.reference == 'body' else 'paraspinal muscle'}. Diffusion images were brought to "
        f"b = {harmonize.standard_b:g} s/mm² with the apparent diffusion coefficient, which was fitted from b-values "
        f"of at least {harmonize.adc_min_b:g} s/mm² where two or more were available. All sequences were registered "
        f"to the T1-weighted image (or, without it, the next sequence) with {register.transform} transforms at "
        f"{register.spacing_mm:g} mm"
    )
    if register.deformable:
        text += f", for {listed(register.deformable)} followed by a smooth deformation where it fitted better"
    if segment:
        settings = SegmentConfig(**segment)
        by = ", else by ".join(SEGMENTERS[name] for name in settings.methods)
        text += (
            f". Liver and spleen were segmented on {listed(settings.sequences)} by {by}; a "
            f"segmentation with an expected Dice below {settings.least_quality:g} or a liver outside "
            f"{settings.liver_ml[0]:g} to {settings.liver_ml[1]:g} ml was refused"
        )
    return text + (
        f". Images were resampled around the liver to {_times(pack.shape)} voxels of {_times(pack.spacing_mm)} mm."
    )


def _reference(study: Study) -> str:
    cohort = CohortConfig(**study.config.get("cohort", {}))
    target = study.target
    text = f"The reference was {target.name} by {target.measured_by}, in {target.unit}"
    if cohort.reference == "reported":
        return text + f", as reported in the record {_within(cohort.reported_days)} of the exam."
    elastography = ElastographyConfig(**study.config.get("elastography", {}))
    frequency = f" at {elastography.frequency_hz:g} Hz" if elastography.frequency_hz else ""
    text += (
        f". It was the mean over the elastogram{frequency} inside the liver, {elastography.erosion_mm:g} mm from its "
        f"edge, where confidence was at least {100 * elastography.confidence:g} %, without vessels. Regions below "
        f"{elastography.min_area_mm2:g} mm² and values outside {elastography.range_kpa[0]:g} to "
        f"{elastography.range_kpa[1]:g} kPa were refused"
    )
    if cohort.reference == "elastogram_else_reported":
        text += f"; where it failed, the value reported {_within(cohort.reported_days)} of the exam was used"
    return text + "."


def _record(config: dict[str, Any]) -> str:
    cohort, train = CohortConfig(**config.get("cohort", {})), TrainConfig(**config.get("train", {}))
    if "record" not in train.inputs:
        return ""
    return (
        f"From the health record the model read {listed(map(variable_text, train.record))}: of each the plausible "
        f"value nearest to the exam, from {days_text(cohort.days_before)} before to {days_text(cohort.days_after)} "
        "after it, in standard units. "
        "Missing values were left missing and given to the model as unknown. Variables that derive from elastography "
        "were not admitted."
    )


def _partitions(study: Study) -> str:
    split = SplitConfig(**study.config.get("split", {}))
    folds = {
        "kfold": f"{split.folds} folds, balanced over site and band of the reference",
        "leave-one-site-out": "folds that each held out one site",
        "leave-one-vendor-out": "folds that each held out one vendor",
    }[split.scheme]
    cut = study.config.get("data", {}).get("temporal_cut")
    since = f"on or after {cut}" if cut else "after a fixed day"
    text = f"Development patients were split into {folds}; all exams of a patient were in one fold. "
    tests = {
        "temporal": f"Patients first seen {since} were set aside as a temporal test. ",
        "external": "External sites were used for testing only. ",
    }
    used = [said for partition, said in tests.items() if partition in filled(study)]
    text += "".join(used)
    text += "Patients of the development data were excluded from the tests. " if used else ""
    return text + "Everything that is fitted was fitted within a fold’s training part."


def _within(days: int) -> str:
    """``within 7 days``, before ``of the exam``."""
    return f"within {days_text(days)}" if days else "on the day"


def _model(study: Study) -> str:
    train, target = TrainConfig(**study.config.get("train", {})), study.target
    scale = "a log scale" if target.transform == "log" else "its own scale"
    images, variables = "images" in train.inputs, "record" in train.inputs or train.measured != "none"
    kind, joined = MODELS[train.model]
    kind = kind + joined * variables if images or train.model == "ridge" else "a network on the variables"
    text = f"{target.name[:1].upper()}{target.name[1:]} was estimated on {scale} by {kind}."
    if train.model == "ridge":
        return text
    if train.model == "transformer":
        text += " Absent sequences were masked out of attention." if images else ""
        text += " Unknown values had a learned token." if variables else ""
    if train.linear and variables:
        text += " It started from a ridge regression on its variables and learnt what was to be added."
    text += (
        f" It was trained for up to {train.epochs} epochs in batches of {train.batch} with AdamW (learning rate "
        f"{train.learning_rate:g}, weight decay {train.weight_decay:g}) to predict mean and spread; "
        f"{100 * train.inner_validation:g} % of the training patients decided when to stop (patience {train.patience} "
        f"epochs)."
    )
    dropped = [f"sequences with a chance of {100 * train.drop_sequence:g} %"] if images and train.drop_sequence else []
    dropped += [f"values with a chance of {100 * train.drop_value:g} %"] if variables and train.drop_value else []
    text += f" In training some inputs were left out at random: {listed(dropped)}." if dropped else ""
    tested = {"temporal", "external"} & set(filled(study))
    return text + (" Estimates of the tests are means over the models of all folds." if tested else "")


def _uncertainty(config: dict[str, Any]) -> str:
    predict = PredictConfig(**config.get("predict", {}))
    return (
        f"Intervals of {100 * predict.interval:g} % were conformal: out-of-fold residuals were scaled by the predicted "
        "spread; for an exam of the cross-validation, the residuals of the other folds served."
    )


def _statistics(study: Study) -> str:
    settings, target = study.evaluation, study.target
    levels = listed(f"{level:g}" for level in target.thresholds)
    text = (
        "Agreement was described by Pearson’s r, Spearman’s rho, mean absolute error, R², ICC(A,1), Lin’s concordance, "
        "calibration slope and intercept, and Bland–Altman limits. Intervals of 95 % were made by "
        f"{settings.resamples:,} bootstrap resamples of patients (bootstrap-t on Fisher’s z for r, percentile "
        "otherwise). Residuals were regressed on each covariate with errors clustered by patient; p values were "
        f"corrected by Holm, and equivalence to no difference was tested against a margin of {target.margin:g} "
        f"{target.unit}. "
    )
    if target.thresholds:
        text += (
            f"Detection was assessed at {levels} {target.unit} by the ROC curve, by sensitivity, specificity and "
            f"predictive values at {cutpoints.in_words(study.tables['cutpoints'])}"
            f"{', and by decision curves' * bool(study.tables['decision'].net_benefit.notna().any())}. "
        )
    if len(study.tables["comparisons"]):
        text += (
            "The model was compared with the baselines on the same exams by the same resamples, and by DeLong’s test "
            "on one exam per patient. "
        )
    return text.strip()
