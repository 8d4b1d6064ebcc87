"""Operators of your own with forward and backward in one class, as in PyTorch.

A :class:`Function` is one operator of the graph: what its ``forward`` runs is not recorded, and its
``backward`` gives the gradients. Where a rule for each input is enough, an operator by the contract
of :mod:`tinygrad_cv.core.op` says more: its equation, its shapes before it runs, kernels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from tinygrad_cv.autograd.function_node import run_and_record
from tinygrad_cv.autograd.function_plan import Context, Refusal, missing
from tinygrad_cv.core.mode import grad_mode, is_grad_enabled
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx(Context):
    """What ``forward`` and ``backward`` of a :class:`Function` are given as ``ctx``.

    Everything may be set on it as an attribute. Tensors, also in tuples, lists and dicts, are then
    kept as ``save_for_backward`` keeps them. What ``backward`` sets is gone after it.

    Attributes:
        needs_input_grad: a bool for each argument of ``apply``: is its gradient asked for?

    >>> import tinygrad_cv as tg
    >>> class Scale(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x, factor):
    ...         ctx.factor = factor
    ...         return x * factor
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         return g * ctx.factor, None
    >>> x = tg.ones(2, requires_grad=True)
    >>> Scale.apply(x, 3.0).sum().backward()
    >>> x.grad
    tensor([3., 3.])
    """

    __slots__ = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for backward, where ``saved_tensors`` has them in this order. A second call
        replaces the first.

        Arguments and outputs of ``forward`` get their places in the graph back, so that
        ``backward`` can itself be differentiated. A value that ``forward`` computed from its
        arguments and did not return has no such place: the second differentiation refuses it.

        Raises:
            DTypeError: something that is neither a Tensor nor None.

        >>> import tinygrad_cv as tg
        >>> class Square(tg.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x * x
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         (x,) = ctx.saved_tensors
        ...         return 2 * x * g
        >>> x = tg.tensor(3.0, requires_grad=True)
        >>> (slope,) = tg.autograd.grad(Square.apply(x), x, create_graph=True)
        >>> tg.autograd.grad(slope, x)
        (tensor(2.),)
        """
        for k, tensor in enumerate(tensors):
            if tensor is not None and not isinstance(tensor, Tensor):
                raise DTypeError(
                    "save_for_backward",
                    f"argument {k} must be a Tensor or None, not {type(tensor).__name__}",
                    repair="Set anything else as an attribute: ctx.name = value.",
                )
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What ``save_for_backward`` was given; in ``backward`` only, before that it is empty.

        >>> FunctionCtx(()).saved_tensors
        ()
        """
        return self._saved if self._restored else ()

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that these outputs of ``forward`` have no gradient. ``backward`` gets zeros for them.
        Outputs that are not floating never have one.

        >>> import tinygrad_cv as tg
        >>> class Floor(tg.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         whole = x.floor()
        ...         ctx.mark_non_differentiable(whole)
        ...         return x - whole, whole
        ...     @staticmethod
        ...     def backward(ctx, g, _):
        ...         return g
        >>> rest, whole = Floor.apply(tg.tensor([1.5], requires_grad=True))
        >>> rest.requires_grad, whole.requires_grad
        (True, False)
        """
        self._constant = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say that ``forward`` has written into these arguments. It must return them, and ``apply``
        then returns the caller's own tensors. To be called in ``forward``, at any place.

        ``apply`` refuses a view and a leaf that requires a gradient, as ``x += y`` does, and a
        write into an argument that requires a gradient and was not marked.

        >>> import tinygrad_cv as tg
        >>> class Double(tg.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.mark_dirty(x)
        ...         return x.mul_(2)
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         return 2 * g
        >>> w = tg.ones(2, requires_grad=True)
        >>> x = w * 1
        >>> Double.apply(x) is x, x
        (True, tensor([2., 2.], grad_fn=<Double>))
        """
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """With False ``backward`` gets None, and not zeros, for an output that nothing was
        computed from.

        >>> import tinygrad_cv as tg
        >>> class Both(tg.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.set_materialize_grads(False)
        ...         return x * 2, x * 3
        ...     @staticmethod
        ...     def backward(ctx, g, h):
        ...         print(g, h)
        ...         return 2 * g
        >>> first, second = Both.apply(tg.tensor(1.0, requires_grad=True))
        >>> first.backward()
        tensor(1.) None
        """
        self._materialize = bool(value)

    def save_for_forward(self, *tensors: Any) -> None:
        """Refused: PyTorch keeps tensors for a ``jvp`` of the Function's own with it. Here
        :func:`tinygrad_cv.func.jvp` needs ``backward`` only.

        >>> try:
        ...     FunctionCtx(()).save_for_forward()
        ... except GraphError as error:
        ...     print(error.repair)
        Leave it out, and jvp too: func.jvp differentiates backward.
        """
        raise GraphError(
            "save_for_forward",
            "a Function has no forward mode here",
            repair="Leave it out, and jvp too: func.jvp differentiates backward.",
        )


class Function:
    """An operator made of a static ``forward`` and a static ``backward``; called as
    ``F.apply(*args)``.

    ``forward(ctx, *args)`` gets Tensors without a graph, and anything else as it is. It may compute
    with operators or with NumPy. Or ``forward(*args)`` computes, and ``setup_context(ctx, inputs,
    output)`` keeps what backward needs. ``backward(ctx, *grad_outputs)`` gives a gradient, or None,
    for each argument. If it is written with operators, the gradient can be differentiated again.

    The class may have an ``equation`` and ``gradients`` ({argument: text}), which pictures show,
    and ``flops(*args)``, with the arguments of ``apply``, for profiles; without it they count the
    operators that ``forward`` runs.

    Source: PyTorch's ``torch.autograd.Function``.

    >>> import tinygrad_cv as tg
    >>> class Exp(tg.autograd.Function):
    ...     equation, gradients = "y = e^x", {"x": "g * y"}
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         y = x.exp()
    ...         ctx.save_for_backward(y)
    ...         return y
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (y,) = ctx.saved_tensors
    ...         return g * y
    >>> x = tg.zeros(2, requires_grad=True)
    >>> y = Exp.apply(x)
    >>> y.sum().backward()
    >>> y, x.grad
    (tensor([1., 1.], grad_fn=<Exp>), tensor([1., 1.]))
    """

    equation: ClassVar[str] = ""
    gradients: ClassVar[dict[str, str]] = {}
    flops: ClassVar[Callable[..., int] | None] = None
    _known: ClassVar[dict[Any, Any]]  # signatures and operators, made as they are met

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._known = {}

    def __init__(self, *_: Any, **__: Any) -> None:
        name = type(self).__name__
        raise GraphError(
            name,
            "a Function is a class that is never instantiated",
            repair=f"Call {name}.apply(...); forward and backward are static methods.",
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The computation: ``forward(ctx, *args)``, or ``forward(*args)`` beside a
        ``setup_context``. Returns a Tensor or a tuple of them, in which None, numbers and strings
        may stand too.

        >>> class Nothing(Function):
        ...     pass
        >>> try:
        ...     Nothing.apply()
        ... except GraphError as error:
        ...     print(error.problem)
        it has no forward
        """
        raise GraphError("Function", "it has no forward")

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> None:
        """Keeps what backward needs, if ``forward`` takes no ``ctx``.

        >>> import tinygrad_cv as tg
        >>> class Square(Function):
        ...     @staticmethod
        ...     def forward(x):
        ...         return x * x
        ...     @staticmethod
        ...     def setup_context(ctx, inputs, output):
        ...         ctx.save_for_backward(*inputs)
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         return 2 * ctx.saved_tensors[0] * g
        >>> tg.func.grad(Square.apply)(tg.tensor(3.0))
        tensor(6.)
        """
        raise GraphError("Function", "it has no setup_context")

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        """The gradients of the arguments of ``apply``, from those of the outputs: a Tensor, or a
        tuple with a Tensor or None for each argument. It may be called ``vjp`` instead.

        >>> import tinygrad_cv as tg
        >>> class Half(Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         return x / 2
        >>> y = Half.apply(tg.tensor(1.0, requires_grad=True))
        >>> try:
        ...     y.backward()
        ... except tg.GraphError as error:
        ...     print(error.problem)
        it has no backward
        """
        raise missing("Function")

    vjp = backward

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward``, and record it if an argument requires a gradient.

        Raises:
            GraphError: there is no forward, or it wrote into an argument that it must not write.
            ArgumentError: the arguments do not fit those of forward, or have names.
            DTypeError: forward returned something that is no Tensor.

        >>> import tinygrad_cv as tg
        >>> class Add(Function):
        ...     @staticmethod
        ...     def forward(ctx, x, y):
        ...         return x + y
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         return g, g
        >>> Add.apply(tg.ones(1), tg.ones(1))
        tensor([2.])
        """
        if kwargs:
            raise ArgumentError(
                cls.__name__,
                f"apply takes its arguments by position, not by the name {next(iter(kwargs))!r}",
                repair="Pass them in the order in which forward takes them.",
            )
        if cls.forward is Function.forward:
            raise GraphError(
                cls.__name__, "it has no forward", repair="Write a static method forward(ctx, ...)."
            )
        if cls.backward is not Function.backward and cls.vjp is not Function.backward:
            raise GraphError(
                cls.__name__,
                "it has a backward and a vjp, which are two names of one thing",
                repair="Leave one of them out.",
            )
        separate = cls.setup_context is not Function.setup_context
        own = [f for f in (cls.backward, cls.vjp) if f is not Function.backward]
        return run_and_record(cls, FunctionCtx, separate, own[0] if own else None, args)


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a ``backward`` that is not made of differentiable operators: with
    ``create_graph=True`` it runs without a graph, and differentiating what it gave is an error.

    Raises:
        GraphError: at that second differentiation.

    >>> import tinygrad_cv as tg
    >>> class Sin(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x.sin()
    ...     @staticmethod
    ...     @once_differentiable
    ...     def backward(ctx, g):
    ...         return g * tg.from_numpy(tg.cos(ctx.saved_tensors[0]).numpy())
    >>> x = tg.zeros(1, requires_grad=True)
    >>> (slope,) = tg.autograd.grad(Sin.apply(x), x, create_graph=True)
    >>> try:
    ...     slope.backward()
    ... except tg.GraphError as error:
    ...     print(error.problem)
    its backward is once_differentiable: what it gave cannot be differentiated
    """

    @functools.wraps(function)
    def backward(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        with grad_mode(False):
            found = function(ctx, *grad_outputs)
        if not is_grad_enabled():
            return found
        refusal = ctx._refusal
        assert isinstance(refusal, Refusal)
        if isinstance(found, (tuple, list)):
            return tuple(map(refusal.once, found))
        return refusal.once(found)

    backward.once_differentiable = True  # type: ignore[attr-defined]  # for those who look
    return backward
