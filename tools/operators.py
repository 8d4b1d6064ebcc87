"""Write the operator table, a page of the package, from the registry.

python tools/operators.py            # write it
python tools/operators.py --check    # exit 1 if it is stale or a field is empty, write nothing
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tinygrad_cv.backend import kernels  # noqa: E402
from tinygrad_cv.cli.operators import operators, page  # noqa: E402
from tinygrad_cv.viz.operators import fields  # noqa: E402

PAGE = ROOT / "tinygrad_cv" / "ops" / "README.md"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether it is in order")
    check = parser.parse_args().check
    if "numba" not in kernels.providers():
        print("the page names the compiled kernels, which need Numba: install the extra fast")
        return 1
    empty = [f"{op.name}: {key} is empty" for op in operators() for key, value in fields(op).items()
             if not value]  # fmt: skip
    for line in empty:
        print(line)
    text = page()
    stale = not PAGE.exists() or PAGE.read_text() != text
    if check and stale:
        print(f"{PAGE.relative_to(ROOT)} is stale: run python tools/operators.py")
    elif stale:
        PAGE.write_text(text)
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return 1 if empty or (check and stale) else 0


if __name__ == "__main__":
    sys.exit(main())
