"""``python -m lrcore``."""

import sys

from lrcore.cli import main

if __name__ == "__main__":
    sys.exit(main())
