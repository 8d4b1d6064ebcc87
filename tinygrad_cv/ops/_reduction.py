"""The arguments with which every loss says how it is reduced."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.errors import ArgumentError

__all__ = ["REDUCTIONS", "check_reduction"]

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(
    op: str,
    reduction: str,
    size_average: Any = None,
    reduce: Any = None,
    known: tuple[str, ...] = REDUCTIONS,
) -> None:
    """The reduction is one of the ``known``, and PyTorch's arguments of old are not used."""
    if size_average is not None or reduce is not None:
        if hasattr(size_average, "shape") or hasattr(reduce, "shape"):
            raise ArgumentError(
                op,
                "it takes options, not the tensors to compare",
                repair=f"Make the loss, then call it: nn.{op}()(input, target).",
            )
        raise ArgumentError(
            op,
            "size_average and reduce are PyTorch's arguments of old and not supported",
            repair='Use reduction="mean", "sum" or "none".',
        )
    if not isinstance(reduction, str) or reduction not in known:
        raise ArgumentError(
            op,
            f"reduction must be one of {', '.join(known)}, it is {reduction!r}",
            repairs=[{"reduction": name} for name in known],
        )
