"""`python -m satlab` is the command `satlab`."""

import sys

from .system.signals import SignalError, StopRequest


def main() -> None:
    """Loads the command, which takes seconds, and runs it. A signal meanwhile ends it in one line once it is loaded."""
    try:
        with StopRequest() as stop:
            stop()
            from .lab.cli.main import main as command

            if stop():
                raise KeyboardInterrupt
    except SignalError as error:
        from .lab.cli.exit import ending

        sys.exit(ending(error))
    command()


if __name__ == "__main__":
    main()
