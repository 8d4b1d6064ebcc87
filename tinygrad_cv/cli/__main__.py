"""``python -m tinygrad_cv.cli``: the command line."""

import sys

from tinygrad_cv.cli import main

if __name__ == "__main__":
    sys.exit(main())
