"""`python -m parrot_wrapper.cli`: the `parrot` command by its module."""

import sys

from parrot_wrapper.cli import main

if __name__ == "__main__":
    sys.exit(main())
