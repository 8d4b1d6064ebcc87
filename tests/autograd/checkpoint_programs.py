"""Random programs for checkpoint: made from a seed, run with or without checkpoints.

Run as a script with a number of programs: ``python tests/autograd/checkpoint_programs.py 2000``.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import func, nn
from tinygrad_cv.autograd import Function, checkpoint, grad
from tinygrad_cv.nn import functional as F

# What a program does: each step makes a value of shape (3, 4) from two that are there.
STEPS: dict[str, Callable[[World, Any, Any], Any]] = {
    "add": lambda world, a, b: a + b,
    "mul": lambda world, a, b: a * b,
    "sin": lambda world, a, b: a.sin(),
    "exp": lambda world, a, b: (a * 0.1).exp(),
    "sigmoid": lambda world, a, b: (a - b).sigmoid(),
    "matmul": lambda world, a, b: a @ b.T @ a,
    "reduce": lambda world, a, b: a * b.sum(1, keepdim=True),
    "view": lambda world, a, b: a.reshape(4, 3).T * 1,
    "alias": lambda world, a, b: a.reshape(3, 4),
    "index": lambda world, a, b: a[[2, 0, world.number]] * b[:, :1],
    "number": lambda world, a, b: (a * world.number).cos(),
    "made": lambda world, a, b: a * tg.tensor([1.0, world.number, 0.5, 2.0], dtype="float64"),
    "numpy": lambda world, a, b: a * world.table,
    "untracked": lambda world, a, b: a + (b.detach() * world.number).tanh(),
    "closure": lambda world, a, b: (a * world.w).sin(),
    "moved": lambda world, a, b: a * world.v.exp(),
    "dropout": lambda world, a, b: F.dropout(a, 0.3),
    "norm": lambda world, a, b: world.norm(a),
    "layer": lambda world, a, b: world.layer(a),
    "call": lambda world, a, b: func.functional_call(world.layer, world.given, a.sin()),
    "inplace": lambda world, a, b: (a * 1).mul_(b),
    "inplace chain": lambda world, a, b: a.exp().clone().add_(b).sin().clone().mul_(world.w),
    "slope": lambda world, a, b: grad((a.sin() * b).sum(), a, create_graph=True)[0] * 0.1,
    "plain slope": lambda world, a, b: a * _slope(b),
    "set": lambda world, a, b: _filled(a, b),
    "hook": lambda world, a, b: _hooked(a) * b,
    "backward": lambda world, a, b: _accumulated(world) * 0.1 + a,
    "function": lambda world, a, b: Scaled.apply(a, b),
}
# Writes after the function has run, and other changes of what it depends on.
CHANGES: dict[str, Callable[[World], Any]] = {
    "write argument": lambda world: world.x.mul_(3),
    "write other argument": lambda world: world.y.add_(1),
    "write closure": lambda world: world.w.mul_(2),
    "write intermediate": lambda world: world.v.detach().mul_(2),
    "write weight": lambda world: world.layer.weight.add_(1),
    "write output": lambda world: world.outputs[0].detach().mul_(2),
    "other data": lambda world: setattr(world.w, "data", world.w.data * 2),
    "other closure": lambda world: setattr(world, "w", (world.w.detach() * 2).requires_grad_()),
    "other number": lambda world: setattr(world, "number", 2),
    "write numpy": lambda world: world.table.__setitem__(0, 7.0),
    "eval": lambda world: world.norm.eval(),
    "other given": lambda world: world.given.update(weight=world.given["weight"] * 2),
}


class World:
    """What a program finds around it."""

    def __init__(self, run: Any) -> None:
        tg.manual_seed(3)
        rng = np.random.default_rng(5)

        def leaf(*shape: int) -> Any:
            return tg.tensor(rng.standard_normal(shape), requires_grad=True)

        self.run = run
        self.x, self.y, self.w = leaf(3, 4), leaf(3, 4), leaf(3, 4)
        self.z = leaf(3, 4)
        self.v = self.w * 0.5  # made before, and no argument
        self.number = 1
        self.table = rng.standard_normal(4)
        self.norm = nn.BatchNorm1d(4, dtype="float64")
        self.layer = nn.Linear(4, 4, dtype="float64")
        self.given = {"weight": leaf(4, 4)}
        self.leaves = [self.x, self.y, self.w, *self.given.values(), *self.layer.parameters()]
        self.leaves += self.norm.parameters()
        self.outputs: Any = ()


def _slope(b: Any) -> Any:
    inner = b.detach().requires_grad_()
    (inner.sin() * inner).sum().backward()
    return inner.grad


def _filled(a: Any, b: Any) -> Any:
    c = a.clone()
    c[1] = b[0]
    return c


def _hooked(a: Any) -> Any:
    a = a if a.requires_grad else a.requires_grad_()
    a.register_hook(lambda g: g * 1.5)
    return a.sin()


def _accumulated(world: World) -> Any:
    """A backward that adds to the gradient of a leaf, which is read before it has one."""
    before = world.z.grad
    (world.z * world.z).sum().backward()
    gradient, world.z.grad = world.z.grad, None
    assert before is None
    return gradient


class Scaled(Function):
    """(a + sin b) c with c made inside."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.factor = 0.5
        ctx.save_for_backward(a, b.cos())
        return (a + b.sin()) * ctx.factor

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.factor, g * ctx.factor * ctx.saved_tensors[1]


class Program:
    """A function of steps, some of them under a checkpoint of their own, and a way to differentiate
    what it returns."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        pick = random.Random(seed)
        self.body = self._some(pick, 2)
        self.change = pick.choice([None, None, *CHANGES])
        self.mode = pick.choice(["backward", "partial", "again", "grad twice", "second order"])
        self.early_stop = pick.random() < 0.7
        self.retain = pick.random() < 0.5
        self.around = pick.random() < 0.3  # under a functional_call of a module around it

    def _some(self, pick: random.Random, depth: int) -> list[Any]:
        steps: list[Any] = []
        for _ in range(pick.randint(1, 5)):
            name = pick.choice([*STEPS, "nested", "nested"] if depth else [*STEPS])
            what = self._some(pick, depth - 1) if name == "nested" else name
            steps.append((what, pick.random(), pick.random()))
        return steps

    def _function(self, world: World, body: list[Any]) -> Callable[..., Any]:
        def function(x: Any, y: Any) -> Any:
            values = [x, y]
            for what, i, j in body:
                a, b = (values[-1 - int(k * k * len(values))] for k in (i, j))
                if isinstance(what, str):
                    values.append(STEPS[what](world, a, b))
                else:
                    values += world.run(self._function(world, what), a, b)
            return values[-1], values[-2].sin()

        return function

    def result(self, run: Any, change: bool) -> list[bytes]:
        """The gradients, from ``run(function, *args)``; after ``change`` if that is asked for."""

        def with_options(function: Any, *args: Any) -> Any:
            return run(function, *args, early_stop=self.early_stop)

        world = World(with_options)
        function, args = self._function(world, self.body), (world.x * 1, world.y)
        if self.around:
            module = _Around(world, function)
            world.outputs = func.functional_call(
                module, {"layer.weight": world.y[:1].T * world.y[0]}, args
            )
        else:
            world.outputs = with_options(function, *args)
        a, b = (t.sum() for t in world.outputs)
        leaves = list(world.leaves)
        found: list[Any] = []

        def between() -> None:
            if change and self.change is not None:
                with tg.no_grad():
                    CHANGES[self.change](world)

        if self.mode == "backward":
            between()
            (a + b).backward()
        elif self.mode == "partial":
            b.backward(retain_graph=self.retain)
            between()
            a.backward()
        elif self.mode == "again":
            (a * 2 + b).backward(retain_graph=True)
            between()
            (a + b).backward()
        elif self.mode == "grad twice":
            found += grad(a + b, leaves[1:2], retain_graph=True, allow_unused=True)
            between()
            found += grad(a + b, leaves, allow_unused=True)
        else:
            first = grad(a + b, leaves[:3], create_graph=True, allow_unused=True)
            between()
            found += [g for g in first if g is not None]
            total = sum((g.square().sum() for g in found), a * 0)
            found += grad(total, leaves, allow_unused=True)
        found += [leaf.grad for leaf in leaves]
        found += [world.norm.running_mean, tg.rand(1)]
        return [b"" if g is None else g.detach().numpy().tobytes() for g in found]

    def check(self) -> str:
        """Run it with and without; what came of it. Raises AssertionError if they differ."""
        plain, changed, given = (
            _tried(lambda: self.result(_plainly, False)),
            _tried(lambda: self.result(_plainly, True)),
            _tried(lambda: self.result(checkpoint, True)),
        )
        if isinstance(plain, tg.GraphError):  # its graph was freed
            assert isinstance(given, tg.GraphError), f"program {self.seed}: {plain}"
            return "both refuse"
        assert isinstance(plain, list), f"program {self.seed}: {plain}"
        if isinstance(given, list):
            unseen = self.change == "write numpy" and given == changed  # as without a checkpoint
            assert given == plain or unseen, f"program {self.seed} is wrong: {self.__dict__}"
            return "equal" if self.change is None else "equal after a change"
        # A hook that is there from the first run sees a gradient inside the second one too.
        hooked = "'hook'" in str(self.body) and "slope'" in str(self.body)
        assert self.change is not None or hooked, f"program {self.seed} is refused: {given}"
        assert isinstance(given, tg.GraphError), f"program {self.seed}: {given!r}"
        return "both refuse" if isinstance(changed, tg.GraphError) else "checkpoint refuses"


class _Around(nn.Module):
    """The function in a module, whose layer a functional_call replaces."""

    def __init__(self, world: World, function: Any) -> None:
        super().__init__()
        self.layer, self.world, self.function = world.layer, world, function

    def forward(self, x: Any, y: Any) -> Any:
        return self.world.run(self.function, x, y)


def _plainly(function: Any, *args: Any, early_stop: bool) -> Any:
    return function(*args)


def _tried(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except tg.TinygradError as error:
        return error


if __name__ == "__main__":
    start, outcomes = int(sys.argv[2]) if len(sys.argv) > 2 else 0, Counter[str]()
    for seed in range(start, start + int(sys.argv[1])):
        try:
            outcomes[Program(seed).check()] += 1
        except Exception as error:
            outcomes["WRONG"] += 1
            print(f"{type(error).__name__}: {error}"[:1500])
    print(outcomes)
