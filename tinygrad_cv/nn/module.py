"""Module: the base of every layer and network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from tinygrad_cv.backend.array import as_device, asarray, on_device_of, to_device, xp_of
from tinygrad_cv.core.mode import scope
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, TinygradError
from tinygrad_cv.nn import _calls, _state
from tinygrad_cv.nn._arguments import own_init, to_arguments
from tinygrad_cv.nn._hooks import Hooked
from tinygrad_cv.nn._state import IncompatibleKeys
from tinygrad_cv.ops._refusal import FAILURES

__all__ = ["Module"]


class Module(Hooked):
    """Base class of layers and networks.

    Assign parameters and other modules to attributes, and write ``forward``.
    ``module(x)`` runs ``forward(x)`` with the hooks, and names what runs inside after the module's
    path, so that errors say ``in model.features.0 (Conv2d)`` and pictures show the modules. Keys,
    shapes and strictness of the state dict, and the ways to walk the tree, are PyTorch's.

    >>> from tinygrad_cv import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = nn.Linear(4, 2)
    ...     def forward(self, x):
    ...         return self.fc(x).relu()
    >>> net = Net()
    >>> [(name, p.shape) for name, p in net.named_parameters()]
    [('fc.weight', (2, 4)), ('fc.bias', (2,))]
    """

    _optional_state: ClassVar[tuple[str, ...]] = ()  # keys that a checkpoint may lack

    def __init__(self) -> None:
        super().__init__()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own_init(cls)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass writes its own.

        Users call the module, not ``forward``: only the call runs hooks and names what runs inside.

        Raises:
            NotImplementedError: the subclass has none.

        >>> import tinygrad_cv as tg
        >>> class Square(Module):
        ...     def forward(self, x):
        ...         return x * x
        >>> Square()(tg.tensor([3.0]))
        tensor([9.])
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    # Calling -------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call, root = _calls.begin(self)
        try:
            with scope(call):
                if (
                    self._forward_pre_hooks
                    or self._forward_hooks
                    or self._backward_pre_hooks
                    or self._backward_hooks
                ):
                    return self._call_with_hooks(args, kwargs)
                return self.forward(*args, **kwargs)
        except TinygradError as error:
            if error.module_path is None:
                error.module_path = call.path
            raise
        except FAILURES as error:
            _calls.explain(self, error, call, args, kwargs)
            raise
        finally:
            if root is not None:
                _calls.end(root)

    # Doing something to all of it ----------------------------------------------------------------

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module, children first.

        >>> from tinygrad_cv import nn
        >>> def start(module):
        ...     if isinstance(module, nn.Linear):
        ...         nn.init.constant_(module.bias, 0.5)
        >>> net = nn.Sequential(nn.Linear(4, 2), nn.ReLU()).apply(start)
        >>> net[0].bias.tolist()
        [0.5, 0.5]
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Put this and all below into training: dropout drops, batch norm uses the batch.

        Raises:
            ArgumentError: ``mode`` is no bool.

        >>> from tinygrad_cv import nn
        >>> net = nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.5))
        >>> net.training, net.train(False)[1].training
        (True, False)
        """
        if not isinstance(mode, bool):
            raise ArgumentError("train", f"the mode is a bool, not {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Put this module and all below it into evaluation; the same as ``train(False)``.

        Gradients are still recorded: that is for :class:`tinygrad_cv.no_grad` to stop.

        >>> import tinygrad_cv as tg
        >>> dropout = tg.nn.Dropout(0.5).eval()
        >>> dropout(tg.ones(4)).tolist()
        [1.0, 1.0, 1.0, 1.0]
        """
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for the gradients of all parameters, or freeze them.

        >>> from tinygrad_cv import nn
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        >>> _ = net[0].requires_grad_(False)  # train the last layer only
        >>> [name for name, p in net.named_parameters() if p.requires_grad]
        ['1.weight', '1.bias']
        """
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or with ``set_to_none=False`` set them to zero.

        >>> import tinygrad_cv as tg
        >>> layer = tg.nn.Linear(2, 1)
        >>> layer(tg.ones(1, 2)).sum().backward()
        >>> layer.zero_grad(set_to_none=False)
        >>> layer.weight.grad
        tensor([[0., 0.]])
        """
        for parameter in self.parameters():
            grad = parameter.grad
            if grad is not None:
                with on_device_of(grad.array):
                    zeros = None if set_to_none else xp_of(grad.array).zeros_like(grad.array)
                parameter.grad = None if zeros is None else Tensor(zeros)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move to a device, or convert floating parameters and buffers to a dtype, in place.

        ``to(device)``, ``to(dtype)``, ``to(device, dtype)``, ``to(tensor)``; keywords ``device``
        and ``dtype``. Gradients move along; integer buffers keep their dtype. Parameters stay the
        same objects.

        Raises:
            DTypeError: the dtype is not float32 or float64.
            ArgumentError: an unknown argument, or ``non_blocking`` is asked for.
            BackendError: the device cannot be used.

        >>> from tinygrad_cv import nn
        >>> norm = nn.BatchNorm2d(3).to("float64")
        >>> {name: buffer.dtype.name for name, buffer in norm.named_buffers()}
        {'running_mean': 'float64', 'running_var': 'float64', 'num_batches_tracked': 'int64'}
        """
        device, dtype = to_arguments(args, kwargs)
        if dtype is not None and dtype.kind != "f":
            raise DTypeError(
                "to", f"a module can only be converted to a floating dtype, not {dtype}"
            )

        def moved(array: Any) -> Any:
            if device is not None:
                array = to_device(array, device)
            if dtype is None or array.dtype.kind != "f" or array.dtype == dtype:
                return array
            return asarray(array, dtype)

        for tensor in (*self.parameters(), *self.buffers()):
            if (array := moved(tensor.array)) is not tensor.array:
                tensor.data = Tensor(array)
            if tensor.grad is not None:
                tensor.grad = Tensor(moved(tensor.grad.array))
        return self

    def cpu(self) -> Self:
        """Move to the CPU, in place.

        >>> from tinygrad_cv import nn
        >>> nn.Linear(2, 2).cpu().weight.device
        device('cpu')
        """
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Self:
        """Move to a CUDA device, in place.

        Args:
            device: a name, index or Device; the current CUDA device if None.

        Raises:
            BackendError: there is no usable CUDA device.

        >>> from tinygrad_cv import nn
        >>> nn.Linear(2, 2).cuda().weight.device  # doctest: +SKIP
        device('cuda:0')
        """
        return self.to("cuda" if device is None else as_device(device))

    def float(self) -> Self:
        """Convert floating parameters and buffers to float32, in place.

        >>> from tinygrad_cv import nn
        >>> nn.Linear(2, 2, dtype="float64").float().weight.dtype.name
        'float32'
        """
        return self.to("float32")

    def double(self) -> Self:
        """Convert floating parameters and buffers to float64, in place.

        >>> from tinygrad_cv import nn
        >>> nn.Linear(2, 2).double().weight.dtype.name
        'float64'
        """
        return self.to("float64")

    # State ---------------------------------------------------------------------------------------

    def state_dict(
        self,
        *,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by path: detached Tensors that share memory.

        Args:
            destination: a mapping to write into.
            prefix: stands before every key.
            keep_vars: give the Parameters themselves.

        >>> from tinygrad_cv import nn
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, affine=False))
        >>> list(net.state_dict())
        ['0.weight', '0.bias', '1.running_mean', '1.running_var', '1.num_batches_tracked']
        """
        return _state.state_dict(self, destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values by path into the module, converted to its dtypes and devices.

        Values may be Tensors, NumPy arrays or PyTorch tensors. ``strict`` refuses missing and
        unexpected keys; a wrong shape is always refused. ``assign`` takes the arrays as they are
        instead of copying into the old ones. A module on meta gets memory on the default device.

        Raises:
            DTypeError: no mapping.
            ArgumentError: lists all missing keys, unexpected keys, wrong shapes; nothing changed.

        >>> import numpy as np
        >>> from tinygrad_cv import nn
        >>> layer = nn.Linear(2, 1)
        >>> layer.load_state_dict({"weight": np.array([[1.0, 2.0]])}, strict=False)
        IncompatibleKeys(missing_keys=['bias'], unexpected_keys=[])
        >>> layer.weight.tolist()
        [[1.0, 2.0]]
        """
        return _state.load_state_dict(self, state_dict, strict, assign)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_names_cache"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name, parameter in self._parameters.items():
            if parameter is not None:
                parameter.named(name)
        _calls.structure_changed()

    # Looks ---------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What ``repr`` shows between the brackets; layers show their arguments.

        >>> class Scale(Module):
        ...     def __init__(self, factor):
        ...         super().__init__()
        ...         self.factor = factor
        ...     def extra_repr(self):
        ...         return f"factor={self.factor}"
        >>> Scale(2)
        Scale(factor=2)
        """
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        extra_lines = extra.split("\n") if extra else []
        children = [f"({name}): {indented(repr(m))}" for name, m in self._modules.items()]
        return bracketed(type(self).__name__, extra_lines, children)

    def summary(self, *inputs: Any, depth: int | None = None, dtype: Any = None) -> Any:
        """A table of output shapes, parameters, FLOPs; :func:`tinygrad_cv.nn.summary.summary`.

        >>> from tinygrad_cv import nn
        >>> table = nn.Conv2d(3, 16, 3, padding=1).summary(1, 3, 32, 32)
        >>> table.rows[0].output, table.parameters  # 16*3*3*3 + 16
        ('(1, 16, 32, 32)', 448)
        """
        from tinygrad_cv.nn.summary import summary

        return summary(self, *inputs, depth=depth, dtype=dtype)

    def graph(self, *inputs: Any, **kwargs: Any) -> Any:
        """The graph of a call, ready to ``.render("graph.svg")``; :func:`tinygrad_cv.viz.draw`.

        >>> import tinygrad_cv as tg
        >>> net = tg.nn.Sequential(tg.nn.Linear(4, 3), tg.nn.ReLU())
        >>> [node.name for node in net.graph(tg.zeros(2, 4)).model.nodes]
        ['input', 'linear', 'relu', 'output']
        """
        draw: Any = Tensor.graph  # viz puts it there, and it serves both
        return draw(self, *inputs, **kwargs)


def indented(text: str) -> str:
    """All lines but the first moved two columns to the right."""
    return text.replace("\n", "\n  ")


def bracketed(name: str, extra: list[str], children: list[str]) -> str:
    """``Name(extra)``, or one line for each item if there are several."""
    if len(extra) == 1 and not children:
        return f"{name}({extra[0]})"
    lines = extra + children
    return f"{name}(" + ("\n  " + "\n  ".join(lines) + "\n" if lines else "") + ")"
