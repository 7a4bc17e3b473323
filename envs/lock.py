"""Write requirements.lock and envs/*.yaml from the packages of the running environment: `make lock`.

To upgrade: install the new versions into .venv with pip, run `make lock` and `make test`, commit what changed.
The hashes are those of every file of a version on the package index, so that one lock serves all platforms.
"""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent

LOCK_HEAD = """\
# Exact versions of every package, for the virtual environment, for continuous integration and for envs/*.yaml.
# Written by `make lock`. Python 3.11 and 3.12. To install: pip install --no-deps --require-hashes -r requirements.lock
# torch is pinned in pyproject.toml and comes with the project: one version has builds for the CPU and for several CUDA,
# each with packages of its own, and pip takes a build with a listed hash before the one that the machine offers.
"""

UNHASHED = "torch"
"""Pinned by pyproject.toml alone."""

ENV_HEAD = """\
# Written by `make lock` from requirements.lock. A change, even of a comment, rebuilds the environment.
channels:
  - conda-forge
dependencies:
  - python =3.11
  - pip
  - pip:
"""

TARGET = {"extra": "", "python_version": "3.11", "python_full_version": "3.11.0"}
"""What the environments run on, whichever Python writes the files."""

COMMON = ("numpy", "pandas", "pebble", "psutil", "pydantic", "pyyaml", "tqdm")
RECORDS = ("openpyxl", "psycopg", "psycopg-binary", "pyarrow", "sqlalchemy")
ENVIRONMENTS = {
    "imaging": (
        *COMMON,
        *RECORDS,
        *("antspyx", "dcm2niix", "isal", "matplotlib", "monai", "nibabel", "nipype", "pydicom", "python-gdcm"),
        *("safetensors", "scikit-learn", "scipy", "torch"),
    ),
    "learning": (
        *COMMON,
        *("einops", "matplotlib", "monai", "safetensors", "scikit-learn", "scipy", "tensorboardx", "torch"),
    ),
    "analysis": (
        *COMMON,
        *RECORDS,
        "dcm2niix",
        "jinja2",
        "matplotlib",
        "pandera",
        "pingouin",
        "rocrate",
        "scipy",
        "statsmodels",
        "threadpoolctl",
    ),
}


def installed() -> dict[str, str]:
    """Version by canonical name, without this project, pip, and local build labels such as ``+cpu``."""
    found = {canonicalize_name(item.name): re.sub(r"\+.*", "", item.version) for item in distributions()}
    return {name: found[name] for name in sorted(found) if name not in ("pip", "liverstiff")}


def needed(names: tuple[str, ...], versions: dict[str, str]) -> list[str]:
    """The given packages and all that they stand on, sorted."""
    closed: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in closed or name not in versions:
            continue
        closed.add(name)
        requirements = map(Requirement, distribution(name).requires or [])
        waiting += [canonicalize_name(r.name) for r in requirements if not r.marker or r.marker.evaluate(TARGET)]
    return sorted(closed)


def pins() -> dict[str, str]:
    """Version by name of requirements.lock, and of torch as pyproject.toml pins it."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pinned = [line.removesuffix(" \\") for line in lines if re.match(r"\w", line)]
    pinned += [line for line in project if line.startswith(f"{UNHASHED}==")]
    return dict(line.split("==") for line in pinned)


def with_hashes(versions: dict[str, str]) -> str:
    """Lines ``name==version`` with the hashes of all files of that version, as the package index lists them."""
    wanted = "".join(f"{name}=={version}\n" for name, version in versions.items() if name != UNHASHED)
    options = ("--no-deps", "--universal", "--generate-hashes", "--no-header", "--no-annotate", "--quiet")
    command = [sys.executable, "-m", "uv", "pip", "compile", *options, "-"]
    return subprocess.run(command, input=wanted, check=True, stdout=subprocess.PIPE, text=True).stdout


def contents() -> dict[Path, str]:
    """Every file that follows from the installed packages, and its text."""
    versions = installed()
    files = {ROOT / "requirements.lock": LOCK_HEAD + with_hashes(versions)}
    for env, names in ENVIRONMENTS.items():
        pins = "".join(f"      - {name}=={versions[name]}\n" for name in needed(names, versions))
        files[ROOT / "envs" / f"{env}.yaml"] = ENV_HEAD + pins
    return files


if __name__ == "__main__":
    for path, text in contents().items():
        path.write_text(text)
