# Many runs at once: one record of the book is one job. `snakemake --dry-run` lists what is missing; see book/reproduce.md.
#
#   snakemake --cores 2                                       what is missing of profile laptop, on this machine
#   snakemake --executor slurm --jobs 100                     the same on a cluster
#   snakemake --cores 2 --config experiments=nearest,tone     of these experiments only
#   snakemake --config profile=full gpus=1 ...                what is meant for a GPU; with gpus=4, four for each run
#
# A record is complete as soon as it is there, and it is never touched again: only missing ones are jobs. Which are missing
# is asked of `facelight list` once, for it takes seconds; jobs, which read this file, too, start without.
import getpass
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

PROFILE = config.get("profile", "laptop")
EXPERIMENTS = str(config.get("experiments", "")).replace(",", " ").split()
GPUS = int(config.get("gpus", 1 if PROFILE == "full" else 0))  # for a run that trains a network
THREADS = int(config.get("threads", 1))  # the records of the book were measured with one
MEMORY = int(config.get("memory", 4000))  # MB
MINUTES = int(config.get("minutes", 240))  # of a run that resembles no recorded one
FACELIGHT = shlex.split(config.get("command", f"{shlex.quote(sys.executable)} -m facelight_lab.command"))
NAMES = ("FACELIGHT_DATA", "FACELIGHT_RESULTS", "FACELIGHT_CACHE")  # where jobs inherit nothing, they are told


def asked(*words):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def inside(folder):
    """The folder, without the working directory in front: where there is no shared file system, another place has it."""
    path = Path(folder)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


FOLDER, RUNS = inside(os.environ.get("FACELIGHT_RESULTS", "book/results")), {}
if workflow.is_main_process or GPUS > 1:  # a job need not ask, unless its command depends on the answer
    answer = json.loads(asked(*FACELIGHT, "list", *EXPERIMENTS, "--profile", PROFILE, "--missing", "--json"))
    FOLDER, RUNS = inside(answer["folder"]), {run["key"]: run for run in answer["runs"]}


def queued():
    """Keys of the runs for which jobs of an earlier call wait or run on SLURM: its comments end in the key."""
    if "slurm" not in workflow.executor_plugin.name:
        return set()
    lines = asked("squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%Z|%k").splitlines()
    return {line.split("_")[-1].strip() for line in lines if line.split("|")[0] == str(workflow.workdir_init)}


def wanted(wildcards):
    """The records that are missing, but for those that other processes are about to save."""
    elsewhere = {key for key, run in RUNS.items() if run["state"] == "in hand"} | (queued() & RUNS.keys())
    elsewhere |= {key for key, run in RUNS.items() if run["after"] in elsewhere}  # they would copy it
    if elsewhere:
        print(f"left to other processes, which have them in hand: {' '.join(sorted(elsewhere))}", file=sys.stderr)
    for key in elsewhere:
        del RUNS[key]
    return [record(run) for run in RUNS.values()]


def record(run):
    return f"{FOLDER}/{run['experiment']}/{run['key']}.json"


def equal_run(wildcards):
    """The record that this one copies, where that is still to be measured."""
    after = RUNS.get(wildcards.key, {}).get("after")
    return [ancient(record(RUNS[after]))] if after in RUNS else []


def gpus(wildcards):
    return GPUS if RUNS.get(wildcards.key, {}).get("trains") else 0


def minutes(wildcards, attempt):
    """Twice what similar runs took and ten more: machines differ, and the data must be read."""
    known = RUNS.get(wildcards.key, {}).get("minutes")
    return attempt * (MINUTES if known is None or GPUS else int(10 + 2 * known))


def start(wildcards):
    """How a run is started; several GPUs train one network together, see `facelight.distributed`."""
    if gpus(wildcards) < 2:
        return shlex.join(FACELIGHT)
    torchrun = f"-m torch.distributed.run --standalone --nproc_per_node {GPUS}".split()
    return shlex.join([FACELIGHT[0], *torchrun, *FACELIGHT[1:]])


envvars:
    *[name for name in NAMES if name in os.environ],


rule all:
    input:
        wanted,
    localrule: True


rule run:
    input:
        equal_run,
    output:
        update(f"{FOLDER}/{{experiment}}/{{key}}.json"),
    wildcard_constraints:
        key="[0-9a-f]{12}",
    threads: THREADS
    resources:
        mem_mb=lambda wildcards, attempt: attempt * MEMORY,
        runtime=minutes,
        **({"gpu": gpus, "gpu_manufacturer": "nvidia"} if GPUS else {}),
    params:
        start=start,
        folder=lambda wildcards, output: Path(output[0]).parents[1],
    shell:
        "LOKY_MAX_CPU_COUNT={threads} FACELIGHT_RESULTS={params.folder:q} "
        "{params.start} run {wildcards.experiment} --profile {PROFILE} --only {wildcards.key} --save"
