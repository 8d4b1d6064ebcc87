# Written by tools/stubs.py; do not edit.
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from tinygrad_cv.autograd.backward import Tensors
from tinygrad_cv.autograd.hooks import Hook
from tinygrad_cv.autograd.hooks import HookHandle
from tinygrad_cv.autograd.verification import Report
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.viz.graph import Graph
from typing import Any
import builtins
import numpy as np

class TensorMethods:
    @property
    def H(self) -> Tensor:
        """The transpose of a matrix; vectors and 0-d tensors stay as they are."""
    @property
    def T(self) -> Tensor:
        """All axes in reverse order, as NumPy; of a matrix, its transpose."""
    def __abs__(self) -> Tensor:
        """The absolute value; its gradient at 0 is 0."""
    def __add__(self, other: Any) -> Tensor:
        """The sum of two tensors, element by element."""
    def __and__(self, other: Any) -> Tensor:
        """Bit by bit and, of integers; of bool it is the logical and."""
    def __array__(self, dtype: Any = None, copy: builtins.bool | None = None) -> np.ndarray: ...
    def __array_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Tensor: ...
    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Tensor: ...
    def __bool__(self) -> builtins.bool: ...
    def __deepcopy__(self, memo: dict[builtins.int, Any]) -> Tensor:
        """A leaf with its own memory; only leaves can be copied so."""
    def __dlpack__(self, **kwargs: Any) -> Tensor: ...
    def __dlpack_device__(self) -> Tensor: ...
    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        """``self == other``; with what is no number or tensor, such as None, Python says False."""
    def __float__(self) -> builtins.float: ...
    def __floordiv__(self, other: Any) -> Tensor:
        """The quotient rounded down, ``floor(input / other)``; of integers an integer. Its ..."""
    def __format__(self, spec: str) -> str: ...
    def __ge__(self, other: Any) -> Tensor:
        """``input >= other``, element by element; False where either is NaN."""
    def __getitem__(self, index: Any) -> Tensor:
        """``x[index]``: integers, slices (of either sign), None, ``...``, masks, index ..."""
    def __gt__(self, other: Any) -> Tensor:
        """``input > other``, element by element; False where either is NaN."""
    def __iadd__(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`add`; returns ``self``."""
    def __imul__(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`mul`; returns ``self``."""
    def __index__(self) -> builtins.int: ...
    def __int__(self) -> builtins.int: ...
    def __invert__(self) -> Tensor:
        """Bit by bit not, of integers (``-x - 1`` when signed); of bool it is the logical not."""
    def __ipow__(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`pow`; returns ``self``."""
    def __isub__(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`sub`; returns ``self``."""
    def __iter__(self) -> Iterator[Tensor]: ...
    def __itruediv__(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`div`; returns ``self``."""
    def __le__(self, other: Any) -> Tensor:
        """``input <= other``, element by element; False where either is NaN."""
    def __len__(self) -> builtins.int: ...
    def __lshift__(self, other: Any) -> Tensor:
        """Integers with their bits moved up: ``input * 2^other``, without what leaves the ..."""
    def __lt__(self, other: Any) -> Tensor:
        """``input < other``, element by element; False where either is NaN."""
    def __matmul__(self, other: Any) -> Tensor:
        """Matrix product ``y[..., i, j] = sum_k a[..., i, k] * b[..., k, j]``, also written ..."""
    def __mod__(self, other: Any) -> Tensor:
        """``input - floor(input / other) * other``: what is left, with the sign of ..."""
    def __mul__(self, other: Any) -> Tensor:
        """The product of two tensors, element by element."""
    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        """``self != other``; with what is no number or tensor, such as None, Python says True."""
    def __neg__(self) -> Tensor:
        """The input with the other sign."""
    def __or__(self, other: Any) -> Tensor:
        """Bit by bit or, of integers; of bool it is the logical or."""
    def __pos__(self) -> Tensor: ...
    def __pow__(self, exponent: Any) -> Tensor:
        """``input ** exponent``, element by element."""
    def __radd__(self, other: Any) -> Tensor:
        """The sum of two tensors, element by element."""
    def __rand__(self, other: Any) -> Tensor:
        """Bit by bit and, of integers; of bool it is the logical and."""
    def __reduce__(self) -> tuple[Tensor, ...]: ...
    def __repr__(self) -> str: ...
    def __rfloordiv__(self, other: Any) -> Tensor: ...
    def __rlshift__(self, other: Any) -> Tensor: ...
    def __rmatmul__(self, other: Any) -> Tensor: ...
    def __rmod__(self, other: Any) -> Tensor: ...
    def __rmul__(self, other: Any) -> Tensor:
        """The product of two tensors, element by element."""
    def __ror__(self, other: Any) -> Tensor:
        """Bit by bit or, of integers; of bool it is the logical or."""
    def __round__(self, ndigits: builtins.int | None = None) -> Tensor:
        """Python's ``round(t)`` and ``round(t, ndigits)``."""
    def __rpow__(self, other: Any) -> Tensor: ...
    def __rrshift__(self, other: Any) -> Tensor: ...
    def __rshift__(self, other: Any) -> Tensor:
        """Integers with their bits moved down: ``floor(input / 2^other)``. A distance that ..."""
    def __rsub__(self, other: Any) -> Tensor: ...
    def __rtruediv__(self, other: Any) -> Tensor: ...
    def __rxor__(self, other: Any) -> Tensor:
        """Bit by bit exclusive or, of integers; of bool it is the logical one."""
    def __setitem__(self, key: Any, value: Any) -> None:
        """``self[key] = value``: the value is broadcast to the selected shape and cast to ..."""
    def __sub__(self, other: Any) -> Tensor:
        """The difference of two tensors, element by element."""
    def __truediv__(self, other: Any) -> Tensor:
        """The quotient of two tensors, element by element; of integers too a float."""
    def __xor__(self, other: Any) -> Tensor:
        """Bit by bit exclusive or, of integers; of bool it is the logical one."""
    def abs(self) -> Tensor:
        """The absolute value; its gradient at 0 is 0."""
    def absolute(self) -> Tensor:
        """The absolute value; its gradient at 0 is 0."""
    def acos(self) -> Tensor:
        """The angle in [0, pi] whose cosine is the input; NaN outside [-1, 1]."""
    def acosh(self) -> Tensor:
        """The inverse of the hyperbolic cosine, not negative; NaN below 1."""
    def add(self, other: Any, *, alpha: builtins.float = 1) -> Tensor:
        """``input + alpha * other``, element by element."""
    def add_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`add`; returns ``self``."""
    def addbmm(self, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """``beta * input + alpha * sum_n batch1[n] @ batch2[n]``; the input broadcasts."""
    def addcdiv(self, tensor1: Any, tensor2: Any, *, value: builtins.float = 1) -> Tensor:
        """``input + value * tensor1 / tensor2``, element by element."""
    def addcmul(self, tensor1: Any, tensor2: Any, *, value: builtins.float = 1) -> Tensor:
        """``input + value * tensor1 * tensor2``, element by element."""
    def addmm(self, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """``beta * input + alpha * (mat1 @ mat2)``; the input broadcasts."""
    def addmv(self, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """``beta * input + alpha * (mat @ vec)`` of a matrix [I, K] and a vector [K]; the ..."""
    def addr(self, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """``beta * input + alpha * outer(vec1, vec2)``; the input broadcasts."""
    def adjoint(self) -> Tensor:
        """The last two axes exchanged: the transpose of each matrix of a batch."""
    def all(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        axis: Any = None,
        keepdims: Any = None,
    ) -> Tensor:
        """True where every element along ``dim`` (default: all axes) is nonzero; of no ..."""
    def allclose(
        self,
        other: Any,
        rtol: builtins.float = 1e-05,
        atol: builtins.float = 1e-08,
        equal_nan: builtins.bool = False,
    ) -> builtins.bool:
        """True if all elements are close in the sense of ``isclose``; a Python bool."""
    def amax(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The largest element over the axes ``dim``: ``y[j] = max_i input[i, j]``; NaN if ..."""
    def amin(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The smallest element over the axes ``dim``; otherwise as ``amax``."""
    def aminmax(self, *, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Tensor:
        """``(amin, amax)`` as a named tuple ``(min, max)``."""
    def any(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        axis: Any = None,
        keepdims: Any = None,
    ) -> Tensor:
        """True where some element along ``dim`` (default: all axes) is nonzero; of no ..."""
    def arccos(self) -> Tensor:
        """The angle in [0, pi] whose cosine is the input; NaN outside [-1, 1]."""
    def arccosh(self) -> Tensor:
        """The inverse of the hyperbolic cosine, not negative; NaN below 1."""
    def arcsin(self) -> Tensor:
        """The angle in [-pi/2, pi/2] whose sine is the input; NaN outside [-1, 1]."""
    def arcsinh(self) -> Tensor:
        """The inverse of the hyperbolic sine."""
    def arctan(self) -> Tensor:
        """The angle in (-pi/2, pi/2) whose tangent is the input."""
    def arctan2(self, other: Any) -> Tensor:
        """The angle in [-pi, pi] of the point with ordinate ``input`` and abscissa ..."""
    def arctanh(self) -> Tensor:
        """The inverse of the hyperbolic tangent; infinite at -1 and 1, NaN outside."""
    def argmax(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """Where the largest element stands, int64: along ``dim``, or without it in the ..."""
    def argmin(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """Where the smallest element stands; otherwise as ``argmax``."""
    def argsort(
        self,
        dim: Any = -1,
        descending: builtins.bool = False,
        stable: builtins.bool = False,
        *,
        axis: Any = None,
    ) -> Tensor:
        """The positions that would bring the elements along ``dim`` in order; arguments as ..."""
    def argwhere(self) -> Tensor:
        """:func:`nonzero` under NumPy's name."""
    def asin(self) -> Tensor:
        """The angle in [-pi/2, pi/2] whose sine is the input; NaN outside [-1, 1]."""
    def asinh(self) -> Tensor:
        """The inverse of the hyperbolic sine."""
    def atan(self) -> Tensor:
        """The angle in (-pi/2, pi/2) whose tangent is the input."""
    def atan2(self, other: Any) -> Tensor:
        """The angle in [-pi, pi] of the point with ordinate ``input`` and abscissa ..."""
    def atanh(self) -> Tensor:
        """The inverse of the hyperbolic tangent; infinite at -1 and 1, NaN outside."""
    def backward(
        self,
        gradient: Any = None,
        retain_graph: builtins.bool | None = None,
        create_graph: builtins.bool = False,
        inputs: Tensors | None = None,
    ) -> None:
        """Add d self / d leaf to ``.grad`` of every leaf that asked for it (or of ``inputs`` ..."""
    def baddbmm(self, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """``beta * input + alpha * bmm(batch1, batch2)``; the input broadcasts."""
    def bernoulli_(self, *args: Any, **kwargs: Any) -> Tensor:
        """Set each element to 1 with probability ``p``, else to 0. The result has no history."""
    def bincount(self, weights: Any = None, minlength: builtins.int = 0) -> Tensor:
        """How often each number from 0 on stands in a vector, or the sums of the weights ..."""
    def bitwise_and(self, other: Any) -> Tensor:
        """Bit by bit and, of integers; of bool it is the logical and."""
    def bitwise_left_shift(self, other: Any) -> Tensor:
        """Integers with their bits moved up: ``input * 2^other``, without what leaves the ..."""
    def bitwise_not(self) -> Tensor:
        """Bit by bit not, of integers (``-x - 1`` when signed); of bool it is the logical not."""
    def bitwise_or(self, other: Any) -> Tensor:
        """Bit by bit or, of integers; of bool it is the logical or."""
    def bitwise_right_shift(self, other: Any) -> Tensor:
        """Integers with their bits moved down: ``floor(input / 2^other)``. A distance that ..."""
    def bitwise_xor(self, other: Any) -> Tensor:
        """Bit by bit exclusive or, of integers; of bool it is the logical one."""
    def bmm(self, mat2: Any) -> Tensor:
        """Products of two batches of matrices [N, I, K] and [N, K, J]; nothing is broadcast."""
    def bool(self) -> Tensor:
        """This tensor in bool: True where it is nonzero."""
    def broadcast_to(self, shape: Any) -> Tensor:
        """The input expanded to ``shape``, as NumPy's function of this name."""
    def byte(self) -> Tensor:
        """This tensor in uint8, as pictures have it; fractions are cut off."""
    def ceil(self) -> Tensor:
        """The smallest integer that is not below the input; integers stay as they are. Its ..."""
    def char(self) -> Tensor:
        """This tensor in int8; fractions are cut off."""
    def chunk(self, chunks: builtins.int, dim: builtins.int = 0) -> Tensor:
        """At most ``chunks`` views of equal size along ``dim``; the last may be smaller."""
    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """``min(max(input, min), max)``, element by element: values outside [min, max] move ..."""
    def clamp_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`clamp`; returns ``self``."""
    def clamp_max(self, max: Any) -> Tensor:
        """``clamp`` with an upper bound only."""
    def clamp_max_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`clamp_max`; returns ``self``."""
    def clamp_min(self, min: Any) -> Tensor:
        """``clamp`` with a lower bound only."""
    def clamp_min_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`clamp_min`; returns ``self``."""
    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """NumPy's name of ``clamp``."""
    def clip_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`clip`; returns ``self``."""
    def clone(self) -> Tensor:
        """A copy in memory of its own, in the same order; the gradient passes through."""
    def contiguous(self, memory_format: Any = 'contiguous') -> Tensor:
        """The same values in memory of the given order; the input itself if it is so already."""
    def copy_(self, source: Any) -> Tensor:
        """Take over the values of ``source``, broadcast to this shape and cast to this ..."""
    def copysign(self, other: Any) -> Tensor:
        """The size of the input with the sign of the other, that of a zero included. The ..."""
    def cos(self) -> Tensor:
        """The cosine."""
    def cosh(self) -> Tensor:
        """The hyperbolic cosine."""
    def count_nonzero(self, dim: Any = None, *, axis: Any = None) -> Tensor:
        """How many elements are not 0, int64: of all, or over the axes ``dim``. NaN is not 0."""
    def cpu(self) -> Tensor:
        """This tensor on the CPU; itself if it is there."""
    def cross(self, other: Any, dim: Any = None, *, axis: Any = None) -> Tensor:
        """The cross product of vectors of 3 along ``dim``; the other axes broadcast."""
    def cuda(self, device: Any = None) -> Tensor:
        """This tensor on a CUDA device; itself if it is there."""
    def cummax(self, dim: Any = None, *, axis: Any = None) -> Tensor:
        """The largest element up to each place along ``dim``, and where it stands."""
    def cummin(self, dim: Any = None, *, axis: Any = None) -> Tensor:
        """The smallest element up to each place along ``dim``; otherwise as ``cummax``."""
    def cumprod(self, dim: Any = None, *, dtype: Any = None, axis: Any = None) -> Tensor:
        """Running products along ``dim``: ``y[i] = prod_{k<=i} input[k]``; arguments as ..."""
    def cumprod_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`cumprod`; returns ``self``."""
    def cumsum(self, dim: Any = None, *, dtype: Any = None, axis: Any = None) -> Tensor:
        """Running sums along ``dim``: ``y[i] = sum_{k<=i} input[k]``."""
    def cumsum_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`cumsum`; returns ``self``."""
    def deg2rad(self) -> Tensor:
        """Angles in radians from degrees, ``input * pi / 180``; integers become the default ..."""
    def diag(self, diagonal: builtins.int = 0) -> Tensor:
        """A matrix with the vector on its diagonal, or the diagonal of a matrix."""
    def diag_embed(
        self,
        offset: builtins.int = 0,
        dim1: builtins.int = -2,
        dim2: builtins.int = -1,
    ) -> Tensor:
        """The last axis laid on the diagonal of new planes ``dim1``, ``dim2``, zeros elsewhere."""
    def diagflat(self, offset: builtins.int = 0) -> Tensor:
        """The elements, read row by row, on the diagonal of a matrix of zeros."""
    def diagonal(
        self,
        offset: builtins.int = 0,
        dim1: builtins.int = 0,
        dim2: builtins.int = 1,
    ) -> Tensor:
        """The diagonal of the planes spanned by two axes: ``y[..., i] = x[.. i .. i + offset ..."""
    def diagonal_scatter(
        self,
        src: Any,
        offset: builtins.int = 0,
        dim1: builtins.int = 0,
        dim2: builtins.int = 1,
    ) -> Tensor:
        """A copy of the input with ``src`` on the diagonal that ``diagonal`` reads."""
    def diff(
        self,
        n: builtins.int = 1,
        dim: builtins.int = -1,
        prepend: Any = None,
        append: Any = None,
        *,
        axis: Any = None,
    ) -> Tensor:
        """The differences of neighbours along ``dim``, ``n`` times: ``y[i] = x[i + 1] - x[i]``."""
    def digamma(self) -> Tensor:
        """The derivative of ``lgamma``; infinite at 0, NaN at -1, -2, ..."""
    def dim(self) -> builtins.int:
        """The number of axes."""
    def dist(self, other: Any, p: builtins.float = 2) -> Tensor:
        """The p-norm of ``input - other``, a 0-d tensor; the two broadcast."""
    def div(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """``input / other``, element by element; integers give floats unless the quotient is ..."""
    def div_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`div`; returns ``self``."""
    def divide(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """``input / other``, element by element; integers give floats unless the quotient is ..."""
    def dot(self, tensor: Any) -> Tensor:
        """Inner product of two vectors [K]: ``sum_k a[k] * b[k]``."""
    def double(self) -> Tensor:
        """This tensor in float64."""
    def dsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """Cut along axis 2 into equal parts, or at the given positions."""
    def element_size(self) -> builtins.int:
        """Bytes per element."""
    def eq(self, other: Any) -> Tensor:
        """``input == other``, element by element, in their common dtype; NaN equals nothing."""
    def equal(self, other: Any) -> builtins.bool:
        """True if both have the same shape and the same elements; a Python bool."""
    def erf(self) -> Tensor:
        """The error function: 2/sqrt(pi) times the integral of ``exp(-t^2)`` from 0 to x."""
    def erfc(self) -> Tensor:
        """The complement of the error function, ``1 - erf(x)``, which keeps its digits for ..."""
    def erfinv(self) -> Tensor:
        """The inverse of the error function; infinite at -1 and 1, NaN outside."""
    def exp(self) -> Tensor:
        """The exponential function."""
    def exp2(self) -> Tensor:
        """Two to the power of the input."""
    def expand(self, *size: Any) -> Tensor:
        """The input repeated along axes of size 1, and along new leading axes, to the given ..."""
    def expand_as(self, other: Any) -> Tensor:
        """The input expanded to the shape of ``other``."""
    def expm1(self) -> Tensor:
        """``exp(x) - 1``, exact for small x too."""
    def fill_(self, value: Any) -> Tensor:
        """Set every element to ``value``. The result has no history."""
    def fill_diagonal_(self, *args: Any, **kwargs: Any) -> Tensor:
        """Set the elements whose positions are all equal; in place."""
    def fix(self) -> Tensor:
        """The input without its fraction: rounded towards 0. Its gradient is 0."""
    def flatten(self, start_dim: builtins.int = 0, end_dim: builtins.int = -1) -> Tensor:
        """Axes ``start_dim`` to ``end_dim`` (included) as one; a 0-d tensor becomes 1-d."""
    def flip(self, *dims: Any) -> Tensor:
        """The elements in reverse order along ``dims``, all axes if none is named; see ..."""
    def fliplr(self) -> Tensor:
        """Reversed along axis 1: an image [H, W] mirrored left to right."""
    def flipud(self) -> Tensor:
        """Reversed along axis 0: an image [H, W] turned upside down."""
    def float(self) -> Tensor:
        """This tensor in float32."""
    def float_power(self, exponent: Any) -> Tensor:
        """``input ** exponent`` in float64, whatever the dtypes are: integers to a negative ..."""
    def floor(self) -> Tensor:
        """The largest integer that is not above the input; integers stay as they are. Its ..."""
    def floor_divide(self, other: Any) -> Tensor:
        """The quotient rounded down, ``floor(input / other)``; of integers an integer. Its ..."""
    def fmod(self, other: Any) -> Tensor:
        """``input - trunc(input / other) * other``: what is left, with the sign of ..."""
    def frac(self) -> Tensor:
        """The fraction of the input, with its sign: ``x - trunc(x)``. Its gradient is 1."""
    def gather(self, dim: builtins.int, index: Any) -> Tensor:
        """``y[i][j] = x[index[i][j]][j]`` for dim 0, ``x[i][index[i][j]]`` for dim 1, and so on."""
    def ge(self, other: Any) -> Tensor:
        """``input >= other``, element by element; False where either is NaN."""
    def ger(self, vec2: Any) -> Tensor:
        """Another name of ``outer``."""
    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward has added up, of a leaf or where ``retain_grad`` asked ..."""
    @grad.setter
    def grad(self, gradient: Tensor | None) -> None: ...
    def graph(
        self,
        *inputs: Any,
        backward: builtins.bool = False,
        names: Mapping[str, Tensor] | None = None,
        title: str | None = None,
        max_nodes: builtins.int = 300,
        verify: Report | None = None,
        profile: Any = None,
        statistics: builtins.bool = False,
        plan: Any = None,
        explain: builtins.bool = False,
        **kwargs: Any,
    ) -> Graph:
        """The graph that made this tensor (or, of a module, the graph of its call with ..."""
    def greater(self, other: Any) -> Tensor:
        """``input > other``, element by element; False where either is NaN."""
    def greater_equal(self, other: Any) -> Tensor:
        """``input >= other``, element by element; False where either is NaN."""
    def gt(self, other: Any) -> Tensor:
        """``input > other``, element by element; False where either is NaN."""
    def hardshrink(self, lambd: builtins.float = 0.5) -> Tensor:
        """``x`` where x > lambd or x < -lambd, else 0; its gradient at the bounds is 0."""
    def heaviside(self, values: Any) -> Tensor:
        """The unit step: 0 below 0 and for NaN, 1 above, and ``values`` at 0, which get the ..."""
    def histc(
        self,
        bins: builtins.int = 100,
        min: builtins.float = 0,
        max: builtins.float = 0,
    ) -> Tensor:
        """How many elements lie in each of ``bins`` parts of [min, max] of equal width."""
    def hsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """Cut along axis 1 (vectors: axis 0) into equal parts, or at the given positions."""
    def hypot(self, other: Any) -> Tensor:
        """The length of the hypotenuse, ``sqrt(input^2 + other^2)``, without overflow on the ..."""
    def i0(self) -> Tensor:
        """The modified Bessel function of the first kind of order 0, as in the Kaiser window."""
    def index_add(self, dim: builtins.int, index: Any, source: Any, *, alpha: Any = 1) -> Tensor:
        """The input plus ``alpha * source``, slice k of ``source`` added at position ..."""
    def index_add_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`index_add`; returns ``self``."""
    def index_copy(self, dim: builtins.int, index: Any, source: Any) -> Tensor:
        """A copy of the input, with slice k of ``source`` written at position ``index[k]``."""
    def index_copy_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`index_copy`; returns ``self``."""
    def index_fill(self, dim: builtins.int, index: Any, value: Any) -> Tensor:
        """A copy of the input, with ``value`` in the slices of axis ``dim`` at the positions ..."""
    def index_fill_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`index_fill`; returns ``self``."""
    def index_put(self, indices: Any, values: Any, accumulate: builtins.bool = False) -> Tensor:
        """A copy of the input with ``values`` at ``x[indices]``; the values are broadcast ..."""
    def index_put_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`index_put`; returns ``self``."""
    def index_reduce(
        self,
        dim: builtins.int,
        index: Any,
        source: Any,
        reduce: str,
        *,
        include_self: builtins.bool = True,
    ) -> Tensor:
        """The input with slice k of ``source`` reduced into position ``index[k]`` of axis ..."""
    def index_reduce_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`index_reduce`; returns ``self``."""
    def index_select(self, dim: builtins.int, index: Any) -> Tensor:
        """The slices of axis ``dim`` at the positions ``index`` (a vector, or one number)."""
    def inner(self, other: Any) -> Tensor:
        """Sum of products over the last axis of both: ``y[i.., j..] = sum_k a[i.., k] * ..."""
    def int(self) -> Tensor:
        """This tensor in int32; fractions are cut off."""
    def inverse(self) -> Tensor:
        """The inverse of each matrix of [..., N, N]."""
    def is_contiguous(self, memory_format: Any = 'contiguous') -> builtins.bool:
        """True if memory runs row by row without gaps, or with ..."""
    def is_floating_point(self) -> builtins.bool:
        """True for the dtypes that can have a gradient."""
    def isclose(
        self,
        other: Any,
        rtol: builtins.float = 1e-05,
        atol: builtins.float = 1e-08,
        equal_nan: builtins.bool = False,
    ) -> Tensor:
        """``|input - other| <= atol + rtol * |other|``, element by element; equal infinities ..."""
    def isfinite(self) -> Tensor:
        """True where the input is neither NaN nor infinite."""
    def isinf(self) -> Tensor:
        """True where the input is infinite, of either sign."""
    def isnan(self) -> Tensor:
        """True where the input is NaN."""
    def isneginf(self) -> Tensor:
        """True where the input is -inf."""
    def isposinf(self) -> Tensor:
        """True where the input is inf."""
    def item(self) -> Tensor:
        """The only element, as a Python number."""
    def kron(self, other: Any) -> Tensor:
        """The Kronecker product: each element of the input times the whole of ``other``, as ..."""
    def kthvalue(
        self,
        k: builtins.int,
        dim: builtins.int = -1,
        keepdim: builtins.bool = False,
        *,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The ``k``-th smallest element along ``dim``, counted from 1, and its position."""
    def ldexp(self, other: Any) -> Tensor:
        """``input * 2^other``, exact for whole ``other``; integers become the default float ..."""
    def le(self, other: Any) -> Tensor:
        """``input <= other``, element by element; False where either is NaN."""
    def lerp(self, end: Any, weight: Any) -> Tensor:
        """Linear interpolation: ``input + weight * (end - input)``."""
    def less(self, other: Any) -> Tensor:
        """``input < other``, element by element; False where either is NaN."""
    def less_equal(self, other: Any) -> Tensor:
        """``input <= other``, element by element; False where either is NaN."""
    def lgamma(self) -> Tensor:
        """The logarithm of the absolute value of the gamma function; inf at 0, -1, -2, ..."""
    def log(self) -> Tensor:
        """The natural logarithm; -inf at 0, NaN below."""
    def log10(self) -> Tensor:
        """The logarithm to the base 10; -inf at 0, NaN below."""
    def log1p(self) -> Tensor:
        """``ln(1 + x)``, exact for small x too; -inf at -1, NaN below."""
    def log2(self) -> Tensor:
        """The logarithm to the base 2; -inf at 0, NaN below."""
    def log_softmax(
        self,
        dim: builtins.int | None = None,
        *,
        dtype: Any = None,
        axis: Any = None,
    ) -> Tensor:
        """``x_i - log(sum_j exp(x_j))`` along one axis; arguments as ``softmax``."""
    def logaddexp(self, other: Any) -> Tensor:
        """The logarithm of the sum of two exponentials, without overflow."""
    def logaddexp2(self, other: Any) -> Tensor:
        """The logarithm to the base 2 of the sum of two powers of 2, without overflow."""
    def logcumsumexp(self, dim: Any = None, *, axis: Any = None) -> Tensor:
        """``y[i] = log sum_{k<=i} e^input[k]`` along ``dim``, without overflow."""
    def logical_and(self, other: Any) -> Tensor:
        """True where both are nonzero; NaN counts as nonzero."""
    def logical_not(self) -> Tensor:
        """True where the input is zero."""
    def logical_or(self, other: Any) -> Tensor:
        """True where at least one is nonzero."""
    def logical_xor(self, other: Any) -> Tensor:
        """True where exactly one is nonzero."""
    def logit(self, eps: builtins.float | None = None) -> Tensor:
        """``log(x / (1 - x))``, the inverse of the sigmoid."""
    def logsumexp(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """``log(sum_i exp(input[i, j]))`` over the axes ``dim``, without overflow."""
    def long(self) -> Tensor:
        """This tensor in int64; fractions are cut off."""
    def lt(self, other: Any) -> Tensor:
        """``input < other``, element by element; False where either is NaN."""
    @property
    def mH(self) -> Tensor:
        """The last two axes exchanged: the transpose of each matrix of a batch."""
    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged: the transpose of a matrix, or of each matrix of a batch."""
    def masked_fill(self, mask: Any, value: Any) -> Tensor:
        """``value`` where the mask is True, the input elsewhere; input and mask broadcast."""
    def masked_fill_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`masked_fill`; returns ``self``."""
    def masked_scatter(self, mask: Any, source: Any) -> Tensor:
        """The input with the elements of ``source``, one after the other, where the mask is ..."""
    def masked_scatter_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`masked_scatter`; returns ``self``."""
    def masked_select(self, mask: Any) -> Tensor:
        """The elements where the mask is True, as a vector; input and mask broadcast first."""
    def matmul(self, other: Any) -> Tensor:
        """Matrix product ``y[..., i, j] = sum_k a[..., i, k] * b[..., k, j]``, also written ..."""
    def matrix_power(self, n: builtins.int) -> Tensor:
        """The n-th power of each matrix of [..., N, N], by repeated squaring."""
    def max(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The largest element of all; or along one axis, with indices; or of two tensors, ..."""
    def maximum(self, other: Any) -> Tensor:
        """The larger of two, element by element; NaN if either is. On ties each gets half ..."""
    def mean(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        dtype: Any = None,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The mean over the axes ``dim``: ``y[j] = sum_i input[i, j] / n``; of no elements NaN."""
    def median(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The middle element: of all, or along ``dim`` with its position."""
    def min(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The smallest element of all; or along one axis, with indices; or of two tensors. ..."""
    def minimum(self, other: Any) -> Tensor:
        """The smaller of two, element by element; NaN if either is. On ties each gets half ..."""
    def mm(self, mat2: Any) -> Tensor:
        """Product of two matrices [I, K] and [K, J]."""
    def moveaxis(self, source: Any, destination: Any) -> Tensor:
        """NumPy's name of ``movedim``."""
    def movedim(self, source: Any, destination: Any) -> Tensor:
        """The axes ``source`` moved to the positions ``destination``, the others in their order."""
    def msort(self) -> Tensor:
        """The elements in order along the first axis: ``sort(input, 0).values``."""
    def mul(self, other: Any) -> Tensor:
        """The product of two tensors, element by element."""
    def mul_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`mul`; returns ``self``."""
    def multiply(self, other: Any) -> Tensor:
        """The product of two tensors, element by element."""
    def mv(self, vec: Any) -> Tensor:
        """Matrix [I, K] times vector [K]."""
    def nan_to_num(
        self,
        nan: builtins.float = 0.0,
        posinf: builtins.float | None = None,
        neginf: builtins.float | None = None,
    ) -> Tensor:
        """NaN replaced by ``nan``, infinities by ``posinf`` and ``neginf`` (default: the ..."""
    def nanmean(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        dtype: Any = None,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The mean of what is not NaN over the axes ``dim``; of nothing NaN. Arguments as ..."""
    def nanmedian(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The median of what is not NaN; otherwise as ``median``. Of nothing but NaN it is NaN."""
    def nanquantile(
        self,
        q: Any,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        interpolation: str = 'linear',
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The quantile of what is not NaN; otherwise as ``quantile``. Of nothing but NaN it ..."""
    def nansum(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        dtype: Any = None,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The sum of what is not NaN over the axes ``dim``; of nothing 0. Arguments as ``sum``."""
    def narrow(self, dim: builtins.int, start: builtins.int, length: builtins.int) -> Tensor:
        """``length`` positions along axis ``dim`` from ``start`` on. A view."""
    @property
    def nbytes(self) -> builtins.int:
        """Bytes of all elements."""
    def ndimension(self) -> builtins.int:
        """The number of axes."""
    def ne(self, other: Any) -> Tensor:
        """``input != other``, element by element; NaN differs from everything, itself included."""
    def neg(self) -> Tensor:
        """The input with the other sign."""
    def negative(self) -> Tensor:
        """The input with the other sign."""
    def nelement(self) -> builtins.int:
        """The number of elements."""
    def new_empty(
        self,
        *size: Any,
        dtype: Any = None,
        device: Any = None,
        requires_grad: builtins.bool = False,
    ) -> Tensor:
        """Undefined values of the given sizes, by default of this dtype and on this device."""
    def new_full(
        self,
        size: Any,
        fill_value: Any,
        *,
        dtype: Any = None,
        device: Any = None,
        requires_grad: builtins.bool = False,
    ) -> Tensor:
        """One value everywhere, of the given sizes, by default of this dtype and on this device."""
    def new_ones(
        self,
        *size: Any,
        dtype: Any = None,
        device: Any = None,
        requires_grad: builtins.bool = False,
    ) -> Tensor:
        """Ones of the given sizes, by default of this dtype and on this device."""
    def new_tensor(
        self,
        data: Any,
        *,
        dtype: Any = None,
        device: Any = None,
        requires_grad: builtins.bool = False,
    ) -> Tensor:
        """A new tensor with a copy of ``data``, by default of this dtype and on this device."""
    def new_zeros(
        self,
        *size: Any,
        dtype: Any = None,
        device: Any = None,
        requires_grad: builtins.bool = False,
    ) -> Tensor:
        """Zeros of the given sizes, by default of this dtype and on this device."""
    def nonzero(self, as_tuple: builtins.bool = False) -> Tensor:
        """The positions of the elements that are not 0, in row-major order."""
    def norm(
        self,
        p: builtins.float | str = 'fro',
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        dtype: Any = None,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The p-norm ``(sum_i |input[i, j]|**p)**(1/p)`` over the axes ``dim``."""
    def normal_(self, *args: Any, **kwargs: Any) -> Tensor:
        """Fill the tensor with values of one normal distribution. The result has no history."""
    def not_equal(self, other: Any) -> Tensor:
        """``input != other``, element by element; NaN differs from everything, itself included."""
    def numel(self) -> builtins.int:
        """The number of elements."""
    def numpy(self) -> np.ndarray:
        """The values as a NumPy array that shares memory on the CPU."""
    def outer(self, vec2: Any) -> Tensor:
        """Outer product of two vectors: ``y[i, j] = a[i] * b[j]``."""
    def permute(self, *dims: Any) -> Tensor:
        """The axes in another order, sharing memory: ``x.permute(0, 3, 1, 2)`` or ..."""
    def polygamma(self, n: builtins.int) -> Tensor:
        """The derivative of order n of ``digamma`` at these numbers; see :func:`polygamma`."""
    def positive(self) -> Tensor:
        """The input itself, as ``+x`` is."""
    def pow(self, exponent: Any) -> Tensor:
        """``input ** exponent``, element by element."""
    def pow_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`pow`; returns ``self``."""
    def prelu(self, weight: Any) -> Tensor:
        """``x`` if x > 0, else ``weight * x``, with a learned slope; its gradient at 0 is ..."""
    def prod(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        dtype: Any = None,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The product of all elements, or along ``dim``; of no elements 1."""
    def put(self, index: Any, source: Any, accumulate: builtins.bool = False) -> Tensor:
        """A copy of the input with ``source`` at positions of the flat input: what ``take`` ..."""
    def put_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`put`; returns ``self``."""
    def quantile(
        self,
        q: Any,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        interpolation: str = 'linear',
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """What a part ``q`` of the elements does not exceed: the value at rank ``r = q (n - ..."""
    def rad2deg(self) -> Tensor:
        """Angles in degrees from radians, ``input * 180 / pi``; integers become the default ..."""
    def ravel(self) -> Tensor:
        """All elements as a vector, read row by row."""
    def reciprocal(self) -> Tensor:
        """One over the input; of integers too a float."""
    def register_hook(self, hook: Hook) -> HookHandle:
        """Call ``hook(gradient)`` in each backward when this tensor's gradient is complete; ..."""
    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> HookHandle:
        """Call ``hook(tensor)`` in each backward when the gradient of this leaf has been ..."""
    def relu(self, inplace: builtins.bool = False) -> Tensor:
        """The rectifier ``max(x, 0)``; its gradient at 0 is 0."""
    def remainder(self, other: Any) -> Tensor:
        """``input - floor(input / other) * other``: what is left, with the sign of ..."""
    def repeat(self, *repeats: Any) -> Tensor:
        """The tensor repeated ``repeats[i]`` times along axis i: ``x.repeat(2, 3)`` or ..."""
    def repeat_interleave(
        self,
        repeats: Any,
        dim: Any = None,
        axis: Any = None,
        *,
        output_size: Any = None,
    ) -> Tensor:
        """Each slice of axis ``dim`` repeated in place; NumPy's ``repeat``. Without ``dim``, ..."""
    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in row-major order under another shape: ``x.reshape(2, -1)`` or ..."""
    def reshape_as(self, other: Any) -> Tensor:
        """The same elements under the shape of ``other``."""
    def retain_grad(self) -> None:
        """Let backward add the gradient of this tensor to its ``.grad``, though it is no ..."""
    def roll(self, shifts: Any, dims: Any = None, axis: Any = None) -> Tensor:
        """Elements shifted along ``dims``; what leaves at the end comes back at the start."""
    def rot90(self, k: builtins.int = 1, dims: Any = (0, 1)) -> Tensor:
        """The plane of two axes turned by ``k`` quarters, from the first axis towards the ..."""
    def round(self, *, decimals: builtins.int = 0) -> Tensor:
        """The nearest multiple of ``10**-decimals``; halves go to the even neighbour. Its ..."""
    def rsqrt(self) -> Tensor:
        """One over the square root; inf at 0, NaN for negative inputs."""
    def rsub(self, other: Any, *, alpha: builtins.float = 1) -> Tensor:
        """``other - alpha * input``: ``sub`` the other way round."""
    def scatter(
        self,
        dim: builtins.int,
        index: Any,
        src: Any = None,
        *,
        value: Any = None,
        reduce: Any = None,
    ) -> Tensor:
        """A copy of the input with ``src`` written at the positions that :func:`gather` ..."""
    def scatter_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`scatter`; returns ``self``."""
    def scatter_add(self, dim: builtins.int, index: Any, src: Any) -> Tensor:
        """The input plus ``src``, added at the positions that :func:`gather` would read."""
    def scatter_add_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`scatter_add`; returns ``self``."""
    def scatter_reduce(
        self,
        dim: builtins.int,
        index: Any,
        src: Any,
        reduce: str,
        *,
        include_self: builtins.bool = True,
    ) -> Tensor:
        """The input with all elements of ``src`` that go to one position reduced to one."""
    def scatter_reduce_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`scatter_reduce`; returns ``self``."""
    def select(self, dim: builtins.int, index: builtins.int) -> Tensor:
        """Position ``index`` along axis ``dim``, which goes: ``x.select(1, 0)`` is ``x[:, ..."""
    def select_scatter(self, src: Any, dim: builtins.int, index: builtins.int) -> Tensor:
        """A copy of the input with ``src`` at position ``index`` of axis ``dim``: of what ..."""
    def sgn(self) -> Tensor:
        """PyTorch's name of ``sign`` that has a meaning for complex numbers too."""
    def short(self) -> Tensor:
        """This tensor in int16; fractions are cut off."""
    def sigmoid(self) -> Tensor:
        """The logistic function."""
    def sign(self) -> Tensor:
        """-1, 0 or 1, as the input is negative, zero or positive; 0 for NaN, as in PyTorch ..."""
    def signbit(self) -> Tensor:
        """True where the sign bit is set: of negative numbers, of -0.0 and of some NaN."""
    def sin(self) -> Tensor:
        """The sine."""
    def sinc(self) -> Tensor:
        """``sin(pi x) / (pi x)``, and 1 at 0, where all its derivatives exist too."""
    def sinh(self) -> Tensor:
        """The hyperbolic sine."""
    def size(self, dim: builtins.int | None = None) -> Tensor:
        """The shape, or the size along ``dim``."""
    def slice_scatter(
        self,
        src: Any,
        dim: builtins.int = 0,
        start: Any = None,
        end: Any = None,
        step: builtins.int = 1,
    ) -> Tensor:
        """A copy of the input with ``src`` in the slice ``start:end:step`` of axis ``dim``."""
    def softmax(
        self,
        dim: builtins.int | None = None,
        *,
        dtype: Any = None,
        axis: Any = None,
    ) -> Tensor:
        """``exp(x_i) / sum_j exp(x_j)`` along one axis: positive numbers that add up to 1."""
    def sort(
        self,
        dim: Any = -1,
        descending: builtins.bool = False,
        stable: builtins.bool = False,
        *,
        axis: Any = None,
    ) -> Tensor:
        """The elements along ``dim`` in order, smallest first, and their positions before."""
    def split(self, split_size: Any, dim: builtins.int = 0) -> Tensor:
        """A tuple of views, cut along ``dim``; see :func:`tinygrad_cv.split`."""
    def split_with_sizes(self, split_sizes: Any, dim: builtins.int = 0) -> tuple[Tensor, ...]:
        """``split`` with the list of all sizes."""
    def sqrt(self) -> Tensor:
        """The square root; NaN for negative inputs. Its gradient at 0 is inf."""
    def square(self) -> Tensor:
        """The square."""
    def squeeze(self, dim: Any = None, axis: Any = None) -> Tensor:
        """Without the axes of size 1: all of them, or those named by ``dim`` (an int or ..."""
    def std(
        self,
        dim: Any = None,
        unbiased: builtins.bool | None = None,
        keepdim: builtins.bool = False,
        *,
        correction: builtins.float | None = None,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The standard deviation over the axes ``dim``: the square root of ``var``; ..."""
    def stride(self, dim: builtins.int | None = None) -> Tensor:
        """How many elements of memory lie between neighbours: along each axis, or along ``dim``."""
    def sub(self, other: Any, *, alpha: builtins.float = 1) -> Tensor:
        """``input - alpha * other``, element by element; arguments as ``add``."""
    def sub_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`sub`; returns ``self``."""
    def subtract(self, other: Any, *, alpha: builtins.float = 1) -> Tensor:
        """``input - alpha * other``, element by element; arguments as ``add``."""
    def sum(
        self,
        dim: Any = None,
        keepdim: builtins.bool = False,
        *,
        dtype: Any = None,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The sum over the axes ``dim``: ``y[j] = sum_i input[i, j]``."""
    def sum_to_size(self, *size: Any) -> Tensor:
        """The sum over the axes that broadcasting ``size`` to this shape would repeat."""
    def swapaxes(self, axis0: builtins.int, axis1: builtins.int) -> Tensor:
        """NumPy's name of :func:`transpose`."""
    def swapdims(self, dim0: builtins.int, dim1: builtins.int) -> Tensor:
        """Another name of ``transpose``."""
    def t(self) -> Tensor:
        """The transpose of a matrix; vectors and 0-d tensors stay as they are."""
    def take(self, index: Any) -> Tensor:
        """The elements at positions of the flat input: ``y[k] = x.flat[index[k]]``."""
    def take_along_dim(self, indices: Any, dim: Any = None, axis: Any = None) -> Tensor:
        """NumPy's ``take_along_axis``: :func:`gather` that broadcasts, and counts -1 from ..."""
    def tan(self) -> Tensor:
        """The tangent."""
    def tanh(self) -> Tensor:
        """The hyperbolic tangent."""
    def tensor_split(self, indices_or_sections: Any, dim: builtins.int = 0) -> Tensor:
        """A tuple of views: so many nearly equal pieces, or cut at the given positions."""
    def tile(self, *dims: Any) -> Tensor:
        """The tensor repeated ``dims[i]`` times along axis i: ``x.tile(2, 3)`` or ..."""
    def to(
        self,
        *args: Any,
        device: Any = None,
        dtype: Any = None,
        non_blocking: builtins.bool = False,
        copy: builtins.bool = False,
    ) -> Tensor:
        """This tensor in another dtype and/or on another device; itself if nothing changes, ..."""
    def tolist(self) -> Tensor:
        """The values as nested lists of Python numbers; of a 0-d tensor, one number."""
    def topk(
        self,
        k: builtins.int,
        dim: Any = None,
        largest: builtins.bool = True,
        sorted: builtins.bool = True,
        *,
        axis: Any = None,
    ) -> Tensor:
        """The ``k`` largest elements along ``dim`` and their positions; of equal ones the first."""
    def trace(self) -> Tensor:
        """The sum of the diagonal of a matrix."""
    def transpose(self, dim0: builtins.int, dim1: builtins.int) -> Tensor:
        """Two axes exchanged; shares memory. ``swapaxes`` is another name."""
    def tril(self, diagonal: builtins.int = 0) -> Tensor:
        """The lower triangle: ``y[..., i, j] = x[..., i, j] if j - i <= diagonal else 0``."""
    def tril_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`tril`; returns ``self``."""
    def triu(self, diagonal: builtins.int = 0) -> Tensor:
        """The upper triangle: ``y[..., i, j] = x[..., i, j] if j - i >= diagonal else 0``."""
    def triu_(self, *args: Any, **kwargs: Any) -> Tensor:
        """In-place form of :func:`triu`; returns ``self``."""
    def true_divide(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """``input / other``, element by element; integers give floats unless the quotient is ..."""
    def trunc(self) -> Tensor:
        """The input without its fraction: rounded towards 0. Its gradient is 0."""
    def type_as(self, other: Any) -> Tensor:
        """This tensor in the dtype and on the device of ``other``."""
    def unbind(self, dim: builtins.int = 0) -> Tensor:
        """A tuple of views, one for each position along ``dim``, which goes."""
    def unflatten(self, dim: builtins.int, sizes: Any) -> Tensor:
        """Axis ``dim`` split into axes of the given sizes, one of which may be -1."""
    def unfold(self, dimension: builtins.int, size: builtins.int, step: builtins.int) -> Tensor:
        """The windows of ``size`` along axis ``dimension``, ``step`` apart, as a new last axis."""
    def uniform_(self, *args: Any, **kwargs: Any) -> Tensor:
        """Fill the tensor with values uniform in [low, to). The result has no history."""
    def unique(
        self,
        sorted: builtins.bool = True,
        return_inverse: builtins.bool = False,
        return_counts: builtins.bool = False,
        dim: Any = None,
        *,
        axis: Any = None,
    ) -> Tensor:
        """The different elements, in order; or with ``dim`` the different slices of that ..."""
    def unique_consecutive(
        self,
        return_inverse: builtins.bool = False,
        return_counts: builtins.bool = False,
        dim: Any = None,
        *,
        axis: Any = None,
    ) -> Tensor:
        """The elements without those that are equal to the one before; arguments as ``unique``."""
    def unsqueeze(self, dim: builtins.int) -> Tensor:
        """A new axis of size 1 at position ``dim`` of the result (NumPy's ``expand_dims``)."""
    def var(
        self,
        dim: Any = None,
        unbiased: builtins.bool | None = None,
        keepdim: builtins.bool = False,
        *,
        correction: builtins.float | None = None,
        axis: Any = None,
        keepdims: builtins.bool | None = None,
    ) -> Tensor:
        """The variance over the axes ``dim``: ``y[j] = sum_i (input[i, j] - mean[j])**2 / ..."""
    def vdot(self, other: Any) -> Tensor:
        """The inner product of two vectors [K]: that of ``dot``, for real numbers."""
    def view(self, *size: Any) -> Tensor:
        """The same as ``reshape``: a view where the memory order allows it, else a copy."""
    def view_as(self, other: Any) -> Tensor:
        """The same elements under the shape of ``other``."""
    def vsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """Cut along axis 0 into equal parts, or at the given positions."""
    def where(self, condition: Any, other: Any) -> Tensor:
        """The elements of this tensor where ``condition`` holds, ``other`` elsewhere; see ..."""
    def xlogy(self, other: Any) -> Tensor:
        """``input * log(other)``, and 0 where the input is 0, whatever number the other is."""
    def zero_(self) -> Tensor:
        """Set every element to 0. The result has no history."""
