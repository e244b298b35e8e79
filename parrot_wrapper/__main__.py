"""`python -m parrot_wrapper`: the `parrot` command."""

import sys

from parrot_wrapper.cli import main

if __name__ == "__main__":
    sys.exit(main())
