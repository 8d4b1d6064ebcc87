"""Attention with several heads."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn import init
from tinygrad_cv.nn._arguments import positive
from tinygrad_cv.nn.linear import Linear
from tinygrad_cv.nn.module import Module
from tinygrad_cv.nn.parameter import blank
from tinygrad_cv.ops.creation import zeros
from tinygrad_cv.ops.expand import expand
from tinygrad_cv.ops.join import cat
from tinygrad_cv.ops.select import where

__all__ = ["MultiheadAttention"]


class NonDynamicallyQuantizableLinear(Linear):
    """A Linear layer under the name that PyTorch shows for the output of attention."""


class MultiheadAttention(Module):
    """Attention of several heads: queries, keys and values are projected, each head attends with
    its part of the features (:func:`~tinygrad_cv.nn.functional.scaled_dot_product_attention`), and
    the heads' results are projected together.

    Args:
        embed_dim: features E of queries and of the output, shared evenly among the heads.
        num_heads: H.
        dropout: probability to drop an attention weight in training.
        bias: whether the projections have one.
        add_bias_kv: a learned key and value more at the end.
        add_zero_attn: a key and value of zeros more at the end.
        kdim, vdim: features of keys and values; E if None.
        batch_first: inputs are [N, L, E] instead of [L, N, E].

    Its parameters have the names, shapes and initial distributions of PyTorch's.

    Source: Vaswani et al., "Attention is all you need" (2017).

    >>> import tinygrad_cv as tg
    >>> x = tg.randn(5, 2, 8)  # 5 tokens, 2 sequences
    >>> output, weights = tg.nn.MultiheadAttention(8, num_heads=2)(x, x, x)
    >>> output.shape, weights.shape
    ((5, 2, 8), (2, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = "MultiheadAttention"
        positive(name, embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            raise ArgumentError(
                name, f"embed_dim {embed_dim} cannot be shared evenly among {num_heads} heads"
            )
        if not 0 <= dropout <= 1:
            raise ArgumentError(name, f"dropout must be in [0, 1], it is {dropout}")
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        positive(name, kdim=self.kdim, vdim=self.vdim)
        self.batch_first, self.head_dim = batch_first, embed_dim // num_heads
        self.add_zero_attn = add_zero_attn

        together = self.kdim == self.vdim == embed_dim
        for key, width in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            part = None if together else blank((embed_dim, width), device, dtype)
            self.register_parameter(f"{key}_proj_weight", part)
        whole = blank((3 * embed_dim, embed_dim), device, dtype) if together else None
        self.register_parameter("in_proj_weight", whole)
        biases = blank((3 * embed_dim,), device, dtype) if bias else None
        self.register_parameter("in_proj_bias", biases)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias, device, dtype)
        for key in ("bias_k", "bias_v"):
            more = blank((1, 1, embed_dim), device, dtype) if add_bias_kv else None
            self.register_parameter(key, more)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        weights = (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        for weight in weights:
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """The output, and the attention weights or None.

        Args:
            query: [L, N, E], with ``batch_first`` [N, L, E], without a batch [L, E].
            key, value: the same with S and ``kdim``, ``vdim``.
            key_padding_mask: [N, S] ([S] without a batch), bool: True keys are not seen; or float,
                added to the scores.
            need_weights: return the weights too; without them a query that sees no key gets 0, with
                them NaN, as in PyTorch.
            attn_mask: [L, S] or [N * H, L, S], likewise.
            average_attn_weights: weights are the mean over the heads [N, L, S], or else
                [N, H, L, S].
            is_causal: a promise that ``attn_mask`` is the causal mask; it must be given all the
                same.

        Raises:
            ShapeError: the shapes do not fit.
            DTypeError: a mask is neither bool nor of the dtype of the query.
            ArgumentError: ``is_causal`` without ``attn_mask``.

        >>> import tinygrad_cv as tg
        >>> x = tg.ones(3, 4)  # without a batch
        >>> tg.nn.MultiheadAttention(4, 1)(x, x, x, need_weights=False)[1] is None
        True
        """
        if is_causal and attn_mask is None:
            raise ArgumentError(
                "MultiheadAttention",
                "is_causal only says what attn_mask is, which is missing",
                repair="Give attn_mask too: tg.ones(L, S, dtype='bool').triu(1).",
            )
        batched = self._check_inputs(query, key, value)
        if not batched:
            query, key, value = (x.unsqueeze(1) for x in (query, key, value))
            if key_padding_mask is not None and key_padding_mask.ndim == 1:
                key_padding_mask = key_padding_mask.unsqueeze(0)
        elif self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        steps, batch = query.shape[:2]
        mask = self._mask(query, key, key_padding_mask, attn_mask)
        q, k, v = (self._heads(x) for x in self._extended(*self._projected(query, key, value)))
        if mask is not None:
            mask = F.pad(mask, (0, k.shape[2] - key.shape[0]))  # what is added is seen
        p, weights = self.dropout if self.training else 0.0, None
        if need_weights:
            scores = (q * (1 / math.sqrt(self.head_dim))) @ k.transpose(2, 3)
            weights = F.softmax(scores if mask is None else scores + mask, dim=-1)
            weights = F.dropout(weights, p) if p else weights
            output = weights @ v
        else:
            output = F.scaled_dot_product_attention(q, k, v, mask, p)
        output = output.permute(2, 0, 1, 3).reshape(steps, batch, self.embed_dim)
        output = self.out_proj(output)
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            return output.squeeze(1), None if weights is None else weights.squeeze(0)
        return (output.transpose(0, 1) if self.batch_first else output), weights

    def _check_inputs(self, query: Any, key: Any, value: Any) -> bool:
        """True if there is a batch."""
        where_batch = 0 if self.batch_first else 1
        tensors = (("query", query), ("key", key), ("value", value))
        ranks = {x.ndim for _, x in tensors}
        problem = None
        if ranks not in ({2}, {3}):
            problem = "query, key and value must all have 3 axes, or 2 without a batch"
        elif [x.shape[-1] for _, x in tensors] != [self.embed_dim, self.kdim, self.vdim]:
            problem = f"features must be {self.embed_dim}, {self.kdim} and {self.vdim}"
        elif key.shape[:-1] != value.shape[:-1]:
            problem = "there must be as many keys as values"
        elif ranks == {3} and query.shape[where_batch] != key.shape[where_batch]:
            problem = "queries and keys have different batches"
        if problem is not None:
            values = [(name, x.shape) for name, x in tensors]
            raise ShapeError("MultiheadAttention", problem, values=values)
        return ranks == {3}

    def _projected(self, query: Any, key: Any, value: Any) -> list[Any]:
        size, bias = self.embed_dim, self.in_proj_bias
        parts = [slice(k * size, (k + 1) * size) for k in range(3)]
        weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        if self.in_proj_weight is not None:
            weights = [self.in_proj_weight[part] for part in parts]
        biases = [None if bias is None else bias[part] for part in parts]
        inputs = (query, key, value)
        return [F.linear(*each) for each in zip(inputs, weights, biases, strict=True)]

    def _extended(self, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        """Keys and values with what the options add at the end."""
        shape = (1, *key.shape[1:])
        if self.bias_k is not None:
            key = cat([key, expand(self.bias_k, shape)], 0)
            value = cat([value, expand(self.bias_v, shape)], 0)
        if self.add_zero_attn:
            nothing = zeros(shape, dtype=key.dtype, device=key.device)
            key, value = cat([key, nothing], 0), cat([value, nothing], 0)
        return query, key, value

    def _heads(self, x: Any) -> Any:
        """[L, N, E] -> [N, H, L, E / H]."""
        return x.reshape(*x.shape[:2], self.num_heads, self.head_dim).permute(1, 2, 0, 3)

    def _mask(self, query: Any, key: Any, padding: Any, mask: Any) -> Any:
        """What is added to the scores [N, H, L, S], or None."""
        length, batch, keys, heads = query.shape[0], query.shape[1], key.shape[0], self.num_heads
        total, first = None, not self.batch_first
        if mask is not None:
            fits = {2: (length, keys), 3: (batch * heads, length, keys)}
            total = _as_scores("attn_mask", mask, query, fits.get(mask.ndim, fits[2]), first)
            if mask.ndim == 3:
                total = total.reshape(batch, heads, length, keys)
            else:
                total = total.reshape(1, 1, length, keys)
        if padding is not None:
            unseen = _as_scores("key_padding_mask", padding, query, (batch, keys), first)
            unseen = unseen.reshape(batch, 1, 1, keys)
            total = unseen if total is None else total + unseen
        return total


def _as_scores(name: str, mask: Any, query: Any, shape: tuple[int, ...], length_first: bool) -> Any:
    """A mask as numbers to add: -inf where a bool one is True."""
    length, batch = query.shape[:2]
    if mask.shape != shape:
        raise ShapeError(
            "MultiheadAttention",
            f"{name} must be {shape}",
            values=[(name, mask.shape)],
            repair="The inputs are read as [L, N, E], length first: make the layer with "
            "batch_first=True for [N, L, E]."
            if length_first and mask.shape in ((batch, batch), (length, batch))
            else None,
        )
    if mask.dtype.kind == "b":
        nothing = zeros((), dtype=query.dtype, device=query.device)
        return where(mask, -math.inf, nothing)
    if mask.dtype != query.dtype:
        raise DTypeError(
            "MultiheadAttention",
            f"{name} must be bool or {query.dtype}, it is {mask.dtype}",
            repair=f"For a mask of numbers 0 and 1 use {name} != 0.",
        )
    return mask
