"""The command ``liverstiff``: single stages by hand. Each command is a thin caller of what the workflow calls."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from liverstiff.errors import ConfigError, LiverStiffError
from liverstiff.images import is_nifti_path

app = typer.Typer(
    help="Liver stiffness (kPa) from routine MRI and the health record.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # they hold names of patients
)


@app.command()
def check(
    config: Annotated[Path, typer.Option(help="the configuration to check")] = Path("config.yaml"),
    profile: Annotated[Path | None, typer.Option(help="the Snakemake profile of the run, e.g. profiles/slurm")] = None,
    use_conda: Annotated[bool, typer.Option("--use-conda", help="the run will be started with --use-conda")] = False,
    exams: Annotated[int | None, typer.Option(help="exams of the study, where the folders cannot tell", min=1)] = None,
) -> None:
    """Tell before a run what is missing, and what it will take. Exits with 1 when something is missing.

    Example: liverstiff check --config config.yaml --profile profiles/slurm
    """
    from liverstiff.check.findings import findings

    table = Table("what", "finding")
    found = findings(config, profile, use_conda, exams)
    for one in found:
        colour, said = ("red", one.problem) if one.problem else ("green", one.said)
        table.add_row(escape(one.what), f"[{colour}]{escape(said)}[/{colour}]")
    Console().print(table)
    raise typer.Exit(int(any(one.problem for one in found)))


CORES = os.cpu_count() or 1
Folder = Annotated[Path, typer.Argument(help="folder of DICOM files in any shape", exists=True, file_okay=False)]
Workers = Annotated[int, typer.Option(help="processes", min=1)]


@app.command()
def catalog(
    folder: Folder,
    csv: Annotated[Path | None, typer.Option(help="write the table there too")] = None,
    texts: Annotated[bool, typer.Option(help="show the texts of the headers: they may name people")] = False,
    overrides: Annotated[Path | None, typer.Option(help="table of corrections")] = None,
    workers: Workers = CORES,
) -> None:
    """List every series below a folder: kind, confidence, reason, taken or not. Nothing is written but --csv.

    Example: liverstiff catalog /data/export --csv series.csv
    """
    from liverstiff.catalog.listing import list_series

    with tempfile.TemporaryDirectory(prefix="liverstiff-") as private:  # mode 0700
        listing = list_series(folder, Path(private), [overrides] if overrides else [], workers, texts)
    for number, series in listing.exams():
        columns = [name for name in ("series", "text", "kind", "variant", "confidence", "why") if name in series]
        table = Table(*columns, title=f"exam {number}", title_justify="left")
        for row in series.to_dict("records"):
            table.add_row(*(str(row[name]) for name in columns), style="bold" if row["chosen"] else None)
        Console().print(table)
    for reason, files in listing.skipped.items():
        Console().print(f"{files} files gave no image: {reason}")
    if csv:
        listing.series.to_csv(csv, index=False)


@app.command()
def convert(
    folder: Folder,
    out: Annotated[Path, typer.Argument(help="folder to make; it must be empty or new")],
    workers: Workers = CORES,
) -> None:
    """Convert every MR series below a folder, of any body part, to NIfTI without identifiers.

    OUT/converted.csv names series, file, kind and b-values; OUT/private links them to the files they came from.

    Example: liverstiff convert /data/export /data/nifti
    """
    from liverstiff.catalog.listing import list_series
    from liverstiff.convert import convert_folder
    from liverstiff.pseudonyms import private_folder

    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty; give a new folder")
    private = private_folder(out / "private")
    list_series(folder, private, [], workers)
    converted = convert_folder(files=private / "files.csv", series=private / "series.csv", out=out, workers=workers)
    table = Table("exam", "series", "kind", "variant", "b-values", "notes, or why not")
    for row in converted.fillna("").to_dict("records"):
        style = None if row["file"] else "red"
        said = row["notes"] if row["file"] else row["reason"]
        table.add_row(
            row["exam"], row["series"], row["kind"], row["variant"], _shortened(row["b_values"]), said, style=style
        )
    Console().print(table)
    Console().print(f"{(converted.file.fillna('') != '').sum()} of {len(converted)} series converted into {out}")


@app.command()
def segment(
    image: Annotated[Path, typer.Argument(help="NIfTI image of the abdomen", exists=True, dir_okay=False)],
    atlases: Annotated[
        Path, typer.Option(help="folder of image_*.nii.gz and label_*.nii.gz", exists=True, file_okay=False)
    ],
    out: Annotated[Path, typer.Option(help="mask to write: 1 liver, 2 spleen")],
    network: Annotated[Path | None, typer.Option(help="folder of a network trained by the workflow")] = None,
    liver: Annotated[int, typer.Option(help="label of the liver in the atlases")] = 1,
    spleen: Annotated[int | None, typer.Option(help="that of the spleen; else the label furthest to the left")] = None,
    picture: Annotated[Path | None, typer.Option(help="PNG of the outlines to write")] = None,
) -> None:
    """Liver and spleen of one image, by the labelled volumes of a folder, or by a network trained from such.

    An image that is itself one of the atlases is segmented without it.

    Example: liverstiff segment image.nii.gz --atlases atlases --out mask.nii.gz
    """
    from liverstiff.config import SegmentConfig
    from liverstiff.segment import Sources, segment_image
    from liverstiff.segment.labelled import find_spleen

    if not is_nifti_path(out):
        raise ConfigError(f"{out}: expected a name that ends in .nii.gz; give one")
    method: Literal["network", "atlas"] = "network" if network else "atlas"
    spleen = spleen or find_spleen(atlases, liver)
    settings = SegmentConfig(methods=(method,), atlases=str(atlases), liver_label=liver, spleen_label=spleen)
    found = segment_image(image, out, settings, Sources(atlases, network, without=image), picture)
    table = Table("organ", "volume (ml)")
    table.add_row("liver", f"{found.liver_ml:.0f}")
    table.add_row("spleen", f"{found.spleen_ml:.0f}" if found.spleen_ml else "not found")
    Console().print(table)
    Console().print(f"labels of the atlases: liver {liver}, spleen {spleen}; mask in {out}")
    Console().print(f"method {found.method}, predicted Dice of the liver {found.quality:.2f}")


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="CSV, a row per exam", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option(help="folder to write to")],
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="where your columns have other names: reference=stiffness, patient=id; of estimate, reference, "
            "patient, exam, partition, fold, low, high, second, and of the covariates site, age, sex, bmi, steatosis, "
            "vendor, field_t, mre_type. Sex is male or female, steatosis 1 or 0"
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="what is estimated")] = "liver stiffness",
    unit: Annotated[str, typer.Option(help="its unit")] = "kPa",
    measured_by: Annotated[
        str, typer.Option(help="what measures the reference, e.g. MR elastography")
    ] = "the reference",
    threshold: Annotated[list[float] | None, typer.Option(help="at or above is a case; may be repeated")] = None,
    margin: Annotated[float, typer.Option(help="differences of the residual below this are taken for none")] = 0.2,
    reference_cv: Annotated[float, typer.Option(help="coefficient of variation of the reference")] = 0.10,
    interval: Annotated[float, typer.Option(help="share of references that low to high promises to hold")] = 0.90,
    resamples: Annotated[int, typer.Option(help="bootstrap resamples of patients", min=100)] = 2000,
    page: Annotated[bool, typer.Option(help="write report.html and the folder figures too")] = True,
) -> None:
    """All statistics of agreement for anybody's estimates: CSV tables, summary.json, and report.html to read.

    `second` is another model's estimate, to compare. Thresholds are 2.5, 3, 3.5, 4 and 5 unless given.

    Example: liverstiff evaluate study.csv --out statistics --column reference=mre_kpa --measured-by "MR elastography"
    """
    from liverstiff.config import EvaluateConfig, PredictConfig, ReportConfig, TargetConfig
    from liverstiff.evaluate import Columns, evaluate_predictions, headlines

    levels = {"thresholds": tuple(threshold), "bands": tuple(threshold)} if threshold else {}
    try:
        target = TargetConfig(name=name, unit=unit, measured_by=measured_by, margin=margin, **levels)
        settings = EvaluateConfig(resamples=resamples, reference_cv=reference_cv)
        promised = PredictConfig(interval=interval)
        named = dict(one.split("=", 1) for one in column or [])
    except ValueError as error:
        raise ConfigError(f"options of evaluate: {str(error).splitlines()[0]}; see --help") from None
    tables = evaluate_predictions(predictions, out, Columns.found_in(predictions, **named), settings, target)
    if page:
        from liverstiff.report import write_report

        sections = {"target": target, "evaluate": settings, "predict": promised}
        write_report(
            tables=tables,
            config={section: values.model_dump(mode="json") for section, values in sections.items()},
            report=out / "report.html",
            figures=out / "figures",
            settings=ReportConfig(title=f"{name[:1].upper()}{name[1:]}: estimates against {measured_by}"),
        )
    table = Table("partition", "exams", "patients", "figure", "value", "95 % interval")
    for row in headlines(out):
        table.add_row(*row)
    Console().print(table)
    Console().print(f"tables in {out}, headlines and gaps in {out / 'summary.json'}")
    if page:
        Console().print(f"page in {out / 'report.html'}, its figures in {out / 'figures'}")


def _shortened(b_values: str) -> str:
    """The distinct b-values, to whole numbers."""
    return " ".join(dict.fromkeys(f"{float(b):.0f}" for b in b_values.split()))


def run() -> None:
    """Entry point: an expected error is one line."""
    try:
        app()
    except LiverStiffError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    run()
