"""The bytes of real arrays, operator by operator: what a memory plan has to foresee."""

from __future__ import annotations

import weakref

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv.core import engine, mode
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor


class Measure(mode.Recorder):
    """Adds up the memory of real arrays from when they are first seen until they die."""

    def __init__(self, held):
        self.live = 0
        self.sizes = {}
        self.held = {id(self.owner(array)) for array in held}
        self.steps = []

    @staticmethod
    def owner(array):
        while True:
            base = array.base
            if isinstance(base, np.ndarray):
                array = base
            elif isinstance(getattr(base, "base", None), np.ndarray):  # of as_strided
                array = base.base
            else:
                return array

    def see(self, value):
        value = value.array if isinstance(value, Tensor) else value
        for array in value if isinstance(value, tuple) else (value,):
            if isinstance(array, np.ndarray):
                owner = self.owner(array)
                if id(owner) not in self.held and id(owner) not in self.sizes:
                    self.sizes[id(owner)] = owner.nbytes
                    self.live += owner.nbytes
                    weakref.finalize(owner, self.died, id(owner))

    def died(self, key):
        self.live -= self.sizes.pop(key)

    def add(self, op, inputs, outputs, attrs, frame, scope):
        for tensor in (*inputs, *outputs):
            self.see(tensor)
        node = next((t.node for t in outputs if isinstance(t.node, Node)), None)
        if node is not None and node.op is op and type(node.saved) is tuple:
            for (kind, _), value in zip(node.plan.kinds, node.saved, strict=True):
                if kind != "shape":
                    self.see(value)
        self.steps.append((op.name, self.live))

    def arrived(self, node, gradient):
        self.see(gradient)

    def differentiated(self, node, gradients):
        for gradient in gradients:
            self.see(gradient)
        self.steps.append((node.op.name, self.live))


def measured(monkeypatch, function, *inputs, **kwargs):
    """(operator, live bytes) after each operator of a forward and backward with real arrays."""
    walks = (getattr(function, name, tuple) for name in ("parameters", "buffers"))
    given = [*inputs, *kwargs.values()]
    held = [t.array for walk in walks for t in walk()]
    measure = Measure([*held, *(x.array for x in given if isinstance(x, Tensor))])
    run_rules, sum_of, fitted = engine.run_rules, engine.sum_of, engine.fitted

    def seen(function):
        def call(*args, **kwargs):
            result = function(*args, **kwargs)
            measure.see(result)
            return result

        return call

    def arrays(*args):
        """NumPy makes numbers of 0-d arrays, whose end cannot be seen."""
        results = run_rules(*args)
        return [np.asarray(x) if isinstance(x, np.generic) else x for x in results]

    with monkeypatch.context() as patch:
        patch.setattr(engine, "sum_of", seen(sum_of))
        patch.setattr(engine, "fitted", seen(fitted))
        patch.setattr(engine, "run_rules", arrays)
        with mode.recording(measure):
            result = function(*inputs, **kwargs)
            outputs = list(differentiable(result))
            seeds = [tg.ones(*y.shape, dtype=y.dtype) for y in outputs]
            for seed in seeds:
                measure.see(seed)
            tg.autograd.backward(outputs, seeds)
    return measure.steps


def differentiable(result):
    """The outputs of a call that require a gradient, out of nested lists and dicts."""
    if isinstance(result, Tensor):
        if result.requires_grad:
            yield result
    elif isinstance(result, dict):
        yield from differentiable(list(result.values()))
    elif isinstance(result, (tuple, list)):
        for item in result:
            yield from differentiable(item)
