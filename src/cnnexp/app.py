"""The command: Hydra composes the settings, a task does the work, the exit status tells how it went.

Nothing heavy is imported before the settings are composed: ``--help``, ``--cfg job`` and a misspelt key are
answered without torch.
"""

import contextlib
import os
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

import cnnexp
from cnnexp.command import plugins, recorded, resolvers
from cnnexp.command.arguments import check_flags, flags_first
from cnnexp.command.explain import ANSWERED, explain
from cnnexp.disk import cant_write
from cnnexp.errors import CnnexpError, Refused, StopSweep
from cnnexp.interrupts import Interrupted, raise_on_signals
from cnnexp.job import ranks
from cnnexp.sweeps import sweep

FAILED, MISTAKE = 1, 2

_typed: list[str] | None = None


def config_folder() -> Path:
    """Return conf/: inside the package where it was installed, beside src/ in a checkout."""
    package = Path(__file__).parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


# an absolute path: a relative one would turn into a package's, once this function is imported from elsewhere
@hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")
def job(config: DictConfig) -> float | None:
    """Do one job: the one of a run, or one of a sweep's; return how good it was."""
    from cnnexp.job.job import run_job

    # Hydra has read what we put together; Lightning starts further processes of a run by typing the same again
    if _typed is not None:
        sys.argv = _typed
    return run_job(config)


resolvers.register()
plugins.prefer_files_of(config_folder())
plugins.copy_lightly()


def main() -> None:
    """Run the command that was typed, and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit status; the arguments are those after the program's name."""
    if "--version" in arguments:
        print(f"cnnexp {cnnexp.__version__}")
        return 0
    global _typed
    typed, sweep.current = sys.argv, None
    _typed = [typed[0], *arguments]
    give_signals_back, put_environment_back = raise_on_signals(), ranks.begin()
    # errors come to us as they are; otherwise Hydra prints them itself and exits with 1
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        check_flags(arguments)
        ordered = flags_first(arguments)
        name = None
        if (folder := recorded.sweep_to_resume(arguments)) is not None:
            ordered = flags_first(sweep.arguments_of(folder, arguments))
            sweep.current = sweep.Sweep(folder, resumed=True)
        else:
            name = recorded.use_record(arguments)
        sys.argv = [typed[0], *(["--config-name", name] if name else []), *ordered]
        job()
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
        sys.argv = typed
        put_environment_back()
        give_signals_back()


def _say(text: str, status: int = MISTAKE) -> int:
    who = "cnnexp" if ranks.is_first() else f"cnnexp, process {ranks.number}"
    print(f"{who}: {text}", file=sys.stderr)
    return 0 if ranks.leaves_the_status_to_another() else status
