"""The entry point of `python -m satlab` and of the command `satlab`."""

import sys

from .lab.cli.environment import settle, working_directory
from .lab.unforeseen import end_unforeseen, wants_traceback
from .system.signals import SignalError, StopRequest


def main() -> None:
    """Loads the command, which takes seconds, and runs it. A signal during loading ends the process after loading."""
    settle()
    if working_directory() is None:
        # Without a working directory, the libraries loaded next would abort the process.
        print("satlab: the working directory no longer exists; change to one that does", file=sys.stderr)
        sys.exit(2)
    try:
        with StopRequest() as stop:
            stop()
            from .lab.cli.main import main as command

            if stop():
                raise KeyboardInterrupt
    except SignalError as error:
        from .lab.cli.exit import ending

        sys.exit(ending(error))
    except Exception as error:  # noqa: BLE001 - a damaged installation raises anything
        sys.exit(end_unforeseen(error, wants_traceback(sys.argv[1:])))
    command()


if __name__ == "__main__":
    main()
