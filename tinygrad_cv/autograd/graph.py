"""The recorded graph, to walk over: its nodes, where they come from, and what they keep.

``tensor.grad_fn`` is the :class:`Node` that made a Tensor. Of a node,

* ``op``, ``attrs``, ``name()``: the operator, its attributes, its name;
* ``inputs``, also as ``next_functions``: for each input the node (or leaf) that made it, and which
  of its outputs it is; (None, 0) where no gradient is needed. A leaf has ``tensor()``, ``name``,
  ``shape`` and ``dtype``, and nothing below it;
* ``outputs``: (shape, dtype) of each;
* ``saved``: the raw arrays kept for backward, named by ``plan.names``;
* ``site``, ``scope``: the line that ran it (``site.filename``, ``site.line``), and the call of a
  module that it belongs to (``scope.path``), or None;
* ``register_prehook``, ``register_hook``: see and replace all gradients before and after its rules.

>>> import tinygrad_cv as tg
>>> x = tg.ones(2, requires_grad=True)
>>> node = (x.exp() * 3).sum().grad_fn
>>> while isinstance(node, Node):
...     print(node.name(), [shape for shape, dtype in node.outputs])
...     node = node.next_functions[0][0]
sum [()]
mul [(2,)]
exp [(2,)]
>>> node.tensor() is x
True
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.autograd.multi_hooks import MultiHookHandle, register_multi_grad_hook
from tinygrad_cv.autograd.node_hooks import register_hook as _register_hook  # noqa: F401
from tinygrad_cv.autograd.saved import save_on_cpu, saved_tensors_hooks
from tinygrad_cv.autograd.tree import tensors_of
from tinygrad_cv.core.engine import reachable
from tinygrad_cv.core.node import Node

__all__ = ["MultiHookHandle", "Node", "nodes", "register_multi_grad_hook", "save_on_cpu"]
__all__ += ["saved_tensors_hooks"]


def nodes(target: Any) -> list[Node]:
    """Every node below a Tensor (or Tensors in tuples, lists and dicts), in the order in which
    they were recorded.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(3, requires_grad=True)
    >>> [node.op.name for node in nodes((x.exp() * 2).sum())]
    ['exp', 'mul', 'sum']
    """
    return reachable(t.node for t in tensors_of(target))[0][::-1]
