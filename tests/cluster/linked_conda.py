"""A ``conda`` that needs no channel: environments of the packages that are installed, for machines without conda.

It knows the commands that Snakemake gives, and nothing else. What it cannot show is that conda-forge has the
interpreter and pip that envs/*.yaml ask for, and that pip finds the wheels; an environment holds the packages that its
file lists, at their versions, and no others, so it is complete only if its file is.
"""

import errno
import json
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import yaml

PROGRAM = """\
#!{python}
import sys
sys.path.insert(0, {here!r})
from linked_conda import main
main()
"""
ACTIVATE = """\
export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"
echo "${{SLURM_JOB_ID:-}} $(command -v python)" >> '{log}'
"""


def install(folder: Path) -> Path:
    """Write ``conda`` and ``activate`` below a folder; returns the folder for PATH.

    Its file ``activated`` gets a line for every activation: number of the SLURM job and the Python it runs.
    """
    programs = folder / "bin"
    programs.mkdir(parents=True)
    program = programs / "conda"
    program.write_text(PROGRAM.format(python=sys.executable, here=str(Path(__file__).parent)))
    program.chmod(0o755)
    (programs / "activate").write_text(ACTIVATE.format(log=programs / "activated"))
    return programs


def cut_off(programs: Path) -> None:
    """From now on no environment can be made, as on a machine without network."""
    (programs / "offline").touch()


def main() -> None:
    """Do what the command line says."""
    words = [word for word in sys.argv[1:] if word not in ("--json", "--quiet", "--no-default-packages")]
    if words == ["--version"]:
        print("conda 26.7.1")
    elif words == ["info"]:
        print(json.dumps({"conda_prefix": str(Path(sys.argv[0]).parent.parent), "platform": "linux-64"}))
    elif words == ["config", "--get", "channel_priority"]:
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif (Path(sys.argv[0]).parent / "offline").exists():
        sys.exit("no network")
    elif words[:2] == ["env", "create"]:
        create(Path(words[words.index("--file") + 1]), Path(words[words.index("--prefix") + 1]))
    elif words[:1] != ["clean"]:
        sys.exit(f"conda {' '.join(sys.argv[1:])}: not known here")


def create(file: Path, prefix: Path) -> None:
    """An environment of the packages that a file lists under ``pip``, linked from the one that runs this."""
    *conda, wheels = yaml.safe_load(file.read_text())["dependencies"]
    if conda != ["python =3.11", "pip"]:
        sys.exit(f"{file} asks for conda packages: {conda}")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True)
    (site,) = prefix.glob("lib/python*/site-packages")
    for line in wheels["pip"]:
        name, _, version = line.partition("==")
        found = distribution(name)
        if found.version.partition("+")[0] != version:
            sys.exit(f"{file} asks for {line}; installed is {found.version}")
        for path in dict.fromkeys(found.files or ()):  # some are listed twice
            if ".." not in path.parts:
                link(Path(str(path.locate())), site / path)


def link(source: Path, target: Path) -> None:
    """The same file, or a copy on another file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM):  # a file that is there already must not be written through
            raise
        shutil.copy2(source, target)
