"""The study in plain words, and what its numbers do not show."""

from __future__ import annotations

from liverstiff.config import TrainConfig
from liverstiff.report.study import DEMONSTRATION, Block, Card, Cell, Section, Study, filled
from liverstiff.report.wording import COVARIATES, exams_text, listed, partition_text


def summary(study: Study) -> Section:
    """The study in plain words and three numbers."""
    cards = [_card(study, partition) for partition in filled(study)]
    steps = study.flow.groupby("step").exams.sum()
    catalogued, excluded = int(steps.get("catalogued", 0)), int(steps.get("excluded", 0))
    lead = (
        f"A model estimated {study.target.name} from {sources(study)}. Of {exams_text(catalogued)} in the "
        f"catalogue, {len(study.analysed):,} were analysed and {excluded:,} excluded. Each estimate is of an exam that "
        f"the model had never seen, and is compared with {study.target.measured_by} of the same exam."
    )
    reading = (
        "r tells how closely estimate and reference go together: 1 is perfect, 0 is no relation. CI is the 95 % "
        "confidence interval, which allows for patients who came more than once."
    )
    points = [text for partition in filled(study) if (text := bias_in_words(study, partition))]
    blocks = [Block("cards", cards, notes=[reading])] if cards else []
    blocks += [Block("points", points)] if points else []
    blocks += [
        Block("gap", f"{partition_text(name)}: no exam was analysed, so nothing is shown of it below.")
        for name in absent(study)
    ]
    return Section("summary", "Summary", "Summary", lead, blocks)


def absent(study: Study) -> list[str]:
    """Partitions without an exam."""
    return [name for name in study.partitions if not study.exams(name)]


def sources(study: Study) -> str:
    """What the model is given, in words."""
    inputs = TrainConfig(**study.config.get("train", {})).inputs
    words = {"images": "routine MRI", "record": "the health record"}
    return " and ".join(words[name] for name in words if name in inputs)


def _card(study: Study, partition: str) -> Card:
    rows = study.rows(partition)
    r = study.estimate(partition, "pearson_r")
    title, size = partition_text(partition), exams_text(len(rows), rows.patient.nunique())
    return Card(title, size, r, _in_words(study, partition), study.small(len(rows)))


def _in_words(study: Study, partition: str) -> list[Cell]:
    """How far off the estimate is, and how far apart the patients are."""
    mae, sd = (study.estimate(partition, name).value for name in ("mae", "reference_sd"))
    if mae is None:
        return ["The error is not defined."]
    off: list[Cell] = ["Off by ", mae, f" {study.unit} on average"]
    return [*off, "; the reference itself varies with an SD of ", sd, f" {study.unit}."] if sd else [*off, "."]


VERDICTS = {
    "different": "found for {}",
    "equivalent": "none that matters for {}",
    "inconclusive": "not settled by the data for {}",
    "": "not tested for {}",
}
"""What is said of a covariate, by its verdict."""


def bias_in_words(study: Study, partition: str) -> str:
    """For which covariates the residual differs, is equivalent, is open, or was not tested."""
    here = study.of("residuals", partition)
    if "verdict" not in here or not len(here):
        return ""
    named: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
    for covariate, verdicts in here.groupby("covariate", sort=False).verdict:
        named[_verdict(set(verdicts))].append(COVARIATES.get(str(covariate), str(covariate)).lower())
    told = "; ".join(VERDICTS[verdict].format(listed(names)) for verdict, names in named.items() if names)
    small = f" ({DEMONSTRATION})" if study.small(study.exams(partition)) else ""
    return f"Bias in the {partition_text(partition).lower()}{small}: {told}."


def _verdict(levels: set[str]) -> str:
    """The verdict on a covariate from those on its levels: equivalent only where every level is."""
    if "different" in levels or len(levels) == 1:
        return "different" if "different" in levels else levels.pop()
    return "inconclusive"


LIMITS = (
    "The reference is itself a measurement, which differs when it is repeated in the same patient (the statistics "
    "assume a coefficient of variation of {cv} %): even a perfect estimate does not reach r = 1.",
    "r grows with the spread of the reference in a group: compare groups only beside the SD of their reference.",
    "Estimates of such models tend to shrink towards the mean: high values come out too low, low values too high. "
    "{shrinkage}",
    "The temporal and the external test stay honest only while no setting is changed after looking at them. "
    "Cross-validation is optimistic as far as settings were chosen on it.",
    "Intervals count chance in the sampling of patients. They do not count other scanners, other hospitals, or the "
    "exams that were excluded.",
    "Many subgroups are shown: some look good or bad by chance alone. Only the p values called Holm allow for that.",
    "The estimate is a research result. It is not a medical device and no basis for a decision about a patient.",
)


def limits(study: Study) -> Section:
    """What the numbers do not show."""
    few = [partition_text(name).lower() for name in filled(study) if study.small(study.exams(name))]
    points = []
    if few:
        below = study.evaluation.demonstration_below
        points.append(f"Fewer than {below} exams: {listed(few)}. Conclude nothing from these.")
    if study.simulated_sites:
        points.append("The exams are simulated: the numbers show that the software runs, and nothing about patients.")
    if study.analysed.site.nunique() == 1:
        points.append("All exams are of one site: nothing is known about any other.")
    if absent(study):
        points.append(f"Without exams: {listed(partition_text(name).lower() for name in absent(study))}.")
    shrinkage = (
        "The bias where the reference is low or high, in the table of performance, shows by how much; r and the "
        "calibration slope do not."
        if study.target.thresholds
        else "r and the calibration slope do not show it."
    )
    cv = f"{100 * study.evaluation.reference_cv:g}"
    points += [point.format(cv=cv, shrinkage=shrinkage) for point in LIMITS]
    return Section("limits", "Limits", "Limits", "What the numbers do not show.", [Block("points", points)])
