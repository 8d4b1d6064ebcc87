"""Draw the computation graph of a model: ``python tools/render_graph.py pkg.mod:factory --input
1,3,32,32 -o a.svg``.

The same as ``tinygrad-cv graph``; see ``--help``.
"""

from __future__ import annotations

import sys

from tinygrad_cv.cli import main

if __name__ == "__main__":
    sys.exit(main(["graph", *sys.argv[1:]]))
