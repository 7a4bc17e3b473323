"""The study in plain words, and what its numbers do not show."""

from __future__ import annotations

from liverstiff.config import TrainConfig
from liverstiff.report.study import DEMONSTRATION, Block, Card, Cell, Section, Study, filled
from liverstiff.report.wording import COVARIATES, exams_text, listed, partition_inside, partition_text


def summary(study: Study) -> Section:
    """The study in plain words and three numbers."""
    cards = [_card(study, partition) for partition in filled(study)]
    reading = (
        "r tells how closely estimate and reference go together: 1 is perfect, 0 is no relation. CI is the 95 % "
        f"confidence interval, {_patients(study)}."
    )
    points = [text for partition in filled(study) if (text := bias_in_words(study, partition))]
    blocks = [Block("cards", cards, notes=[reading])] if cards else []
    blocks += [Block("points", points)] if points else []
    blocks += [
        Block("gap", f"{partition_text(name)}: no exam was analysed, so nothing is shown of it below.")
        for name in absent(study)
    ]
    return Section("summary", "Summary", "Summary", _lead(study), blocks)


def _lead(study: Study) -> str:
    """What was estimated, and in how many exams."""
    steps, name, reference = study.flow.groupby("step").exams.sum(), study.target.name, study.target.measured_by
    first, excluded = exams_text(int(steps.get("catalogued", 0))), int(steps.get("excluded", 0))
    if not study.of_workflow:
        lacking = f", without {excluded:,} that lack the estimate, the reference or the partition" if excluded else ""
        return (
            f"Estimates of {name} are compared with {reference} of the same exam. Of {first} in the table, "
            f"{len(study.analysed):,} were analysed{lacking}."
        )
    return (
        f"A model estimated {name} from {sources(study)}. Of {first} in the catalogue, {len(study.analysed):,} were "
        f"analysed and {excluded:,} excluded. Each estimate is of an exam that the model had never seen, and is "
        f"compared with {reference} of the same exam."
    )


def _patients(study: Study) -> str:
    """How the intervals count patients."""
    again = study.analysed.patient.duplicated().any()
    return "which allows for patients who came more than once" if again else "for which each exam is of another patient"


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
    return f"Bias, {partition_inside(partition)}{small}: {told}."


def _verdict(levels: set[str]) -> str:
    """The verdict on a covariate from those on its levels: equivalent only where every level is."""
    if "different" in levels or len(levels) == 1:
        return "different" if "different" in levels else levels.pop()
    return "inconclusive"


LIMITS = (
    "The reference is itself a measurement, which differs when it is repeated in the same patient (the statistics "
    "assume a coefficient of variation of {cv} %): even a perfect estimate does not reach r = 1.",
    "r grows with the spread of the reference in a group: compare groups only beside the SD of their reference.",
    "Estimates of a model tend to shrink towards the mean: high values come out too low, low values too high. "
    "{shrinkage}",
    "{honesty}",
    "Intervals count chance in the sampling of patients. They do not count other scanners, other hospitals, or the "
    "exams that were excluded.",
    "Many subgroups are shown: some look good or bad by chance alone. Only the p values called Holm allow for that.",
    "{use}",
)
WORKFLOW = {
    "honesty": "The temporal and the external test stay honest only while no setting is changed after looking at them. "
    "Cross-validation is optimistic as far as settings were chosen on it.",
    "use": "The estimate is a research result. It is not a medical device and no basis for a decision about a patient.",
}
ANYBODY = {
    "honesty": "How the estimates were made is not known here. The numbers are honest only if no exam of these "
    "patients served to fit or to choose the model.",
    "use": "These are statistics of a group of exams, and no basis for a decision about a patient.",
}
"""Where the estimates come from a table of anybody's."""


def limits(study: Study) -> Section:
    """What the numbers do not show."""
    few = [partition_inside(name) for name in filled(study) if study.small(study.exams(name))]
    points = []
    if few:
        below = study.evaluation.demonstration_below
        points.append(f"Fewer than {below} exams: {listed(few)}. Conclude nothing from these.")
    if study.simulated_sites:
        points.append("The exams are simulated: the numbers show that the software runs, and nothing about patients.")
    sites = set(study.analysed.site)
    if len(sites) == 1:
        one = "All exams are of one site: nothing is known about any other."
        points.append(one if any(sites) else "No site is recorded: whether the estimate holds at each is not known.")
    if absent(study):
        points.append(f"Without exams: {listed(partition_inside(name) for name in absent(study))}.")
    shrinkage = (
        "The bias where the reference is low or high, in the table of performance, shows by how much; r and the "
        "calibration slope do not."
        if study.target.thresholds
        else "r and the calibration slope do not show it."
    )
    cv = f"{100 * study.evaluation.reference_cv:g}"
    words = WORKFLOW if study.of_workflow else ANYBODY
    points += [point.format(cv=cv, shrinkage=shrinkage, **words) for point in LIMITS]
    return Section("limits", "Limits", "Limits", "What the numbers do not show.", [Block("points", points)])
