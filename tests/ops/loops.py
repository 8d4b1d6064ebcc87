"""Naive loops that reductions and elementwise functions are compared with."""

from __future__ import annotations

import numpy as np


def along(function, dim, keepdim=False):
    """A function of a list of numbers, applied to every group that a reduction over dim makes."""

    def loop(x):
        dims = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
        dims = sorted(d % x.ndim for d in dims) if x.ndim else []
        rest = [d for d in range(x.ndim) if d not in dims]
        rows = np.transpose(x, rest + dims).reshape([x.shape[d] for d in rest] + [-1])
        out = np.zeros(rows.shape[:-1])
        for place in np.ndindex(out.shape):
            out[place] = function(rows[place].tolist())
        return np.expand_dims(out, dims) if keepdim else out

    return loop


def naive(function):
    """A function of one number, applied to each element."""

    def loop(x):
        out = np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            out[place] = function(float(x[place]))
        return out

    return loop
