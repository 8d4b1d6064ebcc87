# Written by tools/stubs.py; do not edit.
from tinygrad_cv import autograd as autograd
from tinygrad_cv import cli as cli
from tinygrad_cv import data as data
from tinygrad_cv import func as func
from tinygrad_cv import io as io
from tinygrad_cv import models as models
from tinygrad_cv import nn as nn
from tinygrad_cv import optim as optim
from tinygrad_cv import profiler as profiler
from tinygrad_cv import testing as testing
from tinygrad_cv import utils as utils
from tinygrad_cv import viz as viz
from tinygrad_cv._version import __version__ as __version__
from tinygrad_cv.autograd.modes import enable_grad as enable_grad
from tinygrad_cv.autograd.modes import no_grad as no_grad
from tinygrad_cv.autograd.modes import set_grad_enabled as set_grad_enabled
from tinygrad_cv.backend import memory as memory
from tinygrad_cv.backend.array import Device as device
from tinygrad_cv.backend.array import cuda_is_available as cuda_is_available
from tinygrad_cv.backend.array import default_device as default_device
from tinygrad_cv.backend.array import set_default_device as set_default_device
from tinygrad_cv.backend.cpu.threads import get_num_threads as get_num_threads
from tinygrad_cv.backend.cpu.threads import set_num_threads as set_num_threads
from tinygrad_cv.backend.dtypes import bool_ as bool_
from tinygrad_cv.backend.dtypes import float32 as float32
from tinygrad_cv.backend.dtypes import float64 as float64
from tinygrad_cv.backend.dtypes import get_default_dtype as get_default_dtype
from tinygrad_cv.backend.dtypes import int16 as int16
from tinygrad_cv.backend.dtypes import int32 as int32
from tinygrad_cv.backend.dtypes import int64 as int64
from tinygrad_cv.backend.dtypes import int8 as int8
from tinygrad_cv.backend.dtypes import set_default_dtype as set_default_dtype
from tinygrad_cv.backend.dtypes import uint8 as uint8
from tinygrad_cv.backend.precision import get_convolution_precision as get_convolution_precision
from tinygrad_cv.backend.precision import set_convolution_precision as set_convolution_precision
from tinygrad_cv.backend.random import Generator as Generator
from tinygrad_cv.backend.random import default_generator as default_generator
from tinygrad_cv.backend.random import manual_seed as manual_seed
from tinygrad_cv.core.mode import is_grad_enabled as is_grad_enabled
from tinygrad_cv.core.tensor import Tensor as Tensor
from tinygrad_cv.errors import ArgumentError as ArgumentError
from tinygrad_cv.errors import BackendError as BackendError
from tinygrad_cv.errors import DTypeError as DTypeError
from tinygrad_cv.errors import DataError as DataError
from tinygrad_cv.errors import GraphError as GraphError
from tinygrad_cv.errors import RangeError as RangeError
from tinygrad_cv.errors import ShapeError as ShapeError
from tinygrad_cv.errors import TinygradError as TinygradError
from tinygrad_cv.ops._served import kernels as kernels
from tinygrad_cv.ops._served import register_kernel as register_kernel
from tinygrad_cv.ops._served import use_kernels as use_kernels
from tinygrad_cv.ops.broadcasting import Shape
from tinygrad_cv.profiler import profile as profile
from typing import Any
import tinygrad_cv.backend.random as random

def abs(input: Any) -> Tensor:
    """The absolute value; its gradient at 0 is 0."""
def absolute(input: Any) -> Tensor:
    """The absolute value; its gradient at 0 is 0."""
def acos(input: Any) -> Tensor:
    """The angle in [0, pi] whose cosine is the input; NaN outside [-1, 1]."""
def acosh(input: Any) -> Tensor:
    """The inverse of the hyperbolic cosine, not negative; NaN below 1."""
def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``input + alpha * other``, element by element."""
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * sum_n batch1[n] @ batch2[n]``; the input broadcasts."""
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``, element by element."""
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``, element by element."""
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``; the input broadcasts."""
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)`` of a matrix [I, K] and a vector [K]; the ..."""
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * outer(vec1, vec2)``; the input broadcasts."""
def adjoint(input: Any) -> Tensor:
    """The last two axes exchanged: the transpose of each matrix of a batch."""
def all(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: Any = None,
) -> Tensor:
    """True where every element along ``dim`` (default: all axes) is nonzero; of no ..."""
def allclose(
    input: Any,
    other: Any,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> bool:
    """True if all elements are close in the sense of ``isclose``; a Python bool."""
def amax(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The largest element over the axes ``dim``: ``y[j] = max_i input[i, j]``; NaN if ..."""
def amin(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The smallest element over the axes ``dim``; otherwise as ``amax``."""
def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """``(amin, amax)`` as a named tuple ``(min, max)``."""
def any(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: Any = None,
) -> Tensor:
    """True where some element along ``dim`` (default: all axes) is nonzero; of no ..."""
def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``start, start + step, ...`` up to, not including, ``end``; ``arange(n)`` counts ..."""
def arccos(input: Any) -> Tensor:
    """The angle in [0, pi] whose cosine is the input; NaN outside [-1, 1]."""
def arccosh(input: Any) -> Tensor:
    """The inverse of the hyperbolic cosine, not negative; NaN below 1."""
def arcsin(input: Any) -> Tensor:
    """The angle in [-pi/2, pi/2] whose sine is the input; NaN outside [-1, 1]."""
def arcsinh(input: Any) -> Tensor:
    """The inverse of the hyperbolic sine."""
def arctan(input: Any) -> Tensor:
    """The angle in (-pi/2, pi/2) whose tangent is the input."""
def arctan2(input: Any, other: Any) -> Tensor:
    """The angle in [-pi, pi] of the point with ordinate ``input`` and abscissa ..."""
def arctanh(input: Any) -> Tensor:
    """The inverse of the hyperbolic tangent; infinite at -1 and 1, NaN outside."""
def argmax(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Where the largest element stands, int64: along ``dim``, or without it in the ..."""
def argmin(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Where the smallest element stands; otherwise as ``argmax``."""
def argsort(
    input: Any,
    dim: Any = -1,
    descending: bool = False,
    stable: bool = False,
    *,
    axis: Any = None,
) -> Tensor:
    """The positions that would bring the elements along ``dim`` in order; arguments as ..."""
def argwhere(input: Any) -> Tensor:
    """:func:`nonzero` under NumPy's name."""
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` as a tensor: itself if it is one that fits, else a tensor that shares ..."""
def asin(input: Any) -> Tensor:
    """The angle in [-pi/2, pi/2] whose sine is the input; NaN outside [-1, 1]."""
def asinh(input: Any) -> Tensor:
    """The inverse of the hyperbolic sine."""
def atan(input: Any) -> Tensor:
    """The angle in (-pi/2, pi/2) whose tangent is the input."""
def atan2(input: Any, other: Any) -> Tensor:
    """The angle in [-pi, pi] of the point with ordinate ``input`` and abscissa ..."""
def atanh(input: Any) -> Tensor:
    """The inverse of the hyperbolic tangent; infinite at -1 and 1, NaN outside."""
def atleast_1d(*tensors: Any) -> Tensor:
    """Each tensor with at least 1 axis: one, or a tuple of several."""
def atleast_2d(*tensors: Any) -> Tensor:
    """Each tensor with at least 2 axes; a vector becomes a row [1, N]."""
def atleast_3d(*tensors: Any) -> Tensor:
    """Each tensor with at least 3 axes; a vector becomes [1, N, 1], a matrix [M, N, 1]."""
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * bmm(batch1, batch2)``; the input broadcasts."""
def bernoulli(input: Any, *, generator: random.Generator | None = None) -> Tensor:
    """1 with the probability that ``input`` gives for each element, else 0; no gradient ..."""
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 on stands in a vector, or the sums of the weights ..."""
def bitwise_and(input: Any, other: Any) -> Tensor:
    """Bit by bit and, of integers; of bool it is the logical and."""
def bitwise_left_shift(input: Any, other: Any) -> Tensor:
    """Integers with their bits moved up: ``input * 2^other``, without what leaves the ..."""
def bitwise_not(input: Any) -> Tensor:
    """Bit by bit not, of integers (``-x - 1`` when signed); of bool it is the logical not."""
def bitwise_or(input: Any, other: Any) -> Tensor:
    """Bit by bit or, of integers; of bool it is the logical or."""
def bitwise_right_shift(input: Any, other: Any) -> Tensor:
    """Integers with their bits moved down: ``floor(input / 2^other)``. A distance that ..."""
def bitwise_xor(input: Any, other: Any) -> Tensor:
    """Bit by bit exclusive or, of integers; of bool it is the logical one."""
def block_diag(*tensors: Any) -> Tensor:
    """The matrices on the diagonal of a matrix of zeros, each right below the one before."""
def bmm(input: Any, mat2: Any) -> Tensor:
    """Products of two batches of matrices [N, I, K] and [N, K, J]; nothing is broadcast."""
def broadcast_shapes(*shapes: Any) -> Shape:
    """The shape that tensors of these shapes broadcast to. Sizes are aligned at the last ..."""
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """The tensors expanded to their common shape."""
def broadcast_to(input: Any, shape: Any) -> Tensor:
    """The input expanded to ``shape``, as NumPy's function of this name."""
def bucketize(
    input: Any,
    boundaries: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
) -> Tensor:
    """The number of the bin between ascending boundaries in which each value lies."""
def cartesian_prod(*tensors: Any) -> Tensor:
    """All ways to take one element of each vector, the last one changing fastest: [N_0 ..."""
def cat(tensors: Any, dim: int = 0, axis: Any = None) -> Tensor:
    """Tensors one after the other along axis ``dim``; all other sizes must agree."""
def cdist(
    x1: Any,
    x2: Any,
    p: float = 2.0,
    compute_mode: str = 'use_mm_for_euclid_dist_if_necessary',
) -> Tensor:
    """The p-norm distances of all pairs of rows: ``y[..., i, j] = |x1[..., i, :] - ..."""
def ceil(input: Any) -> Tensor:
    """The smallest integer that is not below the input; integers stay as they are. Its ..."""
def channel_shuffle(input: Any, groups: int) -> Tensor:
    """The channels of all groups mixed: the first of every group, then the second of ..."""
def chunk(input: Any, chunks: int, dim: int = 0) -> Tensor:
    """At most ``chunks`` views of equal size along ``dim``; the last may be smaller."""
def clamp(input: Any, min: Any = None, max: Any = None) -> Tensor:
    """``min(max(input, min), max)``, element by element: values outside [min, max] move ..."""
def clamp_max(input: Any, max: Any) -> Tensor:
    """``clamp`` with an upper bound only."""
def clamp_min(input: Any, min: Any) -> Tensor:
    """``clamp`` with a lower bound only."""
def clip(input: Any, min: Any = None, max: Any = None) -> Tensor:
    """NumPy's name of ``clamp``."""
def clone(input: Any) -> Tensor:
    """A copy in memory of its own, in the same order; the gradient passes through."""
def column_stack(tensors: Any) -> Tensor:
    """Joined along axis 1; a vector [N] counts as a column [N, 1]."""
def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All ways to take ``r`` elements of a vector, in their order: [C, r]."""
def concat(tensors: Any, dim: int = 0, axis: Any = None) -> Tensor:
    """Another name of :func:`cat`."""
def concatenate(tensors: Any, dim: int = 0, axis: Any = None) -> Tensor:
    """NumPy's name of :func:`cat`."""
def copysign(input: Any, other: Any) -> Tensor:
    """The size of the input with the sign of the other, that of a zero included. The ..."""
def cos(input: Any) -> Tensor:
    """The cosine."""
def cosh(input: Any) -> Tensor:
    """The hyperbolic cosine."""
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-08) -> Tensor:
    """The cosine of the angle between vectors: ``sum_i a_i b_i / (max(|a|, eps) max(|b|, ..."""
def count_nonzero(input: Any, dim: Any = None, *, axis: Any = None) -> Tensor:
    """How many elements are not 0, int64: of all, or over the axes ``dim``. NaN is not 0."""
def cross(input: Any, other: Any, dim: Any = None, *, axis: Any = None) -> Tensor:
    """The cross product of vectors of 3 along ``dim``; the other axes broadcast."""
def cummax(input: Any, dim: Any = None, *, axis: Any = None) -> Tensor:
    """The largest element up to each place along ``dim``, and where it stands."""
def cummin(input: Any, dim: Any = None, *, axis: Any = None) -> Tensor:
    """The smallest element up to each place along ``dim``; otherwise as ``cummax``."""
def cumprod(input: Any, dim: Any = None, *, dtype: Any = None, axis: Any = None) -> Tensor:
    """Running products along ``dim``: ``y[i] = prod_{k<=i} input[k]``; arguments as ..."""
def cumsum(input: Any, dim: Any = None, *, dtype: Any = None, axis: Any = None) -> Tensor:
    """Running sums along ``dim``: ``y[i] = sum_{k<=i} input[k]``."""
def deg2rad(input: Any) -> Tensor:
    """Angles in radians from degrees, ``input * pi / 180``; integers become the default ..."""
def diag(input: Any, diagonal: int = 0) -> Tensor:
    """A matrix with the vector on its diagonal, or the diagonal of a matrix."""
def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last axis laid on the diagonal of new planes ``dim1``, ``dim2``, zeros elsewhere."""
def diagflat(input: Any, offset: int = 0) -> Tensor:
    """The elements, read row by row, on the diagonal of a matrix of zeros."""
def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of the planes spanned by two axes: ``y[..., i] = x[.. i .. i + offset ..."""
def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of the input with ``src`` on the diagonal that ``diagonal`` reads."""
def diff(
    input: Any,
    n: int = 1,
    dim: int = -1,
    prepend: Any = None,
    append: Any = None,
    *,
    axis: Any = None,
) -> Tensor:
    """The differences of neighbours along ``dim``, ``n`` times: ``y[i] = x[i + 1] - x[i]``."""
def digamma(input: Any) -> Tensor:
    """The derivative of ``lgamma``; infinite at 0, NaN at -1, -2, ..."""
def dist(input: Any, other: Any, p: float = 2) -> Tensor:
    """The p-norm of ``input - other``, a 0-d tensor; the two broadcast."""
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``, element by element; integers give floats unless the quotient is ..."""
def divide(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``, element by element; integers give floats unless the quotient is ..."""
def dot(input: Any, tensor: Any) -> Tensor:
    """Inner product of two vectors [K]: ``sum_k a[k] * b[k]``."""
def dsplit(input: Any, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Cut along axis 2 into equal parts, or at the given positions."""
def dstack(tensors: Any) -> Tensor:
    """Joined along axis 2; a matrix [N, M] counts as [N, M, 1], a vector [N] as [1, N, 1]."""
def einsum(equation: str, *operands: Any) -> Tensor:
    """Sum of products over named axes: ``einsum("ik,kj->ij", a, b)`` is the matrix product."""
def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of the given sizes whose values are undefined."""
def empty_like(
    input: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Undefined values, of the shape, dtype, device and memory order of ``input``."""
def eq(input: Any, other: Any) -> Tensor:
    """``input == other``, element by element, in their common dtype; NaN equals nothing."""
def equal(input: Any, other: Any) -> bool:
    """True if both have the same shape and the same elements; a Python bool."""
def erf(input: Any) -> Tensor:
    """The error function: 2/sqrt(pi) times the integral of ``exp(-t^2)`` from 0 to x."""
def erfc(input: Any) -> Tensor:
    """The complement of the error function, ``1 - erf(x)``, which keeps its digits for ..."""
def erfinv(input: Any) -> Tensor:
    """The inverse of the error function; infinite at -1 and 1, NaN outside."""
def exp(input: Any) -> Tensor:
    """The exponential function."""
def exp2(input: Any) -> Tensor:
    """Two to the power of the input."""
def expm1(input: Any) -> Tensor:
    """``exp(x) - 1``, exact for small x too."""
def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The matrix [n, m] (m is n by default) with ones on the main diagonal and zeros ..."""
def fix(input: Any) -> Tensor:
    """The input without its fraction: rounded towards 0. Its gradient is 0."""
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes ``start_dim`` to ``end_dim`` (included) as one; a 0-d tensor becomes 1-d."""
def flip(input: Any, dims: Any = None, axis: Any = None) -> Tensor:
    """The order of the elements reversed along ``dims`` (None: along all axes). A copy."""
def fliplr(input: Any) -> Tensor:
    """Reversed along axis 1: an image [H, W] mirrored left to right."""
def flipud(input: Any) -> Tensor:
    """Reversed along axis 0: an image [H, W] turned upside down."""
def float_power(input: Any, exponent: Any) -> Tensor:
    """``input ** exponent`` in float64, whatever the dtypes are: integers to a negative ..."""
def floor(input: Any) -> Tensor:
    """The largest integer that is not above the input; integers stay as they are. Its ..."""
def floor_divide(input: Any, other: Any) -> Tensor:
    """The quotient rounded down, ``floor(input / other)``; of integers an integer. Its ..."""
def fmod(input: Any, other: Any) -> Tensor:
    """``input - trunc(input / other) * other``: what is left, with the sign of ..."""
def frac(input: Any) -> Tensor:
    """The fraction of the input, with its sign: ``x - trunc(x)``. Its gradient is 1."""
def from_numpy(ndarray: Any) -> Tensor:
    """A tensor that shares memory with a NumPy array."""
def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor with the same value everywhere; its dtype follows the value."""
def full_like(
    input: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One value everywhere, of the shape, dtype, device and memory order of ``input``."""
def gather(input: Any, dim: int, index: Any) -> Tensor:
    """``y[i][j] = x[index[i][j]][j]`` for dim 0, ``x[i][index[i][j]]`` for dim 1, and so on."""
def ge(input: Any, other: Any) -> Tensor:
    """``input >= other``, element by element; False where either is NaN."""
def ger(input: Any, vec2: Any) -> Tensor:
    """Another name of ``outer``."""
def greater(input: Any, other: Any) -> Tensor:
    """``input > other``, element by element; False where either is NaN."""
def greater_equal(input: Any, other: Any) -> Tensor:
    """``input >= other``, element by element; False where either is NaN."""
def gt(input: Any, other: Any) -> Tensor:
    """``input > other``, element by element; False where either is NaN."""
def hardshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """``x`` where x > lambd or x < -lambd, else 0; its gradient at the bounds is 0."""
def heaviside(input: Any, values: Any) -> Tensor:
    """The unit step: 0 below 0 and for NaN, 1 above, and ``values`` at 0, which get the ..."""
def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements lie in each of ``bins`` parts of [min, max] of equal width."""
def hsplit(input: Any, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Cut along axis 1 (vectors: axis 0) into equal parts, or at the given positions."""
def hstack(tensors: Any) -> Tensor:
    """Joined along axis 1 (columns); vectors along axis 0."""
def hypot(input: Any, other: Any) -> Tensor:
    """The length of the hypotenuse, ``sqrt(input^2 + other^2)``, without overflow on the ..."""
def i0(input: Any) -> Tensor:
    """The modified Bessel function of the first kind of order 0, as in the Kaiser window."""
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Tensor:
    """The input plus ``alpha * source``, slice k of ``source`` added at position ..."""
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Tensor:
    """A copy of the input, with slice k of ``source`` written at position ``index[k]``."""
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Tensor:
    """A copy of the input, with ``value`` in the slices of axis ``dim`` at the positions ..."""
def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """A copy of the input with ``values`` at ``x[indices]``; the values are broadcast ..."""
def index_reduce(
    input: Any,
    dim: int,
    index: Any,
    source: Any,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """The input with slice k of ``source`` reduced into position ``index[k]`` of axis ..."""
def index_select(input: Any, dim: int, index: Any) -> Tensor:
    """The slices of axis ``dim`` at the positions ``index`` (a vector, or one number)."""
def inner(input: Any, other: Any) -> Tensor:
    """Sum of products over the last axis of both: ``y[i.., j..] = sum_k a[i.., k] * ..."""
def inverse(input: Any) -> Tensor:
    """The inverse of each matrix of [..., N, N]."""
def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a Tensor."""
def isclose(
    input: Any,
    other: Any,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> Tensor:
    """``|input - other| <= atol + rtol * |other|``, element by element; equal infinities ..."""
def isfinite(input: Any) -> Tensor:
    """True where the input is neither NaN nor infinite."""
def isin(
    elements: Any,
    test_elements: Any,
    *,
    assume_unique: bool = False,
    invert: bool = False,
) -> Tensor:
    """True for each of ``elements`` that stands in ``test_elements``, False for the others."""
def isinf(input: Any) -> Tensor:
    """True where the input is infinite, of either sign."""
def isnan(input: Any) -> Tensor:
    """True where the input is NaN."""
def isneginf(input: Any) -> Tensor:
    """True where the input is -inf."""
def isposinf(input: Any) -> Tensor:
    """True where the input is inf."""
def kron(input: Any, other: Any) -> Tensor:
    """The Kronecker product: each element of the input times the whole of ``other``, as ..."""
def kthvalue(
    input: Any,
    k: int,
    dim: int = -1,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The ``k``-th smallest element along ``dim``, counted from 1, and its position."""
def ldexp(input: Any, other: Any) -> Tensor:
    """``input * 2^other``, exact for whole ``other``; integers become the default float ..."""
def le(input: Any, other: Any) -> Tensor:
    """``input <= other``, element by element; False where either is NaN."""
def lerp(input: Any, end: Any, weight: Any) -> Tensor:
    """Linear interpolation: ``input + weight * (end - input)``."""
def less(input: Any, other: Any) -> Tensor:
    """``input < other``, element by element; False where either is NaN."""
def less_equal(input: Any, other: Any) -> Tensor:
    """``input <= other``, element by element; False where either is NaN."""
def lgamma(input: Any) -> Tensor:
    """The logarithm of the absolute value of the gamma function; inf at 0, -1, -2, ..."""
def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` values at equal distances from ``start`` to ``end``, both included."""
def log(input: Any) -> Tensor:
    """The natural logarithm; -inf at 0, NaN below."""
def log10(input: Any) -> Tensor:
    """The logarithm to the base 10; -inf at 0, NaN below."""
def log1p(input: Any) -> Tensor:
    """``ln(1 + x)``, exact for small x too; -inf at -1, NaN below."""
def log2(input: Any) -> Tensor:
    """The logarithm to the base 2; -inf at 0, NaN below."""
def log_softmax(
    input: Any,
    dim: int | None = None,
    *,
    dtype: Any = None,
    axis: Any = None,
) -> Tensor:
    """``x_i - log(sum_j exp(x_j))`` along one axis; arguments as ``softmax``."""
def logaddexp(input: Any, other: Any) -> Tensor:
    """The logarithm of the sum of two exponentials, without overflow."""
def logaddexp2(input: Any, other: Any) -> Tensor:
    """The logarithm to the base 2 of the sum of two powers of 2, without overflow."""
def logcumsumexp(input: Any, dim: Any = None, *, axis: Any = None) -> Tensor:
    """``y[i] = log sum_{k<=i} e^input[k]`` along ``dim``, without overflow."""
def logical_and(input: Any, other: Any) -> Tensor:
    """True where both are nonzero; NaN counts as nonzero."""
def logical_not(input: Any) -> Tensor:
    """True where the input is zero."""
def logical_or(input: Any, other: Any) -> Tensor:
    """True where at least one is nonzero."""
def logical_xor(input: Any, other: Any) -> Tensor:
    """True where exactly one is nonzero."""
def logit(input: Any, eps: float | None = None) -> Tensor:
    """``log(x / (1 - x))``, the inverse of the sigmoid."""
def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` powers of ``base``, from ``base ** start`` to ``base ** end``, both ..."""
def logsumexp(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """``log(sum_i exp(input[i, j]))`` over the axes ``dim``, without overflow."""
def lt(input: Any, other: Any) -> Tensor:
    """``input < other``, element by element; False where either is NaN."""
def masked_fill(input: Any, mask: Any, value: Any) -> Tensor:
    """``value`` where the mask is True, the input elsewhere; input and mask broadcast."""
def masked_scatter(input: Any, mask: Any, source: Any) -> Tensor:
    """The input with the elements of ``source``, one after the other, where the mask is ..."""
def masked_select(input: Any, mask: Any) -> Tensor:
    """The elements where the mask is True, as a vector; input and mask broadcast first."""
def matmul(input: Any, other: Any) -> Tensor:
    """Matrix product ``y[..., i, j] = sum_k a[..., i, k] * b[..., k, j]``, also written ..."""
def matrix_power(input: Any, n: int) -> Tensor:
    """The n-th power of each matrix of [..., N, N], by repeated squaring."""
def max(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The largest element of all; or along one axis, with indices; or of two tensors, ..."""
def maximum(input: Any, other: Any) -> Tensor:
    """The larger of two, element by element; NaN if either is. On ties each gets half ..."""
def mean(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The mean over the axes ``dim``: ``y[j] = sum_i input[i, j] / n``; of no elements NaN."""
def median(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The middle element: of all, or along ``dim`` with its position."""
def meshgrid(*tensors: Any, indexing: str = 'ij') -> tuple[Tensor, ...]:
    """The coordinates of a grid: one tensor for each vector, all of the shape of the grid."""
def min(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The smallest element of all; or along one axis, with indices; or of two tensors. ..."""
def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of two, element by element; NaN if either is. On ties each gets half ..."""
def mm(input: Any, mat2: Any) -> Tensor:
    """Product of two matrices [I, K] and [K, J]."""
def moveaxis(input: Any, source: Any, destination: Any) -> Tensor:
    """NumPy's name of ``movedim``."""
def movedim(input: Any, source: Any, destination: Any) -> Tensor:
    """The axes ``source`` moved to the positions ``destination``, the others in their order."""
def msort(input: Any) -> Tensor:
    """The elements in order along the first axis: ``sort(input, 0).values``."""
def mul(input: Any, other: Any) -> Tensor:
    """The product of two tensors, element by element."""
def multinomial(
    input: Any,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: random.Generator | None = None,
) -> Tensor:
    """Random positions, each drawn with a probability in proportion to its weight."""
def multiply(input: Any, other: Any) -> Tensor:
    """The product of two tensors, element by element."""
def mv(input: Any, vec: Any) -> Tensor:
    """Matrix [I, K] times vector [K]."""
def nan_to_num(
    input: Any,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """NaN replaced by ``nan``, infinities by ``posinf`` and ``neginf`` (default: the ..."""
def nanmean(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The mean of what is not NaN over the axes ``dim``; of nothing NaN. Arguments as ..."""
def nanmedian(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The median of what is not NaN; otherwise as ``median``. Of nothing but NaN it is NaN."""
def nanquantile(
    input: Any,
    q: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    interpolation: str = 'linear',
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The quantile of what is not NaN; otherwise as ``quantile``. Of nothing but NaN it ..."""
def nansum(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The sum of what is not NaN over the axes ``dim``; of nothing 0. Arguments as ``sum``."""
def narrow(input: Any, dim: int, start: int, length: int) -> Tensor:
    """``length`` positions along axis ``dim`` from ``start`` on. A view."""
def ne(input: Any, other: Any) -> Tensor:
    """``input != other``, element by element; NaN differs from everything, itself included."""
def neg(input: Any) -> Tensor:
    """The input with the other sign."""
def negative(input: Any) -> Tensor:
    """The input with the other sign."""
def nonzero(input: Any, as_tuple: bool = False) -> Tensor:
    """The positions of the elements that are not 0, in row-major order."""
def norm(
    input: Any,
    p: float | str = 'fro',
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The p-norm ``(sum_i |input[i, j]|**p)**(1/p)`` over the axes ``dim``."""
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random values of normal distributions: ``y = mean + std * z``, z with mean 0 and ..."""
def not_equal(input: Any, other: Any) -> Tensor:
    """``input != other``, element by element; NaN differs from everything, itself included."""
def numel(input: Any) -> int:
    """The number of elements."""
def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones, of the given sizes (or one tuple of them)."""
def ones_like(
    input: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones of the shape, dtype, device and memory order of ``input``."""
def outer(input: Any, vec2: Any) -> Tensor:
    """Outer product of two vectors: ``y[i, j] = a[i] * b[j]``."""
def pairwise_distance(
    x1: Any,
    x2: Any,
    p: float = 2.0,
    eps: float = 1e-06,
    keepdim: bool = False,
) -> Tensor:
    """The distance of vectors along the last axis: ``(sum_i |a_i - b_i + eps|^p)^(1/p)``."""
def permute(input: Any, dims: Any) -> Tensor:
    """The axes in another order: axis i of the result is axis ``dims[i]`` of the input."""
def pixel_shuffle(input: Any, upscale_factor: int) -> Tensor:
    """Channels become pixels: [*, C*r*r, H, W] to [*, C, H*r, W*r], r = ``upscale_factor``."""
def pixel_unshuffle(input: Any, downscale_factor: int) -> Tensor:
    """Pixels become channels: [*, C, H*r, W*r] to [*, C*r*r, H, W], r = ..."""
def polygamma(n: int, input: Any) -> Tensor:
    """The derivative of order n of ``digamma``: ``(-1)^(n+1) * n! * sum over k >= 0 of 1 ..."""
def positive(input: Any) -> Tensor:
    """The input itself, as ``+x`` is."""
def pow(input: Any, exponent: Any) -> Tensor:
    """``input ** exponent``, element by element."""
def prelu(input: Any, weight: Any) -> Tensor:
    """``x`` if x > 0, else ``weight * x``, with a learned slope; its gradient at 0 is ..."""
def prod(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The product of all elements, or along ``dim``; of no elements 1."""
def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Tensor:
    """A copy of the input with ``source`` at positions of the flat input: what ``take`` ..."""
def quantile(
    input: Any,
    q: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    interpolation: str = 'linear',
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """What a part ``q`` of the elements does not exceed: the value at rank ``r = q (n - ..."""
def rad2deg(input: Any) -> Tensor:
    """Angles in degrees from radians, ``input * 180 / pi``; integers become the default ..."""
def rand(
    *size: Any,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random values, uniform in [0, 1)."""
def rand_like(
    input: Any,
    *,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``rand`` with the shape, dtype and device of ``input``."""
def randint(
    low: Any,
    high: Any = None,
    size: Any = None,
    *,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random integers from ``low`` to ``high - 1``; ``randint(high, size)`` starts at 0."""
def randn(
    *size: Any,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random values of the normal distribution with mean 0 and variance 1; arguments as ..."""
def randn_like(
    input: Any,
    *,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``randn`` with the shape, dtype and device of ``input``."""
def randperm(
    n: int,
    *,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The integers 0 to ``n - 1`` in random order."""
def ravel(input: Any) -> Tensor:
    """All elements as a vector, read row by row."""
def reciprocal(input: Any) -> Tensor:
    """One over the input; of integers too a float."""
def relu(input: Any, inplace: bool = False) -> Tensor:
    """The rectifier ``max(x, 0)``; its gradient at 0 is 0."""
def remainder(input: Any, other: Any) -> Tensor:
    """``input - floor(input / other) * other``: what is left, with the sign of ..."""
def repeat_interleave(
    input: Any,
    repeats: Any,
    dim: Any = None,
    axis: Any = None,
    *,
    output_size: Any = None,
) -> Tensor:
    """Each slice of axis ``dim`` repeated in place; NumPy's ``repeat``. Without ``dim``, ..."""
def reshape(input: Any, shape: Any) -> Tensor:
    """The same elements, read in row-major order, under another shape: ``y.flat[i] = ..."""
def roll(input: Any, shifts: Any, dims: Any = None, axis: Any = None) -> Tensor:
    """Elements shifted along ``dims``; what leaves at the end comes back at the start."""
def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """The plane of two axes turned by ``k`` quarters, from the first axis towards the ..."""
def round(input: Any, *, decimals: int = 0) -> Tensor:
    """The nearest multiple of ``10**-decimals``; halves go to the even neighbour. Its ..."""
def row_stack(tensors: Any) -> Tensor:
    """Another name of ``vstack``."""
def rsqrt(input: Any) -> Tensor:
    """One over the square root; inf at 0, NaN for negative inputs."""
def rsub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``other - alpha * input``: ``sub`` the other way round."""
def scatter(
    input: Any,
    dim: int,
    index: Any,
    src: Any = None,
    *,
    value: Any = None,
    reduce: Any = None,
) -> Tensor:
    """A copy of the input with ``src`` written at the positions that :func:`gather` ..."""
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Tensor:
    """The input plus ``src``, added at the positions that :func:`gather` would read."""
def scatter_reduce(
    input: Any,
    dim: int,
    index: Any,
    src: Any,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """The input with all elements of ``src`` that go to one position reduced to one."""
def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Tensor:
    """Where each value stands in sorted numbers: at the first that is not less than it."""
def select(input: Any, dim: int, index: int) -> Tensor:
    """Position ``index`` along axis ``dim``, which goes: ``x.select(1, 0)`` is ``x[:, ..."""
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Tensor:
    """A copy of the input with ``src`` at position ``index`` of axis ``dim``: of what ..."""
def sgn(input: Any) -> Tensor:
    """PyTorch's name of ``sign`` that has a meaning for complex numbers too."""
def sigmoid(input: Any) -> Tensor:
    """The logistic function."""
def sign(input: Any) -> Tensor:
    """-1, 0 or 1, as the input is negative, zero or positive; 0 for NaN, as in PyTorch ..."""
def signbit(input: Any) -> Tensor:
    """True where the sign bit is set: of negative numbers, of -0.0 and of some NaN."""
def sin(input: Any) -> Tensor:
    """The sine."""
def sinc(input: Any) -> Tensor:
    """``sin(pi x) / (pi x)``, and 1 at 0, where all its derivatives exist too."""
def sinh(input: Any) -> Tensor:
    """The hyperbolic sine."""
def slice_scatter(
    input: Any,
    src: Any,
    dim: int = 0,
    start: Any = None,
    end: Any = None,
    step: int = 1,
) -> Tensor:
    """A copy of the input with ``src`` in the slice ``start:end:step`` of axis ``dim``."""
def softmax(input: Any, dim: int | None = None, *, dtype: Any = None, axis: Any = None) -> Tensor:
    """``exp(x_i) / sum_j exp(x_j)`` along one axis: positive numbers that add up to 1."""
def sort(
    input: Any,
    dim: Any = -1,
    descending: bool = False,
    stable: bool = False,
    *,
    axis: Any = None,
) -> Tensor:
    """The elements along ``dim`` in order, smallest first, and their positions before."""
def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> Tensor:
    """A tuple of views, cut along ``dim``."""
def split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """``split`` with the list of all sizes."""
def sqrt(input: Any) -> Tensor:
    """The square root; NaN for negative inputs. Its gradient at 0 is inf."""
def square(input: Any) -> Tensor:
    """The square."""
def squeeze(input: Any, dim: Any = None, axis: Any = None) -> Tensor:
    """Without the axes of size 1: all of them, or those named by ``dim`` (an int or ..."""
def stack(tensors: Any, dim: int = 0, axis: Any = None) -> Tensor:
    """Tensors of one shape side by side along a new axis ``dim``."""
def std(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The standard deviation over the axes ``dim``: the square root of ``var``; ..."""
def std_mean(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean over the axes ``dim``; arguments as ``var``."""
def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``input - alpha * other``, element by element; arguments as ``add``."""
def subtract(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``input - alpha * other``, element by element; arguments as ``add``."""
def sum(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The sum over the axes ``dim``: ``y[j] = sum_i input[i, j]``."""
def swapaxes(input: Any, axis0: int, axis1: int) -> Tensor:
    """NumPy's name of :func:`transpose`."""
def swapdims(input: Any, dim0: int, dim1: int) -> Tensor:
    """Another name of ``transpose``."""
def t(input: Any) -> Tensor:
    """The transpose of a matrix; vectors and 0-d tensors stay as they are."""
def take(input: Any, index: Any) -> Tensor:
    """The elements at positions of the flat input: ``y[k] = x.flat[index[k]]``."""
def take_along_dim(input: Any, indices: Any, dim: Any = None, axis: Any = None) -> Tensor:
    """NumPy's ``take_along_axis``: :func:`gather` that broadcasts, and counts -1 from ..."""
def tan(input: Any) -> Tensor:
    """The tangent."""
def tanh(input: Any) -> Tensor:
    """The hyperbolic tangent."""
def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A new tensor with a copy of ``data``."""
def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> Tensor:
    """A tuple of views: so many nearly equal pieces, or cut at the given positions."""
def tensordot(a: Any, b: Any, dims: Any = 2) -> Tensor:
    """Sum of products over chosen axes of both; the other axes of a, then of b, remain."""
def tile(input: Any, dims: Any) -> Tensor:
    """The tensor repeated ``dims[i]`` times along axis i; the shorter of the two gets ..."""
def topk(
    input: Any,
    k: int,
    dim: Any = None,
    largest: bool = True,
    sorted: bool = True,
    *,
    axis: Any = None,
) -> Tensor:
    """The ``k`` largest elements along ``dim`` and their positions; of equal ones the first."""
def trace(input: Any) -> Tensor:
    """The sum of the diagonal of a matrix."""
def transpose(input: Any, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged; shares memory. ``swapaxes`` is another name."""
def tril(input: Any, diagonal: int = 0) -> Tensor:
    """The lower triangle: ``y[..., i, j] = x[..., i, j] if j - i <= diagonal else 0``."""
def tril_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """The positions of the lower triangle of a matrix [row, col], row by row: what ..."""
def triu(input: Any, diagonal: int = 0) -> Tensor:
    """The upper triangle: ``y[..., i, j] = x[..., i, j] if j - i >= diagonal else 0``."""
def triu_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """The positions of the upper triangle of a matrix [row, col]; otherwise as ..."""
def true_divide(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``, element by element; integers give floats unless the quotient is ..."""
def trunc(input: Any) -> Tensor:
    """The input without its fraction: rounded towards 0. Its gradient is 0."""
def unbind(input: Any, dim: int = 0) -> Tensor:
    """A tuple of views, one for each position along ``dim``, which goes."""
def unflatten(input: Any, dim: int, sizes: Any) -> Tensor:
    """Axis ``dim`` split into axes of the given sizes, one of which may be -1."""
def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: Any = None,
    *,
    axis: Any = None,
) -> Tensor:
    """The different elements, in order; or with ``dim`` the different slices of that ..."""
def unique_consecutive(
    input: Any,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: Any = None,
    *,
    axis: Any = None,
) -> Tensor:
    """The elements without those that are equal to the one before; arguments as ``unique``."""
def unravel_index(indices: Any, shape: Any) -> tuple[Tensor, ...]:
    """Flat positions as one tensor for each axis of an array of ``shape``, read row by row."""
def unsqueeze(input: Any, dim: int) -> Tensor:
    """A new axis of size 1 at position ``dim`` of the result (NumPy's ``expand_dims``)."""
def var(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The variance over the axes ``dim``: ``y[j] = sum_i (input[i, j] - mean[j])**2 / ..."""
def var_mean(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Variance and mean over the axes ``dim``; arguments as ``var``."""
def vdot(input: Any, other: Any) -> Tensor:
    """The inner product of two vectors [K]: that of ``dot``, for real numbers."""
def vsplit(input: Any, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Cut along axis 0 into equal parts, or at the given positions."""
def vstack(tensors: Any) -> Tensor:
    """Joined along axis 0 (rows); a vector [N] counts as one row [1, N]."""
def where(condition: Any, input: Any = None, other: Any = None) -> Tensor:
    """``input`` where ``condition`` holds, ``other`` elsewhere; the three broadcast."""
def xlogy(input: Any, other: Any) -> Tensor:
    """``input * log(other)``, and 0 where the input is 0, whatever number the other is."""
def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros, of the given sizes (or one tuple of them)."""
def zeros_like(
    input: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Zeros of the shape, dtype, device and memory order of ``input``."""
