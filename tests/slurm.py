"""A SLURM cluster of one node, from Debian's packages, on this machine: own ports, own folder, gone at the end."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from patience import until

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo", "srun")
CONFIGURATION = """
ClusterName=facelight
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MinJobAge=3600
SlurmdTimeout=3600
MessageTimeout=100
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=16000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """What this machine lacks for a cluster; nothing where it has all."""
    if os.geteuid() != 0:
        return "a SLURM cluster is started by root"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    return f"{', '.join(missing)} not found: apt-get install slurmctld slurmd munge" if missing else ""


@contextlib.contextmanager
def cluster() -> Iterator[Path]:
    """Start it, set SLURM_CONF for this process and its children, and give the folder with its logs."""
    folder = Path(tempfile.mkdtemp(prefix="facelight-slurm-"))  # beside pytest's, which the user munge may not enter
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, ports=free_ports(2), folder=folder))
    daemons = [start(folder, *munged(folder), user="munge", group="munge", extra_groups=[])]
    srun = folder / "bin" / "srun"  # Snakemake's jobs start it without SLURM_CONF
    srun.parent.mkdir()
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    before = os.environ["PATH"]
    os.environ |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{srun.parent}:{before}"}
    try:
        until((folder / "munge/socket").exists)
        daemons += [start(folder, "slurmctld", "-D"), start(folder, "slurmd", "-D")]
        until(lambda: said("sinfo", "--noheader", "--format=%T").strip() == "idle")
        yield folder
    finally:
        said("scancel", "--signal=KILL", "--full", "--user=root")  # what a failed test has left
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()
        del os.environ["SLURM_CONF"]
        os.environ["PATH"] = before
        shutil.rmtree(folder)


def start(folder: Path, *words: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a daemon, with its messages in a file."""
    with (folder / f"{words[0]}.out").open("w") as log:
        return subprocess.Popen(words, stdout=log, stderr=log, **options)


def munged(folder: Path) -> list[str]:
    """The command that starts the service which signs what the others say, with a key of its own."""
    place = folder / "munge"
    place.mkdir()
    key = place / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    for path in (key, place):
        shutil.chown(path, "munge", "munge")
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return ["munged", "--foreground", *(f"--{option}={place / name}" for option, name in files.items())]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def said(*words: str) -> str:
    """What a command printed, also where it failed."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout
