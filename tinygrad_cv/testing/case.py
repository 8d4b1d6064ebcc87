"""What a test of an operator is made of: cases that must hold and calls that must be refused."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_cv.backend import array as backend_array
from tinygrad_cv.backend import random as backend_random
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError

__all__ = ["Bad", "Case", "CheckFailure", "flatten", "layouts", "moved"]
__all__ += ["parametrize_cases"]


class CheckFailure(AssertionError):
    """A generic check found a fault; the text names the case, the check and the numbers.

    It is an AssertionError, so pytest reports it as a failed test.

    >>> import numpy as np, tinygrad_cv as tg
    >>> from tinygrad_cv.testing import Case, check_case
    >>> try:  # the reference is wrong here
    ...     check_case(Case(tg.exp, (np.array([0.0, 1.0]),), reference=np.expm1))
    ... except CheckFailure as failure:
    ...     print(str(failure).partition(",")[0])
    exp-2: check 'value': output 0 is wrong at 2 of 2 places
    """


@dataclass(frozen=True, eq=False)
class Case:
    """One call of an operator or of a public function, with what it must give.

    Args:
        function: an ``Op`` class, called as ``function.call(*inputs, *attrs, **kwargs)``, or any
            function of Tensors, called as ``function(*inputs, *attrs, **kwargs)``.
        inputs: NumPy arrays; tuples or lists of arrays (``cat``), ``None`` and Python scalars pass
            through. Give floating inputs in float64: the float32 run is derived.
        attrs, kwargs: what follows the inputs, by position and by name.
        reference: ``reference(*inputs)`` -> array or tuple of arrays, by a naive loop or another
            library. It gets only the inputs and never calls the code under test.
        name: shown in the test's name.
        order: how often the derivative is checked (0 = never, 1, 2 or 3).
        kinks: the inputs stand on kinks or ties. Derivatives by differences are then taken at
            inputs shifted by 0.02 to 0.1; what holds at the kink itself is for ``gradient`` and
            ``torch``.
        diff: the inputs to differentiate, by flat position or by name; default: all floating ones
            (of an ``Op``: those with a rule).
        torch: the same call on torch tensors, an extra oracle for values and gradients.
        gradient: ``gradient(g, *inputs)`` -> the expected gradients of the ``diff`` inputs, for the
            rule at kinks and ties; ``g`` is the cotangent (a tuple when there are several).
        batch: flat positions of the inputs whose axis 0 is the batch; emptying it must then work.
            Default: the generic guess, which may also raise one of the declared errors.
        rtol: relative tolerance of values in float64.
        skip: check name -> reason, for a check that cannot apply (see ``testing.CHECKS``).

    Example:
        >>> import numpy as np, tinygrad_cv as tg
        >>> from tinygrad_cv.testing import Case, check_case
        >>> check_case(Case(tg.exp, (np.array([0.0, 1.0, -2.0]),), reference=np.exp))
    """

    function: Any
    inputs: Sequence[Any]
    attrs: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    reference: Callable[..., Any] | None = None
    name: str = ""
    order: int = 2
    kinks: bool = False
    diff: Sequence[int | str] | None = None
    torch: Callable[..., Any] | None = None
    gradient: Callable[..., Any] | None = None
    batch: Sequence[int] | None = None
    rtol: float = 1e-10
    skip: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        arrays = [np.asarray(i) if isinstance(i, np.generic) else i for i in self.inputs]
        object.__setattr__(self, "inputs", tuple(arrays))  # a NumPy scalar is a 0-d array here
        if self.reference is None and self.torch is None:
            raise ArgumentError("Case", f"{self.id} needs a reference= or a torch= to compare with")
        if not 0 <= self.order <= 3:
            raise ArgumentError("Case", f"order must be 0, 1, 2 or 3, not {self.order}")

    @property
    def op(self) -> type[Op] | None:
        """The operator, when the case names one directly (as a class or by its ``call``), else
        None.

        >>> import numpy as np, tinygrad_cv as tg
        >>> Case(tg.exp, (np.zeros(2),), reference=np.exp).op.equation
        'y = e^x'
        """
        return operator_of(self.function)

    @property
    def id(self) -> str:
        """The name shown by pytest: function, case name and shapes.

        >>> import numpy as np, tinygrad_cv as tg
        >>> inputs = np.ones((2, 3)), np.ones((3, 4))
        >>> Case(tg.matmul, inputs, reference=np.matmul, name="plain").id
        'matmul-plain-2x3,3x4'
        """
        function = getattr(callable_of(self.function), "__name__", "function")
        shapes = ",".join("x".join(map(str, leaf.shape)) or "0d" for leaf in self.leaves())
        return "-".join(part for part in (function, self.name, shapes) if part)

    def rng(self, salt: int = 0) -> np.random.Generator:
        """A generator that depends on the case only, so that a failure repeats.

        >>> import numpy as np, tinygrad_cv as tg
        >>> case = Case(tg.exp, (np.zeros(2),), reference=np.exp)
        >>> case.rng().random() == case.rng().random(), case.rng().random() == case.rng(1).random()
        (True, False)
        """
        return np.random.default_rng([zlib.crc32(self.id.encode()), salt])

    def leaves(self) -> list[np.ndarray]:
        """The arrays among the inputs, flat and in order.

        >>> import numpy as np, tinygrad_cv as tg
        >>> case = Case(tg.cat, ([np.zeros((1, 2)), np.ones((3, 2))],), reference=np.concatenate)
        >>> [leaf.shape for leaf in case.leaves()]
        [(1, 2), (3, 2)]
        """
        return list(flatten(self.inputs, np.ndarray))

    def names(self) -> list[str]:
        """For each leaf the name of the argument it belongs to.

        >>> import numpy as np, tinygrad_cv as tg
        >>> case = Case(tg.maximum, (np.zeros(2), np.ones(2)), reference=np.maximum)
        >>> case.names()
        ['input', 'other']
        """
        if self.op:
            known = list(self.op.inputs)
        else:
            known = [p.name for p in _parameters(self.function)]
        counts = [len(list(flatten(item, np.ndarray))) for item in self.inputs]
        known += [f"input {i}" for i in range(len(known), len(counts))]
        return [known[i] for i, count in enumerate(counts) for _ in range(count)]

    def differentiable(self) -> list[int]:
        """Flat positions of the inputs whose gradient is checked.

        Raises:
            ArgumentError: ``diff`` names an input that the case has not.

        >>> import numpy as np, tinygrad_cv as tg
        >>> inputs = np.ones((2, 2)), 0, np.zeros((2, 2), int)
        >>> case = Case(tg.gather, inputs, reference=lambda input, dim, index: input[index, [0, 1]])
        >>> case.differentiable()  # the indices are integers
        [0]
        """
        leaves, names = self.leaves(), self.names()
        if self.diff is not None:
            wanted = set(self.diff)
            unknown = wanted - set(range(len(leaves))) - set(names)
            if unknown:
                named = sorted(map(str, unknown))
                raise ArgumentError("Case", f"{self.id}: diff names no input: {named}")
            return [i for i, name in enumerate(names) if i in wanted or name in wanted]
        floating = [i for i, leaf in enumerate(leaves) if leaf.dtype.kind == "f"]
        if self.op:
            return [i for i in floating if names[i] in self.op.rules]
        return floating

    def arguments(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """The inputs with their arrays replaced, in order, by ``leaves``.

        >>> import numpy as np, tinygrad_cv as tg
        >>> case = Case(tg.cat, ([np.zeros(1), np.ones(2)], 0), reference=np.concatenate)
        >>> case.arguments(["a", "b"])
        (['a', 'b'], 0)
        """
        stream = iter(leaves)
        return tuple(_rebuild(item, stream) for item in self.inputs)

    def call(self, leaves: Sequence[Any]) -> list[Tensor]:
        """Runs the function on ``leaves`` (Tensors) and gives its Tensors, flat. Random operators
        draw the same in every call.

        >>> import numpy as np, tinygrad_cv as tg
        >>> case = Case(tg.exp, (np.zeros(2),), reference=np.exp)
        >>> case.call([tg.zeros(3)])
        [tensor([1., 1., 1.])]
        """
        function = callable_of(self.function)
        generator = backend_random.default_generator
        state = generator.get_state()
        generator.manual_seed(0)  # an operator that draws must draw the same in every run
        try:
            result = function(*self.arguments(leaves), *self.attrs, **self.kwargs)
        finally:
            generator.set_state(state)
        return list(flatten(result, Tensor))

    def moved(self, device: str) -> Case:
        """The same case with the arrays among its attributes on a device; the leaves move when the
        case is called.

        >>> import tinygrad_cv as tg
        >>> attrs = (1, np.array([2, 0]))
        >>> case = Case(tg.index_select, (np.ones((2, 3)),), attrs, reference=np.take)
        >>> case.moved("meta").attrs[1].shape
        (2,)
        """
        attrs = tuple(moved(value, device) for value in self.attrs)
        kwargs = {name: moved(value, device) for name, value in self.kwargs.items()}
        return dataclasses.replace(self, attrs=attrs, kwargs=kwargs)


@dataclass(frozen=True, eq=False)
class Bad:
    """A call that must be refused, and how.

    Args:
        function: an ``Op`` class or a public function.
        args, kwargs: the arguments; NumPy arrays become Tensors first.
        error: the declared class, one of ``tinygrad_cv.errors``.
        match: regular expression that the text must contain.
        name: shown in the test's name.
        apply: ``apply(repair, args, kwargs) -> (args, kwargs)`` where a suggested repair is not
            simply an argument of the function.
        skip: check name -> reason: "shapes" (the text shows no shape), "operator" (the text does
            not begin with the function's name), "repair", "meta".

    The repair that ``reshape`` suggests for 6 elements in 4 rows is tried out by the check:

    >>> import numpy as np, tinygrad_cv as tg
    >>> from tinygrad_cv.testing import check_bad
    >>> bad = Bad(tg.reshape, (np.zeros((2, 3)), (4, 2)), error=tg.ShapeError, match="6 elements")
    >>> check_bad(bad)
    >>> bad.id
    'reshape-2x3-ShapeError'
    """

    function: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    error: type[Exception] = Exception
    match: str = ""
    name: str = ""
    apply: Callable[..., Any] | None = None
    skip: Mapping[str, str] = field(default_factory=dict)

    @property
    def operator(self) -> str:
        """The name that the text must begin with.

        >>> import numpy as np, tinygrad_cv as tg
        >>> Bad(tg.add, (np.zeros(2), np.zeros(3)), error=tg.ShapeError).operator
        'add'
        """
        return str(getattr(callable_of(self.function), "__name__", ""))

    @property
    def id(self) -> str:
        """The name shown by pytest: function, case name, shapes and error.

        >>> import numpy as np, tinygrad_cv as tg
        >>> Bad(tg.add, (np.zeros(2), np.zeros(3)), error=tg.ShapeError, name="broadcast").id
        'add-broadcast-2,3-ShapeError'
        """
        arrays = flatten(tuple(self.args), (np.ndarray, Tensor))
        shapes = ",".join("x".join(map(str, a.shape)) or "0d" for a in arrays)
        return "-".join(p for p in (self.operator, self.name, shapes, self.error.__name__) if p)


def parametrize_cases(cases: Sequence[Any]) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: runs a pytest test once per entry, as argument ``case`` (of Bads: ``bad``).

    Needs pytest, which is imported only here.

    >>> import numpy as np, tinygrad_cv as tg
    >>> from tinygrad_cv.testing import Case, check_case
    >>> CASES = [Case(tg.sin, (np.array([0.0, 1.0]),), reference=np.sin)]
    >>> @parametrize_cases(CASES)
    ... def test_operator(case):
    ...     check_case(case)
    >>> [case.id for case in CASES]  # what pytest shows in the test's name
    ['sin-2']
    """
    import pytest

    argument = "bad" if cases and isinstance(cases[0], Bad) else "case"
    return pytest.mark.parametrize(argument, list(cases), ids=lambda item: item.id)


def flatten(item: Any, kind: Any) -> Iterator[Any]:
    """The objects of class ``kind`` in nested tuples, lists and dictionaries, in order."""
    if isinstance(item, kind):
        yield item
    elif isinstance(item, (tuple, list)):
        for part in item:
            yield from flatten(part, kind)
    elif isinstance(item, Mapping):
        for part in item.values():
            yield from flatten(part, kind)


def moved(value: Any, device: str) -> Any:
    """An argument of an operator on the device: an array, or an object that holds arrays."""
    if isinstance(value, np.ndarray):
        return backend_array.to_device(value, backend_array.as_device(device))
    held = [n for n in getattr(value, "__slots__", ()) if isinstance(getattr(value, n), np.ndarray)]
    if not held:
        return value
    other = copy.copy(value)
    for name in held:
        setattr(other, name, moved(getattr(value, name), device))
    return other


def to_tensors(
    leaves: Sequence[np.ndarray],
    device: str,
    needs: Sequence[int] = (),
    layout: str = "contiguous",
) -> list[Tensor]:
    """Tensors that see ``leaves`` read-only (elsewhere: copies); ``needs`` get a gradient."""
    tensors = []
    for position, leaf in enumerate(leaves):
        array = backend_array.to_device(leaf, backend_array.as_device(device))
        array = relayout(array, layout) if device != "meta" else array
        if isinstance(array, np.ndarray):
            array = array.view()
            array.flags.writeable = False
        tensor = Tensor(array)
        tensors.append(tensor.requires_grad_() if position in needs else tensor)
    return tensors


# The memory orders of a test, with the axes that an array needs to be changed by one.
_AXES = {"contiguous": 0, "strided": 1, "reversed": 1, "transposed": 2, "channels_last": 3}


def layouts(leaves: Sequence[np.ndarray], *names: str) -> list[str]:
    """Those of the memory orders that are not the plain one for these arrays."""
    most = max((leaf.ndim for leaf in leaves), default=0)
    return [name for name in names if _AXES[name] <= most]


def relayout(array: Any, layout: str) -> Any:
    """The same values in other memory: strides must be read, not assumed."""
    with backend_array.on_device_of(array):
        return _relaid(backend_array.xp_of(array), array, layout)


def _relaid(xp: Any, array: Any, layout: str) -> Any:
    if layout == "channels_last" and array.ndim > 2:
        return xp.moveaxis(xp.ascontiguousarray(xp.moveaxis(array, 1, -1)), -1, 1)
    if layout == "transposed" and array.ndim:  # NumPy makes 0-d arrays 1-d here
        return xp.asfortranarray(array)
    if layout in ("contiguous", "channels_last") or array.ndim == 0:
        return array
    if layout == "reversed":
        return xp.ascontiguousarray(array[..., ::-1])[..., ::-1]
    wide = xp.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def operator_of(function: Any) -> type[Op] | None:
    """The operator behind an ``Op`` class or its ``call``; None for any other function."""
    if isinstance(function, type) and issubclass(function, Op):
        return function
    return getattr(function, "op", None)


def callable_of(function: Any) -> Callable[..., Any]:
    """What is called with Tensors: of an ``Op`` class its ``call``."""
    is_op = isinstance(function, type) and issubclass(function, Op)
    return function.call if is_op else function


def _rebuild(item: Any, stream: Iterator[Any]) -> Any:
    if isinstance(item, np.ndarray):
        return next(stream)
    if isinstance(item, (tuple, list)):
        return type(item)([_rebuild(part, stream) for part in item])
    return item


def _parameters(function: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # builtins without a signature
        return []
