"""`python -m satlab` is the command `satlab`."""

from .lab.cli import main

if __name__ == "__main__":
    main()
