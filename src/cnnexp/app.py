"""The command: Hydra composes the settings, a task does the work, the exit status tells how it went.

Nothing heavy is imported before the settings are composed: ``--help``, ``--cfg job`` and a misspelt key are
answered without torch.
"""

import contextlib
import os
import sys

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from cnnexp.command import plugins, recorded, resolvers
from cnnexp.command.arguments import Typed, read
from cnnexp.command.call import quiet_hydra
from cnnexp.command.explain import ANSWERED, explain
from cnnexp.disk import cant_write
from cnnexp.errors import CnnexpError, Refused, StopSweep
from cnnexp.interrupts import Interrupted, raise_on_signals, received, say_interrupted
from cnnexp.job import ranks
from cnnexp.sweeps import sweep
from cnnexp.version import __version__

FAILED, MISTAKE = 1, 2

CONF = str(resolvers.config_folder())
"""Where Hydra finds conf/. An absolute path: a relative one turns into a package's when a worker imports `job`."""


def job(config: DictConfig) -> float | None:
    """Do one job, a run's only one or one of a sweep's; return its validation accuracy, where it has one."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from cnnexp.sweeps.jobs import run_job_of_sweep

        return run_job_of_sweep(config)
    from cnnexp.job.job import run_job

    return run_job(config)[sweep.OBJECTIVE]


resolvers.register()
quiet_hydra()  # here for the workers of a sweep
plugins.prefer_files_of(resolvers.config_folder())
plugins.copy_lightly()


def run(arguments: list[str]) -> int:
    """Run a command and return its exit status; the arguments are those after the program's name."""
    if "--version" in arguments:
        print(f"cnnexp {__version__}")
        return 0
    sweep.current = None
    give_signals_back, put_environment_back = raise_on_signals(), ranks.begin()
    called_as = sys.argv
    sys.argv = [called_as[0], *arguments]  # what Lightning types again to start a run's further processes
    # errors come to us as they are; otherwise Hydra prints them itself and exits with 1
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        status = _answered(arguments)
        return status if status == 0 or (number := received()) is None else 128 + number
    except Interrupted as interrupted:
        return _interrupted(interrupted)
    except Exception:
        if (number := received()) is None:
            raise
        return _interrupted(Interrupted(number))  # what was raised is what a library made of the interruption
    finally:
        if sweep.current is not None:
            sweep.current.leave()
        sys.argv = called_as
        put_environment_back()
        give_signals_back()


def _answered(arguments: list[str]) -> int:
    """Run a command; answer a mistake, and the disk's errors, in a line or two. Returns the exit status."""
    try:
        typed, name = read(arguments), "config"
        if (folder := recorded.sweep_to_resume(typed)) is not None:
            from cnnexp.sweeps.resume import arguments_of

            typed = read(arguments_of(folder, typed))
            sweep.begin(sweep.Sweep(folder, resumed=True))
        else:
            name = recorded.use_record(typed) or name
        compose_and_run(typed, name)
        return FAILED if sweep.current is not None and sweep.end(sweep.current) else 0
    except Refused as refused:
        cause = refused.__cause__
        if isinstance(cause, ANSWERED):
            return _say(explain(cause))
        if isinstance(cause, CnnexpError):
            return _say(str(cause), cause.exit_status)
        if isinstance(cause, OSError):
            return _say(f"can't write there: {cause}")
        assert cause is not None
        raise cause from None
    except StopSweep:
        assert sweep.current is not None
        with contextlib.suppress(OSError):  # the disk that stopped it may leave no room for the report
            sweep.end(sweep.current)
        return FAILED
    except CnnexpError as error:
        return _say(str(error), error.exit_status)
    except ANSWERED as error:
        return _say(explain(error))
    except OSError as error:
        told = cant_write(error)
        if told is None:
            raise
        return _say(str(told), told.exit_status)


def _interrupted(interrupted: Interrupted) -> int:
    if ranks.leaves_the_status_to_another():
        return 0
    if sweep.current is not None and sweep.current.cancel:
        print(sweep.current.stopped_waiting(str(interrupted)), file=sys.stderr)
    else:
        say_interrupted(str(interrupted))
    return interrupted.exit_status


def compose_and_run(typed: Typed, name: str) -> None:
    """Have Hydra compose the settings that ``name`` is the root of, and run the job or jobs."""
    # what `hydra.main` does, but with arguments of ours: it takes them from sys.argv
    from hydra import __version__, version
    from hydra._internal.utils import _run_hydra, get_args_parser

    quiet_hydra()
    if __version__.startswith("1.3."):  # it would behave as 1.1 did
        version.setbase("1.3")
    parser = get_args_parser()
    _run_hydra(args=typed.parsed, args_parser=parser, task_function=job, config_path=CONF, config_name=name)


def _say(text: str, status: int = MISTAKE) -> int:
    who = "cnnexp" if ranks.is_first() else f"cnnexp, process {ranks.number}"
    print(f"{who}: {text}", file=sys.stderr)
    return 0 if ranks.leaves_the_status_to_another() else status
