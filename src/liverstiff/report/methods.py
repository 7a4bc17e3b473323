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
from liverstiff.report.study import Block, Section, Study

MODELS = {
    "transformer": "a transformer over image patches and one token per variable, in which absent sequences were masked "
    "out of attention and unknown values had a learned token",
    "swin": "the encoder of a SwinUNETR over all image channels, joined with the variables",
    "densenet121": "a three-dimensional DenseNet-121 over all image channels, joined with the variables",
    "ridge": "a linear ridge regression on the variables",
}

ROLES = {"development": "for development", "external": "for the external test"}


def methods(study: Study) -> Section:
    """A paragraph per part of the study."""
    lead = (
        "Written from the configuration of this run. What a run cannot know – ethics, recruitment, dates, scan "
        "protocols – is for the authors to add."
    )
    return Section("methods", "Methods", "Methods, ready to paste", lead, [Block("prose", paragraphs(study))])


def paragraphs(study: Study) -> list[tuple[str, str]]:
    """Title and text of every paragraph, in order."""
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
    facts["Variables of the record"] = ", ".join(train.record) if "record" in train.inputs else "none"
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


def _listed(values: Any, last: str = "and") -> str:
    """``a, b and c``."""
    texts = [str(value) for value in values]
    return f" {last} ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _data(study: Study) -> str:
    sites = study.config.get("data", {}).get("sites", {})
    roles = {
        role: [name for name, site in sites.items() if site.get("role") == role] for role in ("development", "external")
    }
    text = f"Exams of {len(sites)} site{'s' * (len(sites) != 1)} were studied"
    parts = [f"{len(names)} {ROLES[role]} ({_listed(names)})" for role, names in roles.items() if names]
    text += f": {_listed(parts)}." if parts else "."
    if study.simulated_sites:
        text += f" The exams of {_listed(study.simulated_sites)} were simulated."
    catalog = CatalogConfig(**study.config.get("catalog", {}))
    if any(site.get("dicom") or site.get("nifti") for site in sites.values()):
        text += (
            f" Series were identified from their headers; exams without {_listed(catalog.required, 'or')} were excluded"
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
        text += f", for {_listed(register.deformable)} followed by a smooth deformation where it fitted better"
    if segment:
        settings = SegmentConfig(**segment)
        text += (
            f". Liver and spleen were segmented on {_listed(settings.sequences)} by the method "
            f"{_listed(settings.methods, 'else')}; a segmentation with an expected Dice below "
            f"{settings.least_quality:g} or a liver outside {settings.liver_ml[0]:g} to {settings.liver_ml[1]:g} ml "
            "was refused"
        )
    return text + (
        f". Images were resampled around the liver to {_times(pack.shape)} voxels of {_times(pack.spacing_mm)} mm."
    )


def _reference(study: Study) -> str:
    cohort = CohortConfig(**study.config.get("cohort", {}))
    target = study.target
    text = f"The reference was {target.name} by {target.measured_by}, in {target.unit}"
    if cohort.reference == "reported":
        return text + f", as reported in the record within {cohort.reported_days} days of the exam."
    elastography = ElastographyConfig(**study.config.get("elastography", {}))
    frequency = f" at {elastography.frequency_hz:g} Hz" if elastography.frequency_hz else ""
    text += (
        f". It was the mean over the elastogram{frequency} inside the liver, {elastography.erosion_mm:g} mm from its "
        f"edge, where confidence was at least {100 * elastography.confidence:g} %, without vessels. Regions below "
        f"{elastography.min_area_mm2:g} mm² and values outside {elastography.range_kpa[0]:g} to "
        f"{elastography.range_kpa[1]:g} kPa were refused"
    )
    if cohort.reference == "elastogram_else_reported":
        text += f"; where it failed, the value reported within {cohort.reported_days} days was used"
    return text + "."


def _record(config: dict[str, Any]) -> str:
    cohort, train = CohortConfig(**config.get("cohort", {})), TrainConfig(**config.get("train", {}))
    if "record" not in train.inputs:
        return ""
    return (
        f"From the health record the model read {_listed(train.record)}: of each the plausible value nearest to the "
        f"exam, from {cohort.days_before} days before to {cohort.days_after} days after it, in standard units. "
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
    since = f" on or after {cut}" if cut else " after a fixed day"
    return (
        f"Development patients were split into {folds}; all exams of a patient were in one fold. Patients first seen"
        f"{since} were set aside as a temporal test, and external sites were used for testing only. Patients of the "
        "development data were excluded from the tests. Everything that is fitted was fitted within a fold’s training "
        "part."
    )


def _model(study: Study) -> str:
    train, target = TrainConfig(**study.config.get("train", {})), study.target
    scale = "a log scale" if target.transform == "log" else "its own scale"
    kind = MODELS[train.model] if "images" in train.inputs or train.model == "ridge" else "a network on the variables"
    text = f"{target.name[:1].upper()}{target.name[1:]} was estimated on {scale} by {kind}."
    if train.model == "ridge":
        return text
    if train.linear:
        text += " It started from a ridge regression on its variables and learnt what was to be added."
    text += (
        f" It was trained for up to {train.epochs} epochs in batches of {train.batch} with AdamW (learning rate "
        f"{train.learning_rate:g}, weight decay {train.weight_decay:g}) to predict mean and spread; "
        f"{100 * train.inner_validation:g} % of the training patients decided when to stop (patience {train.patience} "
        f"epochs). In training, sequences were left out with a chance of {100 * train.drop_sequence:g} % and values "
        f"with {100 * train.drop_value:g} %. Estimates of the tests are means over the models of all folds."
    )
    return text


def _uncertainty(config: dict[str, Any]) -> str:
    predict = PredictConfig(**config.get("predict", {}))
    return (
        f"Intervals of {100 * predict.interval:g} % were conformal: out-of-fold residuals were scaled by the predicted "
        "spread, for cross-validation those of the other folds."
    )


def _statistics(study: Study) -> str:
    settings, target = study.evaluation, study.target
    levels = _listed(f"{level:g}" for level in target.thresholds)
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
            f"Detection was assessed at {levels} {target.unit} by the ROC curve, at cut-points fixed on other exams, "
            "and by decision curves. "
        )
    return (
        text
        + "Models were compared on the same exams by the same resamples, and by DeLong’s test on one exam per patient."
    )
