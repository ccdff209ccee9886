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
from cnnexp.command.explain import ANSWERED, explain
from cnnexp.disk import cant_write
from cnnexp.errors import CnnexpError, Refused, StopSweep
from cnnexp.interrupts import Interrupted, raise_on_signals
from cnnexp.job import ranks
from cnnexp.sweeps import sweep
from cnnexp.terminal import print_anywhere
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
plugins.prefer_files_of(resolvers.config_folder())
plugins.copy_lightly()


def main() -> None:
    """Run the command that was typed, and exit with its status."""
    print_anywhere()
    # modules in the working folder are found by `cnnexp` as they are by `python -m cnnexp`
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    sys.exit(run(sys.argv[1:]))


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
        typed, name = read(arguments), "config"
        if (folder := recorded.sweep_to_resume(typed)) is not None:
            from cnnexp.sweeps.resume import arguments_of

            typed = read(arguments_of(folder, typed))
            sweep.current = sweep.Sweep(folder, resumed=True)
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
    except BrokenPipeError:  # the reader, `head` for example, has seen enough; Python flushes once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        told = cant_write(error)
        if told is None:
            raise
        return _say(str(told), told.exit_status)
    except Interrupted as interrupted:
        if ranks.leaves_the_status_to_another():
            return 0
        if sweep.current is not None and sweep.current.cancel:
            print(sweep.current.stopped_waiting(str(interrupted)), file=sys.stderr)
            return interrupted.exit_status
        print(f"interrupted by {interrupted}", file=sys.stderr)
        if sweep.current is not None:
            where = os.path.relpath(sweep.current.folder)
            print(f"go on with: python -m cnnexp resume={where}", file=sys.stderr)
            print(f"report of what there is: python -m cnnexp task=report run={where}", file=sys.stderr)
        return interrupted.exit_status
    finally:
        sys.argv = called_as
        put_environment_back()
        give_signals_back()


def compose_and_run(typed: Typed, name: str) -> None:
    """Have Hydra compose the settings that ``name`` is the root of, and run the job or jobs."""
    # what `hydra.main` does, but with arguments of ours: it takes them from sys.argv
    from hydra import version
    from hydra._internal.utils import _run_hydra, get_args_parser

    version.setbase("1.3")
    parser = get_args_parser()
    _run_hydra(args=typed.parsed, args_parser=parser, task_function=job, config_path=CONF, config_name=name)


def _say(text: str, status: int = MISTAKE) -> int:
    who = "cnnexp" if ranks.is_first() else f"cnnexp, process {ranks.number}"
    print(f"{who}: {text}", file=sys.stderr)
    return 0 if ranks.leaves_the_status_to_another() else status
