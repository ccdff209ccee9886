"""``python -m cnnexp``, and the ``cnnexp`` command: the process around what was typed."""

import os
import signal
import sys

from cnnexp import interrupts, output, terminal


def main() -> None:
    """Run the command that was typed, and exit with its status."""
    output.never_fail()
    terminal.print_anywhere()
    interrupts.leave_at_once = True
    interrupts.raise_on_signals()  # before the first import of a second
    # modules in the working folder are found by `cnnexp` as they are by `python -m cnnexp`
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    from cnnexp.app import FAILED, run

    try:
        status = run(sys.argv[1:])
    except SystemExit as left:  # Hydra's, after --help
        status = left.code if isinstance(left.code, int) else FAILED if left.code else 0
    for number in interrupts.USUAL:  # all is said: what comes now only ends the process
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    if output.lost:
        print(f"cnnexp: what was to be printed got lost: {output.lost}", file=sys.stderr)
    sys.exit(status or (FAILED if output.lost else 0))


if __name__ == "__main__":
    main()
