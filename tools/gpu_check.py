"""Checks this machine's GPU: every operator on CuPy against NumPy, then the speed against PyTorch.

    python tools/gpu_check.py [--only conv,pool] [--no-bench] [--log-dir DIR]

Runs the cases of the operator tests on both backends, in float64 and float32: values, gradients,
and gradients of gradients. Prints a table with the largest error of each operator and writes it,
with machine, versions and commit, to one dated file under tools/gpu_logs/, which is meant to be
committed.

Exit status: 0 all well, 1 an operator failed, 2 no usable GPU.

Errors are in units of the last place (ULP) of the largest number of the result in its precision:
1 ULP is 2.2e-16 (float64) or 1.2e-7 (float32) of it. A sum in another order costs a few.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tinygrad_cv as tg  # noqa: E402
from tinygrad_cv.backend.array import as_device  # noqa: E402
from tinygrad_cv.errors import BackendError  # noqa: E402
from tinygrad_cv.testing import Case, CheckFailure  # noqa: E402
from tinygrad_cv.testing.case import to_tensors  # noqa: E402
from tinygrad_cv.testing.compare import numpy_of, random_like, vjp  # noqa: E402
from tinygrad_cv.testing.runs import cast, floating  # noqa: E402

__all__ = ["Figures", "collect", "compare", "errors_of", "results"]

PARTS = ("value", "order 1", "order 2")
# What may be lost, in ULP, between two right answers: sums in another order, and in the second
# order differences of numbers that are larger than their result.
LIMIT = {"value": 2_000.0, "order 1": 20_000.0, "order 2": 200_000.0}
DTYPES = ("float64", "float32")


@dataclasses.dataclass
class Figures:
    """The largest error of one operator so far, by (dtype, part), and what went wrong."""

    cases: int = 0
    worst: dict[tuple[str, str], float] = dataclasses.field(default_factory=dict)
    failures: list[str] = dataclasses.field(default_factory=list)

    def add(self, dtype: str, errors: dict[str, float]) -> None:
        for part, error in errors.items():
            self.worst[dtype, part] = max(error, self.worst.get((dtype, part), 0.0))


def collect(name: str, folder: Path = ROOT / "tests" / "ops") -> list[Any]:
    """What every operator test calls `CASES`, or `BAD`."""
    found = []
    for path in sorted(folder.glob("test_*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found += getattr(importlib.import_module(module), name, [])
    return found


def results(case: Case, leaves: Sequence[np.ndarray], device: str) -> Iterator[tuple[str, Any]]:
    """(part, arrays) of the outputs, the gradients and the gradients of the gradients."""
    case = case.moved(device)
    wanted = case.differentiable() if case.order else []
    where = None if case.op is not None and case.op.name == "move" else device
    outputs = case.call(to_tensors(leaves, device))
    yield "value", fetched(outputs, where)
    if not wanted or not floating(outputs):
        return
    for create_graph in (False, True):  # raw rules and kernels, then the rules on Tensors
        tensors = to_tensors(leaves, device, wanted)
        ys = floating(case.call(tensors))
        rng = case.rng(2)
        weights = [random_like(y, rng).requires_grad_() for y in ys]
        inputs = [tensors[i] for i in wanted]
        grads = vjp(ys, inputs, weights, create_graph)
        yield "order 1", fetched(grads, where)
    if case.order > 1:
        again = vjp(grads, [*inputs, *weights], [random_like(g, rng) for g in grads])
        yield "order 2", fetched(again, where)


def fetched(tensors: Sequence[tg.Tensor], device: str | None) -> list[np.ndarray]:
    """The values on the host; they must have come out on the device of the inputs."""
    for tensor in tensors:
        if device is not None and tensor.device != as_device(device):
            raise CheckFailure(f"a result is on {tensor.device} instead of {device}")
    return [numpy_of(tensor) for tensor in tensors]


def compare(case: Case, dtype: str, device: str = "cuda") -> dict[str, float]:
    """The largest error in ULP of each part; raises CheckFailure where shapes or dtypes differ or
    an error is above its limit."""
    leaves = cast(case.leaves(), dtype)
    found: dict[str, float] = {}
    for (part, expected), (_, actual) in zip(
        results(case, leaves, "cpu"), results(case, leaves, device), strict=True
    ):
        found[part] = max([found.get(part, 0.0), *errors_of(actual, expected, part)])
        if not found[part] <= LIMIT[part]:
            raise CheckFailure(f"{case.id}, {dtype}, {part}: off by {found[part]:.3g} ULP")
    return found


def errors_of(
    actual: Sequence[np.ndarray], expected: Sequence[np.ndarray], what: str = "result"
) -> Iterator[float]:
    """For each pair of arrays |actual - expected| in ULP of the largest expected number."""
    for a, e in zip(actual, expected, strict=True):
        if (a.shape, a.dtype) != (e.shape, e.dtype):
            raise CheckFailure(f"{what}: {a.shape} {a.dtype} instead of {e.shape} {e.dtype}")
        if e.dtype.kind != "f":
            if not np.array_equal(a, e):
                raise CheckFailure(f"{what}: {int((a != e).sum())} integers or bools differ")
            continue
        same = (a == e) | (np.isnan(a) & np.isnan(e))
        finite = np.isfinite(e)
        if not (same | (finite & np.isfinite(a))).all():
            raise CheckFailure(f"{what}: infinities or NaN differ")
        # Halved, so that the spacing of the largest number there is does not overflow.
        half = np.abs(e[finite] / 2).max(initial=np.finfo(e.dtype).tiny)
        error = np.where(same, 0, np.abs(np.where(finite, a, 0) - np.where(finite, e, 0)))
        yield float(error.max(initial=0) / 2 / np.spacing(half))


def run_suite(cases: Sequence[Case], device: str) -> dict[str, Figures]:
    """All cases in both precisions, by operator; nothing stops at a failure."""
    table: dict[str, Figures] = {}
    for case in progress(cases):
        name = case.op.name if case.op else getattr(case.function, "__name__", "function")
        figures = table.setdefault(name, Figures())
        figures.cases += 1
        for dtype in DTYPES:
            try:
                figures.add(dtype, compare(case, dtype, device))
            except Exception as error:
                text = str(error).split("\n")[0]
                kind = "" if isinstance(error, CheckFailure) else f"{type(error).__name__}: "
                figures.failures.append(f"{case.id}, {dtype}: {kind}{text}")
    return dict(sorted(table.items()))


def progress(items: Sequence[Any]) -> Any:
    """The items behind a progress bar, if tqdm is installed and somebody is watching."""
    try:
        from tqdm import tqdm
    except ImportError:
        return items
    return tqdm(items, unit="case", disable=not sys.stderr.isatty())


def table_of(figures: dict[str, Figures]) -> list[str]:
    """The errors as a Markdown table, one operator per row."""
    columns = [(dtype, part) for dtype in DTYPES for part in PARTS]
    lines = ["| operator | cases | " + " | ".join(f"{p}, {d}" for d, p in columns) + " | |"]
    lines.append("|---|---|" + "---|" * (len(columns) + 1))
    for name, row in figures.items():
        cells = [f"{row.worst[c]:.3g}" if c in row.worst else "-" for c in columns]
        state = f"{len(row.failures)} FAILED" if row.failures else "ok"
        lines.append(f"| {name} | {row.cases} | " + " | ".join(cells) + f" | {state} |")
    return lines


def circumstances() -> list[str]:
    """Machine, versions, date and commit, as list items."""
    import cupy

    runtime = cupy.cuda.runtime
    name = runtime.getDeviceProperties(cupy.cuda.Device().id)["name"]
    commit = _git("rev-parse", "--short=12", "HEAD") or "unknown"
    if _git("status", "--porcelain"):
        commit += " with changes"
    versions = [f"tinygrad_cv {tg.__version__}", f"NumPy {np.__version__}"]
    versions += [f"CuPy {cupy.__version__}", f"Python {platform.python_version()}"]
    cuda = f"CUDA runtime {runtime.runtimeGetVersion()}, driver {runtime.driverGetVersion()}"
    return [
        f"- GPU: {name.decode() if isinstance(name, bytes) else name}; {cuda}",
        f"- machine: {platform.platform()}",
        f"- versions: {', '.join(versions)}",
        f"- commit: {commit}",
        f"- date: {datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')}",
    ]


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def benchmark(arguments: Sequence[str]) -> list[str]:
    """What tools/bench says of ours and PyTorch on the GPU, and why it failed, if it did."""
    command = [sys.executable, str(ROOT / "tools" / "bench"), "--device", "cuda", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    if done.returncode:
        lines.append(f"failed: {(done.stderr.strip() or 'no output').splitlines()[-1]}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python tools/gpu_check.py", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--only", help="comma-separated parts of operator names")
    parser.add_argument("--no-bench", action="store_true", help="leave the benchmark out")
    parser.add_argument("--log-dir", type=Path, default=ROOT / "tools" / "gpu_logs")
    options = parser.parse_args(arguments)
    try:
        device = as_device("cuda")
    except BackendError as missing:
        print(f"gpu_check: no usable GPU.\n{missing}", file=sys.stderr)
        return 2
    cases = collect("CASES")
    if options.only:
        parts = options.only.split(",")
        cases = [case for case in cases if any(part in case.id for part in parts)]
    figures = run_suite(cases, str(device))
    failures = [line for row in figures.values() for line in row.failures]
    lines = [
        f"# GPU check, {datetime.date.today()}",
        "",
        *circumstances(),
        f"- operators: {len(figures)}, cases: {len(cases)}, failures: {len(failures)}",
        "",
        "Largest error of CuPy against NumPy, in ULP of the largest number of each result.",
        "",
        *table_of(figures),
    ]
    if failures:
        lines += ["", "## Failures", "", *(f"- {line}" for line in failures)]
    lines += ["", "## Benchmark", ""]
    lines += ["left out"] if options.no_bench else benchmark([])
    print("\n".join(lines))
    options.log_dir.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    path = options.log_dir / f"{now}.md"
    path.write_text("\n".join(lines) + "\n")
    print(f"\nwritten to {path}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
