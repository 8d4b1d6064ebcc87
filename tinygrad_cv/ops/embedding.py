"""Rows of a table chosen by integers, and integers as rows of zeros with a single one.

``Embedding`` and ``EmbeddingGrad`` are linear in the numbers that move and each is the other's
adjoint, so the family is closed at every order.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.array import on_device_of
from tinygrad_cv.backend.dtypes import int64
from tinygrad_cv.backend.scatter import sum_rows
from tinygrad_cv.backend.select import keep
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, RangeError, ShapeError
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.creation import arange, ones
from tinygrad_cv.ops.places import raw
from tinygrad_cv.ops.select import masked
from tinygrad_cv.ops.shape import reshape

__all__ = ["Embedding", "EmbeddingGrad", "embedding", "one_hot"]

NN_FUNCTIONS = ("embedding", "one_hot")

Shape = tuple[int, ...]


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Rows of a table: ``y[..., :] = weight[input[...], :]``.

    Args:
        input: integers of any shape, each from 0 to V - 1.
        weight: [V, D].
        padding_idx: a row that gets no gradient; negative ones count from the end.
        scale_grad_by_freq: divide the gradient of a row by how often it was chosen.
        max_norm, sparse: not supported; anything but None and False raises. ``norm_type`` belongs
            to ``max_norm``.

    Returns:
        The shape of the input with D behind it.

    Raises:
        RangeError: an index is outside 0 ... V - 1, or ``padding_idx`` outside -V ... V - 1.
        ShapeError: the weight has not two axes.
        DTypeError: the indices are not integers.
        ArgumentError: an argument that is not supported.

    >>> import tinygrad_cv as tg
    >>> table = tg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> tg.nn.functional.embedding(tg.tensor([2, 0]), table).tolist()
    [[5.0, 6.0], [1.0, 2.0]]
    """
    op = "embedding"
    values = [("input", input.shape), ("weight", weight.shape, "[V, D]")]
    if max_norm is not None:
        raise ArgumentError(
            op,
            "max_norm is not supported",
            repair="Shorten the rows of the table yourself, for example after each step.",
        )
    if sparse:
        raise ArgumentError(op, "sparse gradients are not supported", repair="Use sparse=False.")
    if len(weight.shape) != 2:
        raise ShapeError(
            op,
            "the weight needs two axes, a row for each index",
            law=["y[..., d] = w[index[...], d]"],
            values=values,
            repair=f"Numbers, one for each index: weight.reshape{(*weight.shape, 1)}."
            if len(weight.shape) == 1
            else None,
            repairs=[{"weight": (*weight.shape, 1)}] if len(weight.shape) == 1 else [],
        )
    rows = weight.shape[0]
    index = _index(op, input, rows, values)
    if padding_idx is not None:
        padding_idx = as_int(op, "padding_idx", padding_idx)
        if not -rows <= padding_idx < rows:
            raise RangeError(
                op,
                f"padding_idx {padding_idx} is outside the table",
                law=[f"{-rows} <= padding_idx < {rows}"],
                values=values,
            )
    return _embedding(weight, index, _share(weight, index, padding_idx, scale_grad_by_freq))


def one_hot(input: Any, num_classes: int = -1) -> Any:
    """``y[..., c] = 1 if input[...] = c else 0``, as int64.

    Args:
        input: integers of any shape, none negative.
        num_classes: C; -1 takes one more than the largest of them.

    Returns:
        The shape of the input with C behind it.

    Raises:
        RangeError: a label is negative or not below ``num_classes``.
        DTypeError: the labels are not integers.
        ArgumentError: ``num_classes`` is negative but not -1, or cannot be told without a label.
        GraphError: ``num_classes`` is not given on the meta device.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.one_hot(tg.tensor([2, 0])).tolist()
    [[0, 0, 1], [1, 0, 0]]
    """
    classes = as_int("one_hot", "num_classes", num_classes)
    values = [("input", input.shape)]
    if classes < -1:
        raise ArgumentError("one_hot", f"num_classes must be 0 or more, it is {classes}")
    if classes == -1:
        if isinstance(raw(input), Spec):
            raise GraphError(
                "one_hot",
                "the number of classes depends on the labels, which the meta device has not",
                repair="Give num_classes.",
            )
        if 0 in input.shape:
            raise ArgumentError(
                "one_hot",
                "without a label there is no number of classes to be told",
                values=values,
                repair="Give num_classes.",
                repairs=[{"num_classes": 1}],
            )
    _check_integers("one_hot", input, values)
    if classes == -1:
        with on_device_of(raw(input)):
            classes = max(int(raw(input).max()), 0) + 1
    labels = _index("one_hot", input, classes, values)
    every = arange(classes, device=input.device)
    return cast(reshape(labels, (*input.shape, 1)) == every, int64)


class Embedding(Op):
    """Rows of a table; ``share`` says how much of the gradient each of them gives back."""

    name = "embedding"
    equation = "y[k,:] = w[index[k],:]"
    gradients = {"weight": "dw[r,:] = sum of share[k] g[k,:] over all k with index[k] = r"}
    edges = "rows at padding_idx get no gradient"
    dtypes = "bool, integer, floating"
    inputs = ("weight", "index", "share")

    @staticmethod
    def infer(weight: Spec, index: Spec, share: Spec | None) -> Spec:
        return Spec((*index.shape, weight.shape[1]), weight.dtype)

    @staticmethod
    def forward(xp: Any, weight: Any, index: Any, share: Any) -> Any:
        return xp.take(xp.ascontiguousarray(weight), index, axis=0)

    @staticmethod
    def vjp_weight(g: Any, weight_shape: Shape, index: Any, share: Any) -> Any:
        return _embedding_grad(g, index, share, weight_shape[0])


class EmbeddingGrad(Op):
    """Adjoint of ``Embedding``: a table of zeros, with rows added where they came from."""

    name = "embedding_grad"
    equation = "y[r,:] = sum of share[k] x[k,:] over all k with index[k] = r"
    gradients = {"input": "dx[k,:] = share[k] g[index[k],:]"}
    edges = "what comes to one row is added in order; rows at padding_idx are 0"
    inputs = ("input", "index", "share")

    @staticmethod
    def infer(input: Spec, index: Spec, share: Spec | None, rows: int) -> Spec:
        return Spec((rows, input.shape[-1]), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, index: Any, share: Any, rows: int) -> Any:
        flat = xp.ascontiguousarray(input).reshape(index.size, input.shape[-1])
        if share is not None:
            weights = share.reshape(index.size, 1)
            flat = keep(xp, flat * weights, xp.broadcast_to(weights != 0, flat.shape))
        return sum_rows(xp, index.reshape(-1), flat, rows)

    @staticmethod
    def vjp_input(g: Any, index: Any, share: Any) -> Any:
        chosen = _embedding(g, index, None)
        if share is None:
            return chosen
        weights = reshape(share, (*share.shape, 1))
        return masked(chosen * weights, weights != 0)


_embedding, _embedding_grad = Embedding.call, EmbeddingGrad.call


def _share(weight: Any, index: Any, padding_idx: int | None, by_frequency: bool) -> Any:
    """How much of the gradient a row gives back; None for all of it."""
    if weight.dtype.kind != "f":
        return None
    share = None
    if padding_idx is not None:
        share = cast(index != padding_idx % weight.shape[0], weight.dtype)
    if by_frequency:
        one = ones(*index.shape, 1, dtype=weight.dtype, device=index.device)
        counts = _embedding(_embedding_grad(one, index, None, weight.shape[0]), index, None)
        counts = reshape(counts, index.shape)
        share = 1 / counts if share is None else share / counts
    return share


def _index(op: str, input: Any, rows: int, values: list[Any]) -> Any:
    """The integers as int64, each below ``rows``."""
    _check_integers(op, input, values)
    labels = raw(input)
    if not isinstance(labels, Spec):
        with on_device_of(labels):
            wrong = (labels < 0) | (labels >= rows)
            first = int(labels[wrong].reshape(-1)[0]) if wrong.any() else None
            room = int(labels.max()) + 1 if first is not None else rows
        if first is not None:
            raise RangeError(
                op,
                f"index {first} is out of range",
                law=[f"0 <= index < {rows}"],
                values=values,
                repair=_room_repair(op, room, rows),
            )
    return cast(input, int64)


def _room_repair(op: str, room: int, rows: int) -> str:
    """How many rows there must be; labels such as 255 or -100 often stand for no class at all."""
    if room <= rows:
        return "Indices begin with 0."
    if op == "one_hot":
        return f"Give num_classes={room} or more, or replace the labels that do not count."
    return f"Make the layer with num_embeddings={room} or more."


def _check_integers(op: str, input: Any, values: list[Any]) -> None:
    if input.dtype.kind not in "iu":
        raise DTypeError(
            op,
            f"the input must be integers, it is {input.dtype}",
            values=values,
            repair='Convert it with input.to("int64").',
        )
