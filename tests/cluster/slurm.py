"""A real SLURM on this machine: munge, MariaDB, slurmdbd, slurmctld and one slurmd for each pretended node.

Everything lives in one folder, with ports, sockets and configuration of its own; nothing of the system is touched, and
it needs neither systemd nor control groups. Daemons are ended by their process ids.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path

PROGRAMS = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch", "sacct")
NODES = ("cpu1", "cpu2", "gpu1", "gpu2")
IDLE = ["idle"] * 6
"""Nodes of the three partitions."""
NODE_VARIABLE = "TEST_NODE"

SLURM_CONF = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={slurmctld}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CryptoType=crypto/munge
# a requeued job starts again after this many seconds
AuthInfo=socket={folder}/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
# a job beyond its memory is killed
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={slurmdbd}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=5
OverTimeLimit=0
InactiveLimit=0
ReturnToService=2
SlurmdTimeout=300
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2,sched_min_interval=100000
MaxArraySize=1001
GresTypes=gpu
NodeName=cpu1 NodeAddr=127.0.0.1 NodeHostname=localhost Port={cpu1} CPUs=8 RealMemory=64000
NodeName=cpu2 NodeAddr=127.0.0.1 NodeHostname=localhost Port={cpu2} CPUs=8 RealMemory=64000
NodeName=gpu1 NodeAddr=127.0.0.1 NodeHostname=localhost Port={gpu1} CPUs=8 RealMemory=64000 Gres=gpu:1
NodeName=gpu2 NodeAddr=127.0.0.1 NodeHostname=localhost Port={gpu2} CPUs=8 RealMemory=64000 Gres=gpu:1
PartitionName=cpu Nodes=cpu1,cpu2 LLN=YES Default=YES MaxTime=2-00:00:00 PriorityTier=10
PartitionName=gpu Nodes=gpu1,gpu2 MaxTime=2-00:00:00 PriorityTier=1
PartitionName=urgent Nodes=gpu1,gpu2 MaxTime=1:00:00 PriorityTier=100 PreemptMode=OFF
"""

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={slurmdbd}
SlurmUser={user}
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser={user}
StorageLoc=slurm
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""


def missing_programs() -> list[str]:
    """What a machine without SLURM lacks."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@dataclass(frozen=True)
class Job:
    """A running job."""

    number: str
    comment: str
    """Rule and wildcards, as Snakemake writes them: ``rule_train_wildcards_0``."""
    node: str


@dataclass
class Slurm:
    """The daemons, started by :meth:`start` and ended by :meth:`stop`."""

    folder: Path
    """Short: the path of a socket has at most 107 characters."""
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to find this SLURM, and no other."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}
        return clean | {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "MYSQL_UNIX_PORT": str(self.folder / "sql.socket"),
        }

    def start(self) -> None:
        """Start everything and wait until all nodes are idle."""
        ports = dict(zip(("slurmctld", "slurmdbd", *NODES), _free_ports(2 + len(NODES)), strict=True))
        for name, text, mode in (
            ("slurm.conf", SLURM_CONF, 0o644),
            ("slurmdbd.conf", SLURMDBD_CONF, 0o600),
            ("gres.conf", "NodeName=gpu[1-2] Name=gpu Count=1 File=/dev/null\n", 0o644),
        ):
            (self.folder / name).write_text(text.format(folder=self.folder, user=getuser(), **ports))
            (self.folder / name).chmod(mode)
        (self.folder / "state").mkdir()
        self._write_srun()
        self._start_munge()
        self._start_database()
        self._start("slurmdbd", "slurmdbd", "-D")
        self._wait("slurmdbd", lambda: _listens(ports["slurmdbd"]))
        self.run("sacctmgr", "--immediate", "add", "cluster", "test")
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self._wait("nodes", lambda: self.run("sinfo", "-h", "-N", "-o", "%T").split() == IDLE)

    def stop(self) -> None:
        """End everything, the newest first."""
        for job in self.run("squeue", "-h", "-o", "%A", check=False).split():
            self.run("scancel", job, check=False)
        self._wait("jobs to end", lambda: not self.run("squeue", "-h", check=False).strip(), quietly=True)
        for name in reversed(list(self.daemons)):
            self.end(name, signal.SIGTERM)

    def run(self, *command: str, check: bool = True) -> str:
        """Output of a command that talks to this SLURM."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def start_controller(self) -> None:
        """Start slurmctld, the first time or again."""
        self._start("slurmctld", "slurmctld", "-D")
        self._wait("slurmctld", lambda: "UP" in self.run("scontrol", "ping", check=False))

    def start_node(self, node: str) -> None:
        """Start the daemon of a node, the first time or again."""
        (self.folder / f"spool-{node}").mkdir(exist_ok=True)
        self._start(node, "slurmd", "-D", "-N", node, **{NODE_VARIABLE: node})

    def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End one daemon by its process id."""
        daemon = self.daemons.pop(name)
        daemon.send_signal(number)
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def jobs(self) -> list[Job]:
        """The jobs that run now."""
        lines = self.run("squeue", "-h", "-t", "RUNNING", "-o", "%A|%k|%N", check=False).splitlines()
        return [Job(*line.split("|")) for line in lines]

    def lose_node(self, node: str) -> None:
        """A node that loses power: its daemon and all that it runs are gone at once."""
        self.end(node)
        for pid in [*_processes_with(NODE_VARIABLE, node), *_processes_with("SLURMD_NODENAME", node)]:
            _send(pid, signal.SIGKILL)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=lost power")

    def freeze(self, job: Job) -> None:
        """A job that hangs, until SLURM sends it a signal that it must end."""
        for pid in _processes_with("SLURM_JOB_ID", job.number):
            _send(pid, signal.SIGSTOP)

    def _start(self, name: str, *command: str, **variables: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],  # ends with the tests even where these are killed
                env=self.environment | variables,
                cwd=self.folder,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _write_srun(self) -> None:
        """An srun that knows this SLURM: Snakemake takes SLURM_CONF away before it calls it inside a job."""
        path = self.folder / "bin" / "srun"
        path.parent.mkdir()
        path.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder / "slurm.conf"} exec {shutil.which("srun")} "$@"\n')
        path.chmod(0o755)

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        places = {"socket": "munge.socket", "key-file": "munge.key", "seed-file": "munge.seed"}
        places |= {"log-file": "munge.log", "pid-file": "munge.pid"}
        options = [f"--{option}={self.folder / name}" for option, name in places.items()]
        self._start("munged", "munged", "--foreground", "--force", *options)
        self._wait("munge", (self.folder / "munge.socket").exists)

    def _start_database(self) -> None:
        data = f"--datadir={self.folder / 'sql'}"
        user = getuser()
        owner = f"--auth-root-socket-user={user}"
        self.run("mariadb-install-db", "--no-defaults", f"--user={user}", "--skip-test-db", owner, data)
        self._start(
            "mariadbd", "mariadbd", "--no-defaults", f"--user={user}", data, "--skip-networking",
            f"--socket={self.folder / 'sql.socket'}", "--innodb-flush-log-at-trx-commit=0",
        )  # fmt: skip
        self._wait("MariaDB", (self.folder / "sql.socket").exists)

    def _wait(self, what: str, ready: Callable[[], bool], seconds: float = 60, quietly: bool = False) -> None:
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                if quietly:
                    return
                logs = [f"{log.name}: {log.read_text()[-1500:]}" for log in self.folder.glob("*.out")]
                raise TimeoutError(f"waited {seconds} s for {what}\n" + "\n".join(logs))
            time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _processes_with(variable: str, value: str) -> list[int]:
    """Processes that were started with a variable of the environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if f"{variable}={value}".encode() in variables:
            found.append(int(path.parent.name))
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
