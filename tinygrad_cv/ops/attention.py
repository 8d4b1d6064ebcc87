"""Attention: a mean of values, weighted by how well their keys fit a query."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._broadcast import common_shape
from tinygrad_cv.ops._pair_loss import check_floats, check_number
from tinygrad_cv.ops.creation import arange
from tinygrad_cv.ops.dropout import dropout
from tinygrad_cv.ops.layout import contiguous
from tinygrad_cv.ops.linalg import matmul
from tinygrad_cv.ops.logic import any as any_of
from tinygrad_cv.ops.logic import logical_not
from tinygrad_cv.ops.masking import masked_fill, repeat_interleave
from tinygrad_cv.ops.select import where
from tinygrad_cv.ops.shape import reshape, transpose
from tinygrad_cv.ops.softmax import softmax

__all__ = ["scaled_dot_product_attention"]

NN_FUNCTIONS = tuple(__all__)
TENSOR_ARGUMENTS = ("query", "key", "value", "attn_mask")


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """``softmax(scale * Q K^T + mask) V``, the softmax over the keys of each query.

    Args:
        query: [..., L, E], float.
        key: [..., S, E].
        value: [..., S, D]; what stands in front (batch, heads) broadcasts.
        attn_mask: broadcasts to [..., L, S]: bool, True where a query may see a key; or float,
            added to the scores.
        dropout_p: the probability to drop a weight, always applied; 0 in evaluation.
        is_causal: query i sees the keys 0 ... i; not together with ``attn_mask``.
        scale: 1 / sqrt(E) if None.
        enable_gqa: keys and values have fewer heads (axis -3) than queries; each serves
            several in a row.

    Returns:
        [..., L, D].

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the dtypes differ, are not float, or the mask's is neither bool nor theirs.
        ArgumentError: both a mask and ``is_causal``, or a probability outside [0, 1].

    Edge rules: a query that may see no key gets zeros, and its gradient is 0.

    Source: Vaswani et al., "Attention is all you need" (2017).

    >>> import tinygrad_cv as tg
    >>> q, k = tg.tensor([[100.0, 0.0]]), tg.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> v = tg.tensor([[5.0], [7.0]])
    >>> tg.nn.functional.scaled_dot_product_attention(q, k, v).tolist()
    [[5.0]]
    """
    op = "scaled_dot_product_attention"
    check_floats(op, query=query, key=key, value=value)
    shapes = _checked(op, query, key, value, enable_gqa)
    if enable_gqa:
        key, value = (_repeated(x, query.shape[-3]) for x in (key, value))
    factor = (
        1 / math.sqrt(query.shape[-1] or 1) if scale is None else check_number(op, "scale", scale)
    )
    scores = matmul(query * factor, transpose(key, -2, -1))
    blind = None
    if attn_mask is not None:
        if is_causal:
            raise ArgumentError(
                op,
                "attn_mask and is_causal cannot be given together",
                values=shapes,
                repair="Put the causal mask into attn_mask, or leave it out.",
                repairs=[{"attn_mask": None}, {"is_causal": False}],
            )
        scores, blind = _with_mask(op, scores, attn_mask, query)
    elif is_causal:
        rows, columns = (arange(n, device=query.device) for n in scores.shape[-2:])
        scores = masked_fill(scores, reshape(rows, (-1, 1)) < columns, -math.inf)
    weights = softmax(scores, -1)
    if blind is not None:
        weights = masked_fill(weights, blind, 0.0)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    return matmul(weights, value)


def _with_mask(op: str, scores: Any, mask: Any, query: Any) -> tuple[Any, Any]:
    """The masked scores, and which queries see no key; the scores of these stay finite, so that
    nothing of theirs becomes NaN."""
    values = [("scores", scores.shape, "[..., L, S]"), ("attn_mask", mask.shape)]
    if mask.dtype.kind != "b" and mask.dtype != query.dtype:
        raise DTypeError(
            op,
            f"attn_mask must be bool or {query.dtype}, it is {mask.dtype}",
            values=values,
            repair="A mask of numbers 0 and 1: use attn_mask != 0.",
        )
    if common_shape(op, **{"the scores": scores, "attn_mask": mask})[-2:] != scores.shape[-2:]:
        raise ShapeError(op, "attn_mask does not broadcast to the scores", values=values)
    mask = contiguous(mask if mask.shape else reshape(mask, (1,)))
    if mask.dtype.kind == "b":
        blind = logical_not(any_of(mask, -1, True))
        scores = masked_fill(scores, logical_not(mask), -math.inf)
        return masked_fill(scores, blind, 0.0), blind
    blind = logical_not(any_of(mask != -math.inf, -1, True))
    return scores + where(blind, 0.0, mask), blind


def _checked(op: str, query: Any, key: Any, value: Any, grouped: bool) -> list[Any]:
    """The rows of an error; raises one if the shapes do not fit."""
    values = [
        ("query", query.shape, "[..., L, E]"),
        ("key", key.shape, "[..., S, E]"),
        ("value", value.shape, "[..., S, D]"),
    ]
    problem = None
    if min(len(x.shape) for x in (query, key, value)) < 2:
        problem = "query, key and value need two axes at least"
    elif query.shape[-1] != key.shape[-1]:
        problem = f"queries have {query.shape[-1]} features, keys {key.shape[-1]}"
    elif key.shape[-2] != value.shape[-2]:
        problem = f"there are {key.shape[-2]} keys, but {value.shape[-2]} values"
    elif grouped:
        heads = [x.shape[-3] if len(x.shape) > 2 else 0 for x in (query, key, value)]
        if 0 in heads or any(heads[0] % n for n in heads):
            problem = f"{heads[0]} heads of queries are no multiple of {heads[1]} and {heads[2]}"
    if problem is None:
        try:
            np.broadcast_shapes(*(x.shape[: -3 if grouped else -2] for x in (query, key, value)))
        except ValueError:
            problem = "the axes in front (batch, heads) do not broadcast"
    if problem is not None:
        raise ShapeError(op, problem, values=values)
    return values


def _repeated(x: Any, heads: int) -> Any:
    return x if x.shape[-3] == heads else repeat_interleave(x, heads // x.shape[-3], -3)
