"""The positions of the elements that are not 0."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.dtypes import int64
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import GraphError
from tinygrad_cv.ops.shape import reshape
from tinygrad_cv.ops.slicing import unbind

__all__ = ["NonZero", "argwhere", "nonzero"]

TENSOR_FUNCTIONS = ("argwhere", "nonzero")


def nonzero(input: Any, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not 0, in row-major order.

    Returns:
        int64 [K, ndim], or with ``as_tuple`` one vector [K] for each axis, fit to index with.

    Raises:
        GraphError: on the meta device, where K is unknown.

    >>> import tinygrad_cv as tg
    >>> tg.nonzero(tg.tensor([[0, 5], [6, 0]])).tolist()
    [[0, 1], [1, 0]]
    """
    if as_tuple and not input.shape:  # one axis to index with, as in PyTorch
        input = reshape(input, (1,))
    found = NonZero.call(input)
    return unbind(found, 1) if as_tuple else found


def argwhere(input: Any) -> Any:
    """:func:`nonzero` under NumPy's name.

    >>> import tinygrad_cv as tg
    >>> tg.argwhere(tg.tensor([0, 5])).tolist()
    [[1]]
    """
    return nonzero(input)


class NonZero(Op):
    """The positions of the elements that are not 0. How many there are depends on the values."""

    name = "nonzero"
    equation = "y = all i with x[i] != 0, in row-major order"
    edges = "NaN is not 0; -0 is 0"
    dtypes = "bool, integer, floating"
    shaped = False

    @staticmethod
    def infer(input: Spec) -> Spec:
        raise GraphError(
            "nonzero",
            "the number of elements that are not 0 is not known on the meta device",
            values=[("input", input.shape)],
            repair="Use where or masked_fill, which keep the shape.",
        )

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        if input.ndim == 0:
            return xp.zeros((int(input != 0), 0), int64)
        return xp.stack(xp.nonzero(input), axis=1)
