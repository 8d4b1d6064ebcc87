"""The bilinear forms behind Winograd's convolution: 3x3 kernels with fewer multiplications.

A tile of outputs depends on a tile of pixels. Both tile and kernel are transformed, multiplied
point by point, and the sums of products transformed back (S. Winograd, 1980; A. Lavin and S. Gray,
Fast algorithms for convolutional neural networks, 2016)::

    V = B^t d B     U = G w G^t     M[m] = sum V[v] U[u] over products (v, u, m)     Y = A^t M A

V[v] is [tiles, C], U[u] is [C, O], so each product is one of matrices over the channels. The four
forms, with the pixels and outputs of a tile and the multiplications per output (directly: 9, for
the last 2.25):

======  =========================  ======  =======  ===============
form    computes                   pixels  outputs  multiplications
======  =========================  ======  =======  ===============
NEAR2   stride 1                   4 x 4   2 x 2    4
NEAR4   stride 1                   6 x 6   4 x 4    2.25
APART   stride 2                   9 x 9   4 x 4    5.06
SPREAD  input gradient, stride 2   5 x 5   8 x 8    1.27
======  =========================  ======  =======  ===============

Stride 1 is the algorithm F(m, 3) in both dimensions, where v = u = m. With stride 2, even pixels
meet the outer taps only, which is F(4, 2) with five points; odd pixels meet the middle tap, which
is F(4, 2) with a kernel (w, 0). Its product at infinity is 0, and up to a scale, which V bears, it
has the same U = w at the four other points. So 9 x 9 points of V meet 6 x 6 of U, and what belongs
to the same point is added up before it is transformed back: 5 x 5 points of M. SPREAD turns this
round: the outputs of a tile begin with odd pixels.

Points are all +a and -a, which share work (``transform``), and infinity; for F(2, 3) and F(4, 3)
also 0. Those with a b = 1 or 1/2 round several times less than 0, +-1, +-2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinygrad_cv.backend.cpu.compiled.transform import separable
from tinygrad_cv.backend.cpu.compiling import routine

__all__ = ["APART", "FORMS", "IN", "NEAR2", "NEAR4", "OUT", "SPREAD", "STEP", "U_SIDE", "V_SIDE"]
__all__ += ["M_SIDE", "enter", "gather", "read", "spread", "write"]

NEAR2, NEAR4, APART, SPREAD = range(4)


class Form(NamedTuple):
    """Matrices for one dimension, in which tiles lie ``step`` pixels apart; the products have
    rows (v, u, m, the first row with the same target), in order of u or of m, the target."""

    bt: np.ndarray
    g: np.ndarray
    at: np.ndarray
    step: int
    by_u: np.ndarray
    by_m: np.ndarray


def toom_cook(
    points: tuple[float, ...], m: int, r: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B^t [n, n], G [n, r], A^t [m, n]) of F(m, r), n = m + r - 1, for the points and infinity."""
    at_points, n = np.array(points), m + r - 1

    def powers(count: int) -> np.ndarray:
        finite = np.vander(at_points, count, increasing=True)
        return np.vstack([finite, np.eye(1, count, count - 1)])

    differences = [np.prod([a - b for b in points if b != a]) for a in points]
    scale = np.array([*differences, 1.0])[:, None]
    g, bt = powers(r) / scale, np.linalg.inv(powers(n)).T * scale
    bt[abs(bt) < 1e-12] = 0
    # Rows of G and B may trade factors; powers of two that balance them cost no accuracy.
    balance = 2.0 ** np.round(np.log2(np.sqrt(abs(bt).sum(1) / abs(g).sum(1))))[:, None]
    return bt / balance, g * balance, powers(m).T


def _products(*sides: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The products in two dimensions, in both orders, from rows (v, u, m) in one."""
    lines = np.column_stack(sides)
    rows = np.reshape(lines[:, None] * (lines.max(0) + 1) + lines[None], (-1, 3))
    orders = []
    for target in (1, 2):
        order = rows[np.argsort(rows[:, target], kind="stable")]
        first = np.searchsorted(order[:, target], order[:, target])
        orders.append(np.ascontiguousarray(np.column_stack([order, first]), np.int64))
    return orders[0], orders[1]


def _near(points: tuple[float, ...], m: int) -> Form:
    same = list(range(m + 2))
    return Form(*toom_cook(points, m, 3), m, *_products(same, same, same))


def _two_apart(spread: bool) -> Form:
    """``spread`` for the input gradient."""
    bt, ends, at = toom_cook((1.25, -1.25, 0.4, -0.4), 4, 2)
    g, scale = np.zeros((6, 3)), ends[:4, 0]  # of the kernel (w, 0)
    g[:5, ::2], g[5, 1] = ends, 1
    all_points, of_u, of_odd = (
        list(range(9)),
        [0, 1, 2, 3, 4, 5, 5, 5, 5],
        [0, 1, 2, 3, 4, 0, 1, 2, 3],
    )
    if spread:
        back = np.zeros((8, 9))
        back[1::2, :5], back[::2, 5:] = at, at[:, :4] * scale
        return Form(bt, g, back, 4, *_products(of_odd, of_u, all_points))
    forth = np.zeros((9, 9))
    forth[:5, ::2], forth[5:, 1::2] = bt, bt[:4, :4] * scale[:, None]
    return Form(forth, g, at, 8, *_products(all_points, of_u, of_odd))


FORMS = (
    _near((0.0, 1.0, -1.0), 2),
    _near((0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)), 4),
    _two_apart(spread=False),
    _two_apart(spread=True),
)
# By form, in one dimension: pixels and outputs of a tile, pixels from tile to tile, and points.
IN = tuple(form.bt.shape[1] for form in FORMS)
OUT = tuple(form.at.shape[0] for form in FORMS)
STEP = tuple(form.step for form in FORMS)
V_SIDE = tuple(form.bt.shape[0] for form in FORMS)
U_SIDE = tuple(form.g.shape[0] for form in FORMS)
M_SIDE = tuple(form.at.shape[1] for form in FORMS)

# By form, as functions without a closure: only their machine code is found on disk again.
_BS = separable([form.bt for form in FORMS])
_AS = separable([form.at for form in FORMS], checked=True)
_GS = separable([form.g for form in FORMS])
_GS_ROTATED = separable([form.g for form in FORMS], flip=True)
_AS_BACK = separable([form.at.T for form in FORMS[:SPREAD]])  # SPREAD has no weight gradient
_GS_BACK = separable([form.g.T for form in FORMS[:SPREAD]])


@routine
def read(
    form: int,
    source: int,
    row: int,
    column: int,
    target: int,
    target_row: int,
    target_column: int,
    channels: int,
) -> None:
    """B^t d B."""
    _BS(form, source, row, column, target, target_row, target_column, channels)


@routine
def write(
    form: int,
    source: int,
    row: int,
    column: int,
    target: int,
    target_row: int,
    target_column: int,
    channels: int,
    spoilt: int,
) -> None:
    """A^t M A. Adds the sum of the results times 0 to the float at ``spoilt``."""
    _AS(form, source, row, column, target, target_row, target_column, channels, spoilt)


@routine
def enter(
    form: int,
    backward: int,
    source: int,
    row: int,
    column: int,
    target: int,
    target_row: int,
    target_column: int,
    channels: int,
) -> None:
    """G w G^t; with ``backward`` of the kernel rotated by 180 degrees, as SPREAD always is."""
    if form == SPREAD or (backward and form != APART):
        _GS_ROTATED(form, source, row, column, target, target_row, target_column, channels)
    else:
        _GS(form, source, row, column, target, target_row, target_column, channels)


@routine
def spread(
    form: int,
    source: int,
    row: int,
    column: int,
    target: int,
    target_row: int,
    target_column: int,
    channels: int,
) -> None:
    """A dY A^t, not for SPREAD."""
    _AS_BACK(form, source, row, column, target, target_row, target_column, channels)


@routine
def gather(
    form: int,
    source: int,
    row: int,
    column: int,
    target: int,
    target_row: int,
    target_column: int,
    channels: int,
) -> None:
    """G^t dU G, not for SPREAD."""
    _GS_BACK(form, source, row, column, target, target_row, target_column, channels)
