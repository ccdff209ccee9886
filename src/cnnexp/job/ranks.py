"""Several processes of one job: which of them writes, and how the others learn the folder.

The first process, of rank 0, claims the folder. Those that Lightning starts by typing the command again find it
in their environment. Those that torchrun, srun or a person started ask the first for it, at the address where they
are about to meet anyway for training: that needs neither a clock nor a file that both see.
"""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from cnnexp.errors import CnnexpError
from cnnexp.version import __version__

if TYPE_CHECKING:
    import lightning as L

log = logging.getLogger(__name__)

FOLDER = "CNNEXP_FOLDER_OF_RANK_0"
_PATIENCE = timedelta(minutes=10)
_WAIT_SECONDS = 15
_REFUSED = "refused"
_SEVERAL = ("ddp", "fsdp", "deepspeed")

number = 0
"""This process's rank, once ``meet`` has found it out. Not an argument: it is a fact of the process, and the
command's last line asks for it whatever went wrong before."""

_launched = False
"""Whether Lightning started this process as a further one of the command that was typed; as ``number``."""
_store: Any = None
"""Where the first process tells the others its folder. Kept here because it must live as long as the process."""


def is_first() -> bool:
    """Return whether this process is the one that writes, as the only process of a job is."""
    return number == 0


def say_first(what: str) -> None:
    """Print a command's first line, before there is torch to ask for a process's rank."""
    if not (_launched or any(os.environ.get(name, "0") != "0" for name in ("RANK", "SLURM_PROCID"))):
        print(f"cnnexp {__version__}: {what}", flush=True)


def begin() -> Callable[[], None]:
    """Forget an earlier command's rank; return the function that puts the environment back.

    Lightning notes the addresses of a job's processes there, and its seed, which the next job must not take for
    its own; and Hydra is told there to hand its errors on.
    """
    global number, _launched
    number, _launched = 0, FOLDER in os.environ
    before = dict(os.environ)

    def put_back() -> None:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)

    return put_back


def leaves_the_status_to_another() -> bool:
    """Return whether this process should end with status 0 although it met an error or a signal.

    Lightning kills the first process at once where one that it started reports an error, even one that all have
    met with and that the first is about to report. What goes wrong before they have met is reported: the first
    would wait for ever.
    """
    if not _launched:
        return False
    from cnnexp.distributed import several

    return several()


def meet(trainer: "L.Trainer", claim: Callable[[], Path]) -> Path:
    """Return the folder of a run: the first process claims it, all others get to know it.

    Args:
        trainer: one made from the run's settings: it knows who started the processes.
        claim: returns the folder, or raises for what is wrong; called in the first process only.

    Raises:
        CnnexpError: where the processes are not as many as the settings say, or don't find each other.
    """
    global number
    number = trainer.global_rank
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.world_size == 1 or environment is None:
        if (started := _started_by_torchrun()) > 1:
            raise CnnexpError(
                f"torchrun started {started} processes, but trainer.devices and trainer.num_nodes ask for one; "
                "type trainer=ddp\ntrainer.devices=… with as many, or python -m cnnexp"
            )
        return claim()
    _check(trainer, environment)
    if FOLDER in os.environ:
        return Path(os.environ[FOLDER])
    alone = trainer.num_nodes == 1 and not environment.creates_processes_externally
    if alone:
        folder = claim()
        _listen_on_loopback(environment)
    else:
        folder = _tell(trainer, environment, claim)
    # for the processes that Lightning starts on this machine later
    os.environ[FOLDER] = str(folder.absolute())
    return folder


def _check(trainer: "L.Trainer", environment: Any) -> None:
    from lightning.pytorch.plugins.environments import LightningEnvironment

    nodes, devices = trainer.num_nodes, trainer.num_devices
    if nodes > 1 and isinstance(environment, LightningEnvironment):
        missing = [name for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if name not in os.environ]
        if missing:
            raise CnnexpError(
                f"trainer.num_nodes={nodes}: nothing starts a process on the other nodes. Type srun before the "
                f"command, or on each node\ntorchrun --nnodes={nodes} --nproc_per_node={devices} "
                "--rdzv_backend=c10d --rdzv_endpoint=HOST:PORT -m cnnexp …"
            )
    try:
        environment.validate_settings(num_devices=devices, num_nodes=nodes)
    except ValueError as error:
        raise CnnexpError(f"trainer: {' '.join(str(error).split())}") from None
    if trainer.world_size != environment.world_size():
        raise CnnexpError(
            f"trainer.devices={devices} trainer.num_nodes={nodes} are {trainer.world_size} processes, but "
            f"{environment.world_size()} were started"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if trainer.strategy.root_device.type == "cpu" and devices > cores and is_first():
        log.warning("trainer.devices=%d processes share %d cores: that many train faster", devices, cores)


def _listen_on_loopback(environment: Any) -> None:
    """Have the processes of one machine meet where no other can connect; torch listens on every address."""
    from torch.distributed import TCPStore

    global _store
    if environment.main_address != "127.0.0.1":  # typed by the user
        return
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    _store = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=server.detach())
    # torch then connects to the store that is there, as it does under torchrun
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    for backend in ("GLOO", "NCCL"):
        os.environ.setdefault(f"{backend}_SOCKET_IFNAME", loopback)


def is_broken(error: BaseException) -> bool:
    """Return whether an error is what torch says in a process whose others are gone."""
    from cnnexp.distributed import several

    if not isinstance(error, RuntimeError) or not several():
        return False
    said = str(error)
    return type(error).__name__.startswith("Dist") or any(
        part in said for part in ("Connection", "gloo", "Gloo", "NCCL", "Broken pipe", "Socket")
    )


def _tell(trainer: "L.Trainer", environment: Any, claim: Callable[[], Path]) -> Path:
    """Claim the folder and tell the others, or wait to be told."""
    from torch.distributed import DistError
    from torch.distributed.rendezvous import rendezvous

    global _store
    address, port = environment.main_address, environment.main_port
    where = f"{address}:{port}"
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = address, str(port)
    try:
        # the store that torch itself uses a moment later, at the same address, which may be torchrun's own.
        # world_size=1, so that the first process doesn't wait for the others: not all of them come here
        _store, _, _ = next(iter(rendezvous("env://", rank=number, world_size=1, timeout=_PATIENCE)))
        if number > 0:
            told = _store.get("cnnexp/folder").decode()
            _store.add("cnnexp/told", 1)
            if told == _REFUSED:
                raise CnnexpError("the first process was refused")
            return Path(told)
        try:
            folder = claim()
        except BaseException:
            _store.set("cnnexp/folder", _REFUSED)
            raise
        _store.set("cnnexp/folder", str(folder.absolute()))
        return folder
    except (DistError, OSError) as error:
        raise CnnexpError(
            f"process {number} of {trainer.world_size} doesn't find the others at {where}: {error}".splitlines()[0]
        ) from None


def follow(config: DictConfig) -> None:
    """Make Hydra write nothing, in a process that isn't the first."""
    config.hydra.output_subdir = None
    config.hydra.job_logging = {
        "version": 1,
        "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}},
        "root": {"level": "ERROR", "handlers": ["console"]},
        "disable_existing_loggers": False,
    }


def wait_for_others(trainer: "L.Trainer") -> None:
    """Wait until the processes that Lightning started have ended, and end those that hang."""
    for process in getattr(trainer.strategy.launcher, "procs", ()):
        try:
            process.wait(_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def asks_for_several(trainer: DictConfig) -> bool:
    """Return whether a Trainer's settings may mean several processes, without asking how many GPUs there are."""
    devices, strategy = trainer.get("devices", 1), trainer.get("strategy", "auto")
    parallel = not isinstance(strategy, str) or strategy.startswith(_SEVERAL)
    if isinstance(devices, ListConfig):
        several = len(devices) > 1
    elif str(devices) in ("auto", "-1"):
        several = parallel
    else:
        several = "," in str(devices) or (str(devices).isdigit() and int(devices) > 1)
    return several or trainer.get("num_nodes", 1) > 1


def refuse_typed(config: DictConfig) -> None:
    """Raise CnnexpError where several processes were typed for a task that runs in one."""
    task = config.hydra.runtime.choices.task
    if (started := _started_by_torchrun()) > 1:
        raise CnnexpError(
            f"task={task} is done by one process, but torchrun started {started}; leave torchrun out"
        )
    typed = [override.partition("=")[0] for override in config.hydra.overrides.task]
    keys = {"trainer", "trainer.devices", "trainer.num_nodes"} & set(typed)
    if keys and "trainer" in config and asks_for_several(config.trainer):
        raise CnnexpError(
            f"task={task} is done by one process; leave {', '.join(sorted(keys))} out, or type trainer.devices=1 "
            "trainer.num_nodes=1"
        )


def _started_by_torchrun() -> int:
    return int(os.environ.get("WORLD_SIZE", 1)) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def use_one_process(config: DictConfig) -> None:
    """Make a task use one device, whatever the run that it looks at was trained on."""
    if "trainer" not in config:
        return
    if asks_for_several(config.trainer):
        OmegaConf.update(config, "trainer.devices", 1)
        OmegaConf.update(config, "trainer.num_nodes", 1)
    if isinstance(config.trainer.strategy, str) and config.trainer.strategy.startswith(_SEVERAL):
        OmegaConf.update(config, "trainer.strategy", "auto")
