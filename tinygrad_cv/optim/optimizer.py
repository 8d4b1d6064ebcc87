"""What all optimisers share: parameter groups, their state, and the loop of ``step``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinygrad_cv.autograd.finite import FiniteWatch
from tinygrad_cv.autograd.modes import enable_grad
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.array import on_device_of
from tinygrad_cv.backend.dtypes import is_float
from tinygrad_cv.backend.writes import is_writeable, note_writes
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, ShapeError
from tinygrad_cv.optim._state import Group, State, plain, restored

__all__ = ["Optimizer"]


class Optimizer:
    """Base of all optimisers; a subclass gives the defaults and the rule for one parameter.

    ``param_groups`` is a list of dictionaries: the group's parameters under ``"params"`` and
    one value per hyper-parameter. They are read at every step, so a schedule writes into them.
    ``state[p]`` holds what the rule remembers of parameter ``p``.

    Args:
        params: tensors, or dictionaries with ``"params"`` and hyper-parameters of their own.
        defaults: the hyper-parameters of groups that do not name them.

    Raises:
        ArgumentError: no parameters, a parameter given twice, or a value out of range.
        DTypeError: something that is not a floating-point tensor.
        GraphError: a parameter that is itself the result of an operation.

    A subclass writes ``_update(param, grad, group, state)``, which gets raw arrays and changes
    ``param`` in place; here sign descent, p <- p - lr * sign(g) (Bernstein et al., ICML 2018):

    >>> import numpy as np, tinygrad_cv as tg
    >>> class SignSGD(Optimizer):
    ...     def __init__(self, params, lr):
    ...         super().__init__(params, {"lr": lr})
    ...     def _update(self, param, grad, group, state):
    ...         param -= group["lr"] * np.sign(grad)
    >>> p = tg.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = SignSGD([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([ 0.75, -1.75], requires_grad=True)
    """

    # What the rule cannot go on without, once it remembers anything of a parameter.
    _needed_state: tuple[str, ...] = ()
    _has_stepped = False  # or was loaded; a schedule that comes first skips its first rate

    # What the kernel table calls a step of many parameters at once, by the rule of this class.
    _kernel: str | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "_update" in cls.__dict__ and "_kernel" not in cls.__dict__:
            cls._kernel = None  # a rule of its own

    def __init__(self, params: Iterable[Tensor] | Iterable[Group], defaults: Group) -> None:
        if isinstance(params, Tensor | dict) or not isinstance(params, Iterable):
            raise DTypeError(
                self._name,
                f"params must be an iterable of tensors or of groups, not one {_kind(params)}",
                repair="Call it: model.parameters()."
                if callable(params)
                else "Give a list: [parameter], or model.parameters().",
            )
        self._watch = FiniteWatch()
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self.state: defaultdict[Tensor, State] = defaultdict(dict)
        entries: list[Any] = list(params)
        if not entries:
            raise ArgumentError(
                self._name,
                "there are no parameters to optimise",
                repair="Layers in a plain list or dict are not found: keep them in nn.ModuleList "
                "or nn.ModuleDict. An iterator is empty after its first use: call "
                "model.parameters() again.",
            )
        groups = entries if isinstance(entries[0], dict) else [{"params": entries}]
        for group in groups:
            self.add_param_group(group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient, in place and outside the graph.

        Args:
            closure: computes the loss (and its gradients) once more before the step.

        Returns:
            What the closure returned, or None.

        Warns, once for each optimiser, when the loss that the last ``backward`` began with, or a
        gradient, is not finite, and says how to find the cause.

        Raises:
            ShapeError: a ``.grad`` has not its parameter's shape. Nothing is changed then.
            DTypeError: a ``.grad`` is neither a tensor nor None.
            GraphError: a parameter cannot be written: its memory is read-only, or expanded from
                fewer elements. Nothing is changed then.

        >>> import tinygrad_cv as tg
        >>> used, idle = tg.tensor([1.0], requires_grad=True), tg.tensor([1.0], requires_grad=True)
        >>> optimizer = tg.optim.SGD([used, idle], lr=0.1)
        >>> (2 * used).sum().backward()
        >>> optimizer.step()
        >>> round(used.item(), 2), idle.item()  # without a gradient a parameter stays as it is
        (0.8, 1.0)
        """
        self._has_stepped = True
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        active: list[tuple[Group, list[Any]]] = [
            (group, [param for param in group["params"] if param.grad is not None])
            for group in self.param_groups
        ]
        for _, params in active:
            for param in params:
                _check_gradient(self._name, param)
                _check_writeable(self._name, param)
        self._watch.look(self._name, [param for _, params in active for param in params])
        written = (param.array for _, params in active for param in params)
        note_writes(written, f"{self._name}.step")
        with np.errstate(all="ignore"):  # values that are not finite are told by the watch
            for group, params in active:
                for param in self._update_together(params, group):
                    with on_device_of(param.array):
                        self._update(param.array, param.grad.array, group, self.state[param])
        return loss

    def _update(self, param: Any, grad: Any, group: Group, state: State) -> None:
        """The rule for one parameter: write the new values into the array ``param``.

        ``grad`` belongs to the user and stays as it is. ``state`` is empty at the first step.
        """
        raise NotImplementedError

    def _update_together(self, params: list[Any], group: Group) -> list[Any]:
        """Let a kernel of the table take the step of as many parameters as it serves, and return
        the others. It is only asked for those that have their state: the first step is the rule's.
        """
        rows = kernels.candidates(self._kernel) if self._kernel else None
        if rows is None:
            return params
        names = self._arrays(group)
        ready, kinds = [], []  # parameters; parameter, gradient and states of each, as raw arrays
        for param in params:
            tensors = [param, param.grad, *map(self.state[param].get, names)]
            arrays = [getattr(tensor, "array", None) for tensor in tensors]
            if all(type(array) is np.ndarray for array in arrays):
                ready.append(param)
                kinds.append(arrays)
        firsts = tuple(arrays[0] for arrays in kinds)
        kernel = kernels.choose(rows, "cpu", firsts, (group,)) if ready else None
        if kernel is None:
            return params
        steps = [self.state[param].get("step", 0) + 1 for param in ready]
        taken = kernel.function(np, kinds, steps, group)
        done = {id(param) for param, took in zip(ready, taken, strict=True) if took}
        for param, step in zip(ready, steps, strict=True):
            if id(param) in done and "step" in self.state[param]:
                self.state[param]["step"] = step
        return [param for param in params if id(param) not in done]

    def _arrays(self, group: Group) -> tuple[str, ...]:
        """The state arrays that the rule reads and writes with the options of a group."""
        return tuple(name for name in self._needed_state if name != "step")

    def _check(self, group: Group) -> None:
        """Raise an ArgumentError for a hyper-parameter out of range."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or with ``set_to_none=False`` fill them with zeros.

        ``backward`` adds to ``.grad``, so without this call the gradients of several steps add up:

        >>> import tinygrad_cv as tg
        >>> p = tg.tensor([3.0], requires_grad=True)
        >>> optimizer = tg.optim.SGD([p])
        >>> for _ in range(2):
        ...     (p * p).sum().backward()
        >>> p.grad.item()  # 6 + 6
        12.0
        >>> optimizer.zero_grad()
        >>> p.grad is None
        True
        """
        for param in self._params():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad = param.grad.detach()  # a gradient with a graph lets go of it
                if not is_writeable(param.grad.array):
                    param.grad = param.grad.clone()
                note_writes((param.grad.array,), "zero_grad")
                with on_device_of(param.grad.array):
                    param.grad.array[...] = 0

    def add_param_group(self, param_group: Group) -> None:
        """Optimise more parameters from now on, such as layers that were frozen so far.

        Args:
            param_group: a dictionary with ``"params"`` (a tensor or several) and the
                hyper-parameters in which it differs from the optimiser's defaults.

        Raises:
            DTypeError: it is no such dictionary, or holds something that is not a floating-point
                tensor.
            ArgumentError: an unknown option, a value out of range, or a parameter that is optimised
                already.
            GraphError: a parameter that is the result of an operation.

        >>> import tinygrad_cv as tg
        >>> head, body = tg.ones(2, requires_grad=True), tg.ones(3, requires_grad=True)
        >>> optimizer = tg.optim.SGD([head], lr=0.1, momentum=0.9)
        >>> optimizer.add_param_group({"params": body, "lr": 0.001})
        >>> [(group["lr"], group["momentum"]) for group in optimizer.param_groups]
        [(0.1, 0.9), (0.001, 0.9)]
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise DTypeError(
                self._name,
                f"a parameter group is a dictionary with the key 'params', not {param_group!r:.60}",
            )
        unknown = param_group.keys() - self.defaults.keys() - {"params", "initial_lr"}
        if unknown:
            raise ArgumentError(
                self._name,
                f"a parameter group has the unknown option {min(unknown)!r}",
                repair=f"Known options: {', '.join(self.defaults)}.",
            )
        params = param_group["params"]
        if not isinstance(params, Iterable):
            raise DTypeError(
                self._name, f"params must be a tensor or several, not one {_kind(params)}"
            )
        params = [params] if isinstance(params, Tensor) else list(params)
        options = {key: value for key, value in param_group.items() if key != "params"}
        group = {key: plain(value) for key, value in {**self.defaults, **options}.items()}
        group["params"] = params
        known = {id(param) for other in self.param_groups for param in other["params"]}
        for position, param in enumerate(params):
            self._check_param(param, position)
            if id(param) in known:
                raise ArgumentError(
                    self._name, f"params[{position}] of shape {param.shape} is given twice"
                )
            known.add(id(param))
        self._check(group)
        self.param_groups.append(group)

    def _check_param(self, param: Any, position: int) -> None:
        if not isinstance(param, Tensor):
            raise DTypeError(
                self._name,
                f"params[{position}] is not a tensor but of type {_kind(param)}",
                repair="Give model.parameters(), or a list of tensors.",
            )
        if not is_float(param.dtype):
            raise DTypeError(
                self._name, f"params[{position}] is {param.dtype}; only floats have gradients"
            )
        if not param.is_leaf:
            raise GraphError(
                self._name,
                f"params[{position}] of shape {param.shape} is the result of an operation",
                repair="Optimise the tensor it was computed from, or detach it first.",
            )

    def _check_range(self, group: Group, name: str, low: float, high: float = float("inf")) -> None:
        """Raise unless ``low <= group[name] < high``; for tuples, each entry."""
        values = group[name] if isinstance(group[name], tuple | list) else (group[name],)
        for value in values:
            if not isinstance(value, int | float) or not low <= value < high:
                bound = f"at least {low:g}" if low > -1e300 else "a number"
                bound += f" and below {high:g}" if high < 1e300 else ""
                raise ArgumentError(self._name, f"{name} must be {bound}; it is {value!r}")

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on later, in PyTorch's shape; parameters are numbered.

        The state tensors are those of the optimiser, not copies.

        >>> import tinygrad_cv as tg
        >>> p = tg.ones(2, requires_grad=True)
        >>> optimizer = tg.optim.Adam([p])
        >>> p.sum().backward()
        >>> optimizer.step()
        >>> state = optimizer.state_dict()
        >>> state["param_groups"][0]["params"], sorted(state["state"][0]), state["state"][0]["step"]
        ([0], ['exp_avg', 'exp_avg_sq', 'step'], 1)
        """
        number = {id(p): i for i, p in enumerate(self._params())}
        groups = [
            {**group, "params": [number[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {number[id(p)]: dict(entry) for p, entry in self.state.items() if entry}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` gave; arrays are copied to each parameter's device.

        Parameters are matched by their number, that is by their order in the groups.

        Raises:
            DTypeError: it is not a mapping with the keys "state" and "param_groups", or an entry of
                it has another type than ``state_dict`` gives.
            ArgumentError: the groups do not have the same numbers of parameters, a value is out of
                range, or the state is that of another kind of optimiser.
            ShapeError: a state array does not have its parameter's shape.

        After an error nothing is changed.

        >>> import tinygrad_cv as tg
        >>> def trained(steps, p, optimizer):
        ...     for _ in range(steps):
        ...         optimizer.zero_grad(); (p * p).sum().backward(); optimizer.step()
        >>> p = tg.tensor([1.0], requires_grad=True)
        >>> first = tg.optim.SGD([p], lr=0.1, momentum=0.9)
        >>> trained(3, p, first)
        >>> q = p.detach().clone().requires_grad_()
        >>> second = tg.optim.SGD([q], lr=0.5)
        >>> second.load_state_dict(first.state_dict())  # the velocity and lr=0.1, momentum=0.9
        >>> trained(2, p, first); trained(2, q, second)
        >>> p.item() == q.item()
        True
        """
        what = f"{self._name}.load_state_dict"
        groups, state = restored(
            what, state_dict, [group["params"] for group in self.param_groups], self._needed_state
        )
        merged = [{**own, **new} for own, new in zip(self.param_groups, groups, strict=True)]
        for group in merged:
            self._check(group)
        for own, group in zip(self.param_groups, merged, strict=True):
            own.update(group)
        self.state = defaultdict(dict, state)
        self._has_stepped = True

    def _params(self) -> list[Tensor]:
        return [param for group in self.param_groups for param in group["params"]]

    @property
    def _name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _kind(value: Any) -> str:
    return type(value).__name__


def _check_gradient(name: str, param: Tensor) -> None:
    """What the user put into ``.grad`` must have its parameter's shape."""
    grad = param.grad
    if not isinstance(grad, Tensor):
        raise DTypeError(name, f".grad must be a tensor or None, not {_kind(grad)}")
    if grad.shape != param.shape:
        raise ShapeError(
            name,
            "a gradient does not have its parameter's shape",
            values=[("parameter", param.shape), (".grad", grad.shape)],
        )


def _check_writeable(name: str, param: Tensor) -> None:
    if not is_writeable(param.array):
        raise GraphError(
            name,
            "the memory of a parameter is read-only, or one element of it stands for many",
            values=[("parameter", param.shape)],
            repair="Give it memory of its own: p.data = p.data.clone().",
        )
