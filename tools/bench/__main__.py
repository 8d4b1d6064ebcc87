"""The benchmark: ours, PyTorch and other peers side by side, each in a process of its own.

    python tools/bench [--quick] [--only small_ops,lenet] [--json FILE] [--plot FILE.svg]
    python tools/bench --operators conv,pool          single operators, forward and backward
    python tools/bench --sweep batch                  or depth, or size: how the time grows
    python tools/bench --first-run                    compilation: empty and warm cache
    python tools/bench --peers torch_compile,jax      beside PyTorch; or all

For every workload each engine is started afresh, without any OPENBLAS_* variable, builds the same
network with the same weights, and must give the same first losses. Then the engines take turns
(A B C C B A ...) and the table shows medians, their spread (quartiles) and the median of the
ratios round by round. Peak memory is taken in further processes of their own.

An engine that is not installed or lacks a layer is skipped, with the reason. The exit status is 1
if the results of an engine differ or ours fails, whatever the times.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import measure
import plot
import report
from circumstances import circumstances
from plan import Item, engines_of, parser, plan


def rows_of(items: Iterable[Item], rounds: int, run_s: float, device: str) -> Iterator[Any]:
    """Measures one after the other; operators share their processes."""
    for item in items:
        if item.kind == "memory":
            yield measure.memory(item.workload, item.engines)
        elif item.kind == "first":
            yield measure.first_steps(item.workload, item.engines)
        else:
            with measure.opened(item.engines, device) as processes:
                yield measure.workload(
                    processes, item.workload, item.mode, rounds, run_s, **item.point
                )


def operator_rows(items: Sequence[Item], rounds: int, run_s: float, device: str) -> Iterator[Any]:
    """Measures operators; they share their processes."""
    with measure.opened(items[0].engines, device) as processes:
        for item in progress(items):
            yield from measure.operator(processes, item.workload, rounds, run_s)


def progress(items: Sequence[Any]) -> Any:
    """The items behind a progress bar, if tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return items
    return tqdm(items, unit="workload", disable=not sys.stderr.isatty())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for, prints the tables, writes the files; the exit status."""
    options: argparse.Namespace = parser(__doc__.split("\n")[0]).parse_args(arguments)
    items = list(plan(options, engines_of(options)))
    rounds = options.rounds or (5 if options.quick else 11)
    run_s = 0.1 if options.quick else 0.3
    if options.operators is None:
        measured = rows_of(progress(items), rounds, run_s, options.device)
    else:
        measured = operator_rows(items, rounds, run_s / 2, options.device)
    rows = []
    for row in measured:
        rows.append(row)
        report.show(row)
    document = {"rows": rows, **circumstances(rows, sys.argv)}
    report.summary(document)
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.plot:
        try:
            options.plot.write_text(plot.picture(document))
        except ValueError as error:  # the figures are worth more than the picture
            print(f"{options.plot} is not drawn: {error}", file=sys.stderr)
    problems = report.broken(rows)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
