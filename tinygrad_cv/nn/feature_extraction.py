"""Features of inner layers, by the names of modules."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.nn.module import Module

__all__ = ["FeatureExtractor", "create_feature_extractor"]

Nodes = Sequence[str] | Mapping[str, str]


def create_feature_extractor(
    model: Module,
    return_nodes: Nodes | None = None,
    train_return_nodes: Nodes | None = None,
    eval_return_nodes: Nodes | None = None,
) -> FeatureExtractor:
    """A module that runs ``model`` and returns the outputs of inner modules, ``{name: output}``, in
    the order in which they ran.

    Parameters are not copied: the extractor trains with the model, and gradients pass through
    every output. The model runs only until the last wanted output is there. Of a module that is
    called several times the first output is taken, and ``"name_1"`` is the second.

    Args:
        model: any module.
        return_nodes: paths of modules as ``model.named_modules()`` gives them, such as
            "features.0"; or a mapping of paths to names of the outputs.
        train_return_nodes, eval_return_nodes: both instead of ``return_nodes``, where training and
            evaluation want different outputs.

    Raises:
        ArgumentError: there is no module at a path, nothing is wanted, or two outputs have one
            name; when it is called: a wanted module did not run.
        DTypeError: ``model`` is no Module, or a path no string.

    Source: names and defaults as ``torchvision.models.feature_extraction``, where nodes are found
    by tracing.

    >>> import tinygrad_cv as tg
    >>> net = tg.nn.Sequential(tg.nn.Conv2d(1, 4, 3), tg.nn.ReLU(), tg.nn.Flatten())
    >>> extractor = create_feature_extractor(net, {"1": "maps", "2": "vector"})
    >>> {name: y.shape for name, y in extractor(tg.zeros(2, 1, 5, 5)).items()}
    {'maps': (2, 4, 3, 3), 'vector': (2, 36)}
    """
    if not isinstance(model, Module):
        raise DTypeError(
            "create_feature_extractor", f"model must be a Module, not {type(model).__name__}"
        )
    if return_nodes is not None:
        if train_return_nodes is not None or eval_return_nodes is not None:
            raise ArgumentError(
                "create_feature_extractor",
                "return_nodes stands for both modes; give it, or train_return_nodes and "
                "eval_return_nodes",
            )
        train_return_nodes = eval_return_nodes = return_nodes
    if train_return_nodes is None or eval_return_nodes is None:
        raise ArgumentError(
            "create_feature_extractor",
            "give return_nodes, or both train_return_nodes and eval_return_nodes",
        )
    return FeatureExtractor(model, train_return_nodes, eval_return_nodes)


class FeatureExtractor(Module):
    """What :func:`create_feature_extractor` makes: the outputs of inner modules of a model.

    >>> from tinygrad_cv import nn
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> extractor = FeatureExtractor(net, ["1"], ["1", "2"])
    >>> sorted(extractor.train_nodes), sorted(extractor.eval_nodes), extractor.model is net
    (['1'], ['1', '2'], True)
    """

    def __init__(self, model: Module, train_nodes: Nodes, eval_nodes: Nodes) -> None:
        super().__init__()
        self.model = model
        self.train_nodes = _checked(model, train_nodes)
        self.eval_nodes = _checked(model, eval_nodes)
        self.train(model.training)

    def forward(self, *args: Any, **kwargs: Any) -> OrderedDict[str, Any]:
        nodes = self.train_nodes if self.training else self.eval_nodes
        wanted: dict[Module, dict[int, list[str]]] = {}  # module -> number of its call -> names
        for path, name in nodes.items():
            module, call = _find(self.model, path)
            wanted.setdefault(module, {}).setdefault(call, []).append(name)
        found: OrderedDict[str, Any] = OrderedDict()
        calls = dict.fromkeys(wanted, 0)

        def arrived(module: Module, _: Any, output: Any) -> None:
            if _RUN.get() is not found:  # this is a call of the model in another thread
                return
            for name in wanted[module].get(calls[module], ()):
                found[name] = output
            calls[module] += 1
            if len(found) == len(nodes):
                raise _AllFound

        handles = [module.register_forward_hook(arrived) for module in wanted]
        token = _RUN.set(found)
        try:
            self.model(*args, **kwargs)
        except _AllFound:
            return found
        finally:
            _RUN.reset(token)
            for handle in handles:
                handle.remove()
        silent = [path for path, name in nodes.items() if name not in found]
        raise ArgumentError(
            "create_feature_extractor",
            f"these modules did not run in the forward of the model: {', '.join(silent)}",
            repair="Name modules that are called; a list of modules is not, its members are.",
        )


class _AllFound(BaseException):
    """Ends the run of a model; no ``except Exception`` in its code can hold it up."""


_RUN: ContextVar[OrderedDict[str, Any] | None] = ContextVar("tinygrad_cv_features", default=None)


def _checked(model: Module, nodes: Any) -> dict[str, str]:
    """Paths to names of outputs, each path that of a module."""
    function = "create_feature_extractor"
    if isinstance(nodes, str):
        nodes = [nodes]
    pairs = dict(nodes) if isinstance(nodes, Mapping) else {path: path for path in nodes}
    if not pairs:
        raise ArgumentError(function, "no output is wanted: name at least one module")
    for path, name in pairs.items():
        if not isinstance(path, str) or not isinstance(name, str):
            raise DTypeError(function, f"names must be strings, not {path!r:.60}: {name!r:.60}")
        _find(model, path)
    names = list(pairs.values())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArgumentError(function, f"several outputs have the name {', '.join(twice)}")
    return pairs


def _find(model: Module, path: str) -> tuple[Module, int]:
    """The module at a path, and which of its calls is meant."""
    known = dict(model.named_modules(remove_duplicate=False))
    base, _, number = path.rpartition("_")
    if path in known and path:
        return known[path], 0
    if base in known and base and number.isdigit():
        return known[base], int(number)
    near = difflib.get_close_matches(path, known, n=5) or [name for name in known if name][:5]
    raise ArgumentError(
        "create_feature_extractor",
        f"the model has no module {path!r}",
        repair=f"Near it: {', '.join(near)}." if near else "It has no inner modules.",
    )
