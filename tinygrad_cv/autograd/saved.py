"""What happens to a value between being saved and being read by backward: hooks of the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tinygrad_cv.backend.array import copy_of, is_array, owner_of
from tinygrad_cv.backend.blame import overwritten
from tinygrad_cv.backend.spec import Spec, spec_of
from tinygrad_cv.core.mode import Recorder, watching
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError, Site, site_of

__all__ = ["save_on_cpu", "saved_tensors_hooks"]


class saved_tensors_hooks:  # noqa: N801  (PyTorch's name)
    """Inside the block, what an operator saves for its gradient goes through ``pack_hook``; what
    that returns is kept instead, and given to ``unpack_hook`` when backward needs the value.

    For example to keep it on disk, compressed, or in lower precision. Of nested blocks the inner
    one counts. ``pack_hook`` gets a detached Tensor, which it must not write into. If what it
    returns shares the memory of that Tensor, as ``t.numpy()`` does, and something writes there
    before backward, backward refuses as it does without hooks.

    Args:
        pack_hook: ``pack_hook(tensor) -> anything``.
        unpack_hook: ``unpack_hook(that) -> tensor`` of the same shape and dtype.

    Raises:
        DTypeError: a hook cannot be called; or, at backward, ``unpack_hook`` returned no tensor, or
            one of another dtype.
        ShapeError: it returned a tensor of another shape.

    >>> import tinygrad_cv as tg
    >>> from tinygrad_cv.autograd.graph import saved_tensors_hooks
    >>> x = tg.tensor([3.0, 1.0], requires_grad=True)
    >>> with saved_tensors_hooks(lambda tensor: tensor.tolist(), tg.tensor):  # kept as a list
    ...     y = x * x
    >>> y.sum().backward()
    >>> x.grad
    tensor([6., 2.])
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]):
        for name, hook in (("pack_hook", pack_hook), ("unpack_hook", unpack_hook)):
            if not callable(hook):
                kind = type(hook).__name__
                raise DTypeError("saved_tensors_hooks", f"{name} must be callable, not {kind}")
        self._hooks = pack_hook, unpack_hook
        self._open: list[Any] = []

    def __enter__(self) -> None:
        block = watching(_Packer(*self._hooks))
        block.__enter__()
        self._open.append(block)

    def __exit__(self, *problem: Any) -> None:
        self._open.pop().__exit__(*problem)


class save_on_cpu(saved_tensors_hooks):  # noqa: N801  (PyTorch's name)
    """Inside the block, what operators save for their gradients lies in the memory of the host, and
    goes back to its device when backward needs it. What lies there already is not copied.

    Args:
        pin_memory: True is not supported.

    Raises:
        ArgumentError: ``pin_memory`` is True.

    >>> import tinygrad_cv as tg
    >>> from tinygrad_cv.autograd.graph import save_on_cpu
    >>> x = tg.tensor([3.0, 1.0], requires_grad=True)
    >>> with save_on_cpu():
    ...     y = x * x
    >>> y.sum().backward()
    >>> x.grad
    tensor([6., 2.])
    """

    def __init__(self, pin_memory: bool = False) -> None:
        if pin_memory:
            raise ArgumentError("save_on_cpu", "pin_memory=True is not supported")
        super().__init__(lambda t: (t.device, t.to("cpu")), lambda kept: kept[1].to(kept[0]))


class _Packer(Recorder):
    def __init__(self, pack: Callable[[Tensor], Any], unpack: Callable[[Any], Tensor]) -> None:
        self.pack, self.unpack = pack, unpack

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        for tensor in outputs:
            node = tensor.node
            if isinstance(node, Node) and node.op is op and type(node.saved) is tuple:
                node.saved = _Packed(node, self.pack, self.unpack)
                node.fits = False  # the short way of the engine reads plain arrays


class _Packed:
    """Stands where a node has its saved values; what walks over them sees None for each."""

    state = "packed"

    def __init__(self, node: Node, pack: Any, unpack: Any) -> None:
        self.pack_hook, self.unpack_hook = pack, unpack
        self.op, self.names = node.op, node.plan.names
        self.stamp, self.scope = node.stamp, node.scope
        self.code, self.lasti = node.code, node.lasti
        self.values = [_pack(v, pack) for v in node.saved]

    # Not the node itself, which would be a reference cycle: what errors need to know of it.
    blame = Node.blame

    @property
    def site(self) -> Site:
        """The user's line that ran the operator."""
        return site_of(self.code, self.lasti)

    @property
    def specs(self) -> tuple[Any, ...]:
        """The saved values, with a Spec in the place of each array."""
        return tuple(map(_specs, self.values))

    @property
    def kept(self) -> tuple[Any, ...]:
        """A list of the arrays that are held in the place of each array."""
        return tuple(map(_kept, self.values))

    @property
    def shared(self) -> tuple[Any, ...]:
        """The saved values whose memory is held by what was returned, and None for others."""
        return tuple(map(_shared, self.values))

    def unpack(self) -> tuple[Any, ...]:
        """The saved values, as rules read them."""
        return tuple(self._whole(n, v) for n, v in zip(self.names, self.values, strict=True))

    def _whole(self, name: str, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(self._whole(name, v) for v in value)
        if not isinstance(value, _Box):
            return value
        overwritten(self, name, value.shared)
        tensor = self.unpack_hook(value.packed)
        notes = [f"{self.op.name}, which saved {name!r}, ran at {self.site}"]
        if not isinstance(tensor, Tensor):
            problem = f"unpack_hook must return a tensor, not {type(tensor).__name__}"
            raise DTypeError("saved_tensors_hooks", problem, notes=notes)
        if tensor.shape != value.spec.shape:
            rows = [("packed", value.spec.shape), ("unpacked", tensor.shape)]
            problem = "unpack_hook must return a tensor of the shape that was packed"
            raise ShapeError("saved_tensors_hooks", problem, values=rows, notes=notes)
        if tensor.dtype != value.spec.dtype:
            problem = f"unpack_hook must return {value.spec.dtype.name}, not {tensor.dtype.name}"
            repair = f'Convert it with .to("{value.spec.dtype.name}").'
            raise DTypeError("saved_tensors_hooks", problem, repair=repair, notes=notes)
        overwritten(self, name, tensor.array)
        return tensor.array

    def before_write(self, array: Any) -> None:
        """Copy what shares memory with ``array``, which is about to be overwritten."""
        for value in self.values:
            for box in value if isinstance(value, tuple) else (value,):
                shared = box.shared if isinstance(box, _Box) else None
                if shared is not None and owner_of(shared) is owner_of(array):
                    box.pack(copy_of(shared), self.pack_hook)

    def __iter__(self) -> Iterator[None]:
        return iter((None,) * len(self.values))

    def __repr__(self) -> str:
        return f"<packed: {', '.join(self.names)}>"


class _Box:
    """What ``pack_hook`` returned, what the value was, and the value itself, for its memory, if a
    tensor or array in what was returned shares it."""

    __slots__ = ("packed", "shared", "spec")

    def __init__(self, array: Any, pack: Any) -> None:
        self.spec = spec_of(array)
        self.pack(array, pack)

    def pack(self, array: Any, pack: Any) -> None:
        """Let the hook pack ``array``."""
        self.packed = pack(Tensor(array))
        memory = owner_of(array)
        aliased = any(owner_of(part) is memory for part in _arrays(self.packed))
        self.shared = array if aliased else None


def _arrays(packed: Any) -> Iterator[Any]:
    """The arrays in nested tuples, lists and dicts."""
    if isinstance(packed, Tensor):
        packed = packed.array
    if is_array(packed):
        yield packed
    elif isinstance(packed, (tuple, list)):
        for part in packed:
            yield from _arrays(part)
    elif isinstance(packed, Mapping):
        yield from _arrays(list(packed.values()))


def _pack(value: Any, pack: Any) -> Any:
    if isinstance(value, Spec) or not (is_array(value) or isinstance(value, tuple)):
        return value
    return tuple(_pack(v, pack) for v in value) if isinstance(value, tuple) else _Box(value, pack)


def _kept(value: Any) -> Any:
    if isinstance(value, tuple) and not isinstance(value, Spec):
        return tuple(map(_kept, value))
    return list(_arrays(value.packed)) if isinstance(value, _Box) else []


def _shared(value: Any) -> Any:
    if isinstance(value, tuple) and not isinstance(value, Spec):
        return tuple(map(_shared, value))
    return value.shared if isinstance(value, _Box) else None


def _specs(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_specs, value))
    return value.spec if isinstance(value, _Box) else value
