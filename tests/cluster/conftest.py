"""A real Slurm: the one that is here, or else one of our own, of one node, for as long as the tests take."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import until

DAEMONS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol")
CONFIG = """
ClusterName=tests
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MpiDefault=none
ReturnToService=2
GresTypes=gpu
NodeName=localhost CPUs={cpus} RealMemory=2000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def answers() -> bool:
    if shutil.which("sinfo") is None:
        return False
    asked = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
    return any(state in asked.stdout for state in ("idle", "mixed", "allocated"))


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """See that Slurm's commands work."""
    if answers():
        yield
        return
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"no Slurm runs here, and for one of our own {', '.join(missing) or 'root'} is missing")
    # a short path: a socket's has a limit
    folder = tmp_path_factory.mktemp("slurm", numbered=True)
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    (folder / "slurm.conf").write_text(CONFIG.format(folder=folder, ports=free_ports(2), cpus=os.cpu_count()))
    # a device that is counted and not used
    (folder / "gres.conf").write_text("Name=gpu File=/dev/zero\n")
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    daemons: list[subprocess.Popen[bytes]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        try:
            for number, command in enumerate((
                ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={key}",
                 f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/seed"],
                ["slurmctld", "-D", "-c"],
                ["slurmd", "-D", "-N", "localhost"],
            )):  # fmt: skip
                with (folder / f"{number}.log").open("wb") as log:
                    daemons.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
                if not number:
                    until((folder / "munge.socket").exists, 20)
            until(answers, 60)
        except AssertionError:
            end(daemons)
            log = (folder / f"{len(daemons) - 1}.log").read_text(errors="replace").strip().splitlines()
            pytest.skip(f"Slurm is installed, but doesn't start here: {(log or ['its log is empty'])[-1]}")
        try:
            yield
        finally:
            # a daemon that is told to end waits for jobs, and those for daemons that are gone
            with contextlib.suppress(AssertionError):
                until(lambda: not in_queue(), 60)
            end(daemons)


def end(daemons: list["subprocess.Popen[bytes]"]) -> None:
    for daemon in reversed(daemons):
        daemon.terminate()
        try:
            daemon.wait(timeout=20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def in_queue(*options: str) -> str:
    return subprocess.run(["squeue", "-h", *options], capture_output=True, text=True, check=False).stdout


@pytest.fixture(autouse=True)
def _leave_no_job(folder: Path, slurm: None) -> Iterator[None]:
    """Cancel what a test has left running; on somebody's cluster there may be other jobs of theirs."""
    yield
    for line in in_queue("--format=%A %Z").splitlines():
        job, _, where = line.partition(" ")
        if Path(where).is_relative_to(folder):
            subprocess.run(["scancel", job], check=False)
