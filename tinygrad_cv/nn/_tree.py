"""The tree of modules: attributes become parameters, buffers and children; ways to walk them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError
from tinygrad_cv.nn import _calls
from tinygrad_cv.nn.parameter import Parameter

if TYPE_CHECKING:
    from tinygrad_cv.nn.module import Module

__all__ = ["Tree"]


class Tree:
    """The part of Module that owns things: parameters, buffers, children."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers: set[str]

    def __init__(self) -> None:
        state = self.__dict__
        state["training"] = True
        state["_parameters"] = {}
        state["_buffers"] = {}
        state["_modules"] = {}
        state["_non_persistent_buffers"] = set()

    # Attributes ----------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Make ``param`` (or None, a place without a parameter) the attribute ``name``.

        Assigning a Parameter to an attribute does the same; this way serves computed names.

        Raises:
            DTypeError: it is no Parameter.
            GraphError: it is the result of an operator, or ``super().__init__()`` has not run.
            ArgumentError: the name is empty, has a dot, or is taken.

        >>> import tinygrad_cv as tg
        >>> module = tg.nn.Module()
        >>> for i in range(2):
        ...     module.register_parameter(f"scale{i}", tg.nn.Parameter(tg.ones(3)))
        >>> [name for name, _ in module.named_parameters()]
        ['scale0', 'scale1']
        """
        self._check_name("parameter", name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise DTypeError(
                "register_parameter",
                f"{name!r} must be a Parameter or None, not {type(param).__name__}",
                repair="Wrap it: nn.Parameter(value).",
            )
        if param is not None and not param.is_leaf:
            raise GraphError(
                "register_parameter",
                f"{name!r} is the result of an operator; a parameter is a leaf of the graph",
                repair="Wrap a value: nn.Parameter(t.detach()).",
            )
        self._parameters[name] = param
        if param is not None:
            param.named(name)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Make ``tensor`` a part of the state that is not trained, such as running statistics.

        ``persistent=False`` keeps it out of the state dict.

        Raises:
            DTypeError: it is no Tensor.
            GraphError: ``super().__init__()`` has not run.
            ArgumentError: the name is empty, has a dot, or is taken.

        >>> import tinygrad_cv as tg
        >>> module = tg.nn.Module()
        >>> module.register_buffer("mean", tg.zeros(3))
        >>> list(module.state_dict()), list(module.parameters())
        (['mean'], [])
        """
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise DTypeError(
                "register_buffer", f"{name!r} must be a Tensor or None, not {type(tensor).__name__}"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers.discard(name)
        else:
            self._non_persistent_buffers.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Make ``module`` the child ``name``. ``add_module`` is another name.

        Raises:
            DTypeError: it is no Module.
            GraphError: ``super().__init__()`` has not run.
            ArgumentError: the name is empty, has a dot, or is taken.

        >>> from tinygrad_cv import nn
        >>> net = nn.Module()
        >>> net.register_module("fc", nn.Linear(2, 1))
        >>> net.fc
        Linear(in_features=2, out_features=1, bias=True)
        """
        self._check_name("module", name, "_modules")
        if module is not None and not isinstance(module, Tree):
            raise DTypeError(
                "register_module",
                f"{name!r} must be a Module or None, not {type(module).__name__}",
                repair=_as_module(module),
            )
        self._modules[name] = module
        _calls.structure_changed()

    add_module = register_module

    def _check_name(self, what: str, name: str, table: str) -> None:
        if table not in self.__dict__:
            raise GraphError(
                type(self).__name__, f"super().__init__() must run before a {what} is assigned"
            )
        if not isinstance(name, str) or name == "" or "." in name:
            raise ArgumentError(
                f"register_{what}",
                f"a name must be a string without dots and not empty, it is {name!r}",
            )
        if name not in self.__dict__[table] and hasattr(self, name):
            raise ArgumentError(f"register_{what}", f"the attribute {name!r} exists already")

    def __setattr__(self, name: str, value: Any) -> None:
        kinds: tuple[tuple[type, str, Callable[[str, Any], None]], ...] = (
            (Parameter, "_parameters", self.register_parameter),
            (Tree, "_modules", self.register_module),
        )
        for kind, table, register in kinds:
            if isinstance(value, kind):
                if table in self.__dict__ and name not in self.__dict__[table]:
                    self._forget(name)
                register(name, value)
                return
        state = self.__dict__
        for table, what in (
            ("_parameters", "Parameter"),
            ("_modules", "Module"),
            ("_buffers", "Tensor"),
        ):
            if name not in state.get(table, ()):
                continue
            if value is None or (table == "_buffers" and isinstance(value, Tensor)):
                state[table][name] = value
                if table == "_modules":
                    _calls.structure_changed()
                return
            raise DTypeError(
                type(self).__name__,
                f"the attribute {name!r} holds a {what}; no {type(value).__name__} can replace it",
                repair=f"Assign a {what} or None, or delete the attribute first.",
            )
        object.__setattr__(self, name, value)

    def _forget(self, name: str) -> None:
        """Drop what the attribute was, so that it can become a parameter or a module."""
        self.__dict__.pop(name, None)
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
        self._non_persistent_buffers.discard(name)

    def __getattr__(self, name: str) -> Any:
        state = self.__dict__
        for table in ("_parameters", "_buffers", "_modules"):
            found = state.get(table)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                self._non_persistent_buffers.discard(name)
                _calls.structure_changed()
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]
        return sorted(name for name in set(names) if not name[:1].isdigit())

    # Walking the tree ----------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, module) of this module (path "") and all below it, parents first.

        Args:
            memo: modules to leave out, which grows as they are met.
            prefix: the path of this module.
            remove_duplicate: give a module that is used twice only once.

        >>> from tinygrad_cv import nn
        >>> net = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Flatten())
        >>> [path for path, _ in net.named_modules()]
        ['', '0', '0.0', '1']
        """
        seen = set() if memo is None else memo
        pending = [(prefix, cast("Module", self))]
        while pending:
            path, module = pending.pop()
            if remove_duplicate:
                if module in seen:
                    continue
                seen.add(module)
            yield path, module
            start = path + "." if path else ""
            children = [(start + n, m) for n, m in module._modules.items() if m is not None]
            pending.extend(reversed(children))

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once.

        >>> from tinygrad_cv import nn
        >>> relu = nn.ReLU()
        >>> [type(m).__name__ for m in nn.Sequential(relu, nn.Flatten(), relu).modules()]
        ['Sequential', 'ReLU', 'Flatten']
        """
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct children, each once.

        >>> from tinygrad_cv import nn
        >>> net = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Flatten())
        >>> [(name, type(m).__name__) for name, m in net.named_children()]
        [('0', 'Sequential'), ('1', 'Flatten')]
        """
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct children, each once.

        >>> from tinygrad_cv import nn
        >>> list(nn.Sequential(nn.ReLU(), nn.Tanh()).children())
        [ReLU(), Tanh()]
        """
        return (module for _, module in self.named_children())

    def _named_tensors(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, owner in owners:
            for name, tensor in getattr(owner, table).items():
                if tensor is None or (remove_duplicate and id(tensor) in seen):
                    continue
                seen.add(id(tensor))
                yield f"{path}.{name}" if path else name, tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter) of this module and, with ``recurse``, of all below it.

        The path is the key in the state dict. A parameter that is used twice has its first path,
        unless ``remove_duplicate`` is False.

        >>> from tinygrad_cv import nn
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2, bias=False))
        >>> [(path, p.shape) for path, p in net.named_parameters()]
        [('0.weight', (3, 4)), ('0.bias', (3,)), ('2.weight', (2, 3))]
        """
        return self._named_tensors("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once: what an optimiser takes.

        >>> from tinygrad_cv import nn
        >>> sum(p.numel() for p in nn.Conv2d(3, 8, 3).parameters())  # 8*3*3*3 + 8
        224
        """
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer) of this module and, with ``recurse``, of all below it.

        >>> from tinygrad_cv import nn
        >>> [path for path, _ in nn.Sequential(nn.BatchNorm1d(2)).named_buffers()]
        ['0.running_mean', '0.running_var', '0.num_batches_tracked']
        """
        return self._named_tensors("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once.

        >>> from tinygrad_cv import nn
        >>> [buffer.tolist() for buffer in nn.BatchNorm1d(2).buffers()]
        [[0.0, 0.0], [1.0, 1.0], 0]
        """
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as "features.0"; "" is this module.

        Raises:
            AttributeError: there is no such module.

        >>> from tinygrad_cv import nn
        >>> nn.Sequential(nn.Sequential(nn.ReLU())).get_submodule("0.0")
        ReLU()
        """
        module = cast("Module", self)
        for part in target.split(".") if target else ():
            child = module._modules.get(part)
            if child is None:
                raise AttributeError(
                    f"{type(module).__name__} has no child {part!r} (path {target!r})"
                )
            module = child
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path such as "features.0.weight".

        Raises:
            AttributeError: there is no such module or parameter.

        >>> from tinygrad_cv import nn
        >>> nn.Sequential(nn.Linear(4, 3)).get_parameter("0.weight").shape
        (3, 4)
        """
        return self._get_tensor("_parameters", target)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path such as "features.1.running_mean".

        Raises:
            AttributeError: there is no such module or buffer.

        >>> from tinygrad_cv import nn
        >>> nn.Sequential(nn.BatchNorm1d(2)).get_buffer("0.running_var").tolist()
        [1.0, 1.0]
        """
        return self._get_tensor("_buffers", target)

    def _get_tensor(self, table: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        found = getattr(owner, table).get(name)
        if found is None:
            raise AttributeError(f"{type(owner).__name__} has no {table[1:-1]} {name!r}")
        return found


def _as_module(value: Any) -> str | None:
    """How what is not a Module can become one."""
    if isinstance(value, type) and issubclass(value, Tree):
        return f"Make a module of the class: {value.__name__}(...)."
    if isinstance(value, list | tuple):
        return "Unpack it, as in nn.Sequential(*modules), or make it an nn.ModuleList."
    if callable(value):
        return "Write a Module whose forward calls the function."
    return None
