"""The tiny cohort through SLURM while the controller restarts, a node is lost, and jobs end before they are done."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import linked_conda
import yaml
from slurm import Job, Slurm
from tiny_cohort import Checkout, copy_checkout, give_key

STARVED = "rule_cohort"
"""The job that gets too little memory in its first attempt."""
COMMAND = (sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", "--use-conda")
QUICK = ("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "20")
RUN_LIMIT_S = 1500
"""For all of it, on a busy machine; an idle one needs a fraction."""


@dataclass
class FaultyRun:
    """What came of it."""

    checkout: Checkout
    code: int = -1
    said: str = ""
    records: list[dict[str, str]] = field(default_factory=list)
    """What the accounting of SLURM holds: a row for every start of a job."""
    hung: str = ""
    """Comment of the training that hangs until its time is over."""
    preempted: str = ""
    """Comment of the training that gives way to an urgent job."""
    lost: set[str] = field(default_factory=set)
    """Comments of the jobs that ran on the lost node."""
    kept: dict[str, int] = field(default_factory=dict)
    """Exams that each of the lost shards of register had finished."""
    pythons: dict[str, set[Path]] = field(default_factory=dict)
    """The Pythons of conda environments that a job has run, by its number."""


def run_with_faults(finished: Checkout, slurm: Slurm, folder: Path) -> FaultyRun:
    """Run all but the simulation, on the images and with the key of a finished local run, in conda environments."""
    here = copy_checkout(finished.folder, folder)
    simulated = Path("results", "simulate")
    shutil.copytree(finished.folder / simulated, here.folder / simulated)
    give_key(here.folder / yaml.safe_load(here.read("config.yaml"))["data"]["private"])
    _edit_profile(here.folder / "profiles" / "slurm" / "config.yaml")
    run = FaultyRun(here)
    programs = linked_conda.install(folder.parent / "conda")
    environment = {**slurm.environment, "OMP_NUM_THREADS": "1", "NO_ET": "1", "MPLBACKEND": "Agg"}
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    first = ["--conda-create-envs-only", "--executor", "local", "--cores", "1"]
    subprocess.run([*COMMAND, *first], cwd=folder, env=environment, check=True)
    linked_conda.cut_off(programs)
    with (folder / "snakemake.out").open("wb") as out:
        snakemake = subprocess.Popen([*COMMAND, *QUICK], cwd=folder, env=environment, stdout=out, stderr=out)
        try:
            _Faults(slurm, snakemake, run).happen()
            run.code = snakemake.wait(RUN_LIMIT_S)
        finally:
            snakemake.kill()
            run.said = (folder / "snakemake.out").read_text()
            print(run.said[-20000:])
    columns = "JobIDRaw,Comment,State,Partition,Timelimit,ReqMem"
    table = slurm.run("sacct", "-X", "--duplicates", "-n", "-P", "-o", columns).splitlines()
    rows = [dict(zip(columns.split(","), line.split("|"), strict=True)) for line in table]
    for line in (programs / "activated").read_text().splitlines():
        number, _, python = line.partition(" ")
        run.pythons.setdefault(number, set()).add(Path(python))
    run.records = [row for row in rows if row["Comment"].startswith("rule_")]
    return run


def _edit_profile(path: Path) -> None:
    """What this cluster needs: its pretended GPUs asked for by a CPU training. And one job with too little memory."""
    profile = yaml.safe_load(path.read_text())
    resources = profile["set-resources"]
    resources["train"]["gpu"] = 1
    resources["predict"] = {"gpu": 1}
    resources[STARVED.removeprefix("rule_")] = {"mem_mb": "150 if attempt == 1 else 2000"}
    path.write_text(yaml.safe_dump(profile))


@dataclass
class _Faults:
    """The faults, in the order of the flow; each waits for the moment at which it hurts."""

    slurm: Slurm
    snakemake: subprocess.Popen
    run: FaultyRun
    end: float = field(default_factory=lambda: time.monotonic() + RUN_LIMIT_S)

    def happen(self) -> None:
        self._restart_controller()
        self._lose_node()
        self._hang_and_preempt()

    def _restart_controller(self) -> None:
        self._first("rule_convert", self._all_have_begun)
        self.slurm.end("slurmctld", signal.SIGTERM)
        time.sleep(2)
        self.slurm.start_controller()

    def _all_have_begun(self, job: Job) -> bool:
        """SLURM 22.05 forgets, when its controller restarts, that a job may still start its step."""
        steps = self.slurm.run("squeue", "-h", "-s", "-o", "%i", check=False).split()
        return all(f"{running.number}.0" in steps for running in self.slurm.jobs())

    def _lose_node(self) -> None:
        """While a shard of register has finished some of its exams."""
        node = self._first("rule_register", lambda job: self._finished_exams(job.comment) > 0).node
        self.run.lost = {job.comment for job in self.slurm.jobs() if job.node == node}
        self.slurm.lose_node(node)
        registering = {comment for comment in self.run.lost if comment.startswith("rule_register_")}
        self.run.kept = {comment: self._finished_exams(comment) for comment in registering}

    def _finished_exams(self, comment: str) -> int:
        shard = comment.rpartition("_")[2]
        done = self.run.checkout.folder / "results" / "register" / f".{shard}.unfinished" / ".done"
        return len(list(done.glob("*.json")))

    def _hang_and_preempt(self) -> None:
        """Two trainings stop after their first epoch: one until its time is over, one until it must give way."""
        hung = self._first("rule_train", self._has_checkpoint)
        self.slurm.freeze(hung)
        self.run.hung = hung.comment
        self.slurm.run("scontrol", "update", f"jobid={hung.number}", "timelimit=1")
        other = self._first("rule_train", lambda job: job.comment != hung.comment and self._has_checkpoint(job))
        self.slurm.freeze(other)
        self.run.preempted = other.comment
        urgent = ["sbatch", "--partition=urgent", f"--nodelist={other.node}", "--gpus=1", "--ntasks=1", "--mem=100"]
        self.slurm.run(*urgent, "--output=/dev/null", "--wrap=sleep 1")

    def _has_checkpoint(self, job: Job) -> bool:
        fold = job.comment.rpartition("_")[2]
        return (self.run.checkout.folder / "results" / "train" / f".fold-{fold}.checkpoint").exists()

    def _first(self, rule: str, ready: Callable[[Job], bool]) -> Job:
        """The first running job of a rule that is at a point."""
        jobs, read = [], 0.0
        while time.monotonic() < self.end and self.snakemake.poll() is None:
            if time.monotonic() > read + 0.5:
                jobs, read = self.slurm.jobs(), time.monotonic()
            for job in jobs:
                if job.comment.startswith(rule + "_wildcards_") and ready(job):
                    return job
            time.sleep(0.02)
        raise TimeoutError(f"no job of {rule} came to the point at which it was to fail")
