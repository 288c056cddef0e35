"""The end of a command: its exit code, without a traceback if nobody reads its output.

Apart from stages, so that `--help` of a command loads no table library.
"""

import os
import select
import sys
from collections.abc import Callable
from typing import NoReturn

NOT_READ = 141  # the shell's exit code of a program that wrote into a closed pipe


def exit_with(main: Callable[[], int | None], when_not_read: int = NOT_READ) -> NoReturn:
    """End the process with the exit code of `main`, without a traceback if a pipe is closed.

    Args:
        main: The command.
        when_not_read: Exit code if the reader of the output (`| head`) closes the pipe early.
    """
    code: str | int | None = when_not_read
    try:
        try:
            code = main()
        except SystemExit as end:  # argparse has printed its help
            code = end.code
        sys.stdout.flush()
    except BrokenPipeError:
        if not _is_closed(sys.stdout.fileno()):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _is_closed(descriptor: int) -> bool:
    """Return whether the other end of a pipe is closed."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
