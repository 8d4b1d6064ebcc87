"""Training steps in child processes: ``python -m tests.autograd.processes fork`` (or ``locked``,
``spawn``) exits with 0 if every child computes what the parent did."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from typing import Any

import tinygrad_cv as tg
from tinygrad_cv import nn, optim
from tinygrad_cv.autograd import accumulate, checkpoint, detect_anomaly, retain_all, verify
from tinygrad_cv.autograd.graph import saved_tensors_hooks
from tinygrad_cv.backend import kernels, writes
from tinygrad_cv.nn import functional as F


class Net(nn.Module):
    """With a checkpoint, and dropout inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.MaxPool2d(2))
        self.fc = nn.Linear(12, 3)

    def forward(self, x: Any) -> Any:
        return self.fc(checkpoint(lambda x: F.dropout(self.features(x).flatten(1), 0.3), x))


def double(gradient: Any) -> Any:
    """A hook that goes through pickle."""
    return gradient * 2


SEEN: list[bytes] = []


def note(module: nn.Module, grad_input: Any, grad_output: Any) -> None:
    """Another one."""
    SEEN.append(grad_output[0].numpy().tobytes())


def step(net: Net) -> list[bytes]:
    """Three steps with hooks and modes; the parameters and what the hooks saw, as bytes."""
    tg.manual_seed(11)
    optimiser = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    after: list[bytes] = []
    handles = [net.fc.weight.register_hook(double)]
    handles.append(
        net.fc.bias.register_post_accumulate_grad_hook(
            lambda p: after.append(p.grad.numpy().tobytes())
        )
    )
    net.fc.register_full_backward_hook(note)
    x, labels = tg.randn(4, 1, 6, 6), tg.tensor([0, 1, 2, 0])
    for _ in range(3):
        optimiser.zero_grad()
        with detect_anomaly(), tg.profile(), saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
            F.cross_entropy(net(x), labels).backward()
        optimiser.step()
    with tg.no_grad():
        assert not net(x).requires_grad
    with retain_all():
        loss = net.eval()(x).square().sum()
    assert verify(loss).ok
    for handle in handles:
        handle.remove()
    found = [t.numpy().tobytes() for t in net.state_dict().values()]
    return [*found, SEEN[-1], *after]


def fresh() -> Net:
    """The same network each time."""
    tg.manual_seed(5)
    return Net()


def in_a_fork(work: Any) -> bool:
    """True if ``work()`` is true in a forked child, within seconds."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a lock that nobody gives back
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def fork() -> bool:
    """Children forked while threads are in backward, on the parent's modules and graphs."""
    expected, net, stop = step(fresh()), fresh(), threading.Event()
    shared = tg.rand(4, 1, 6, 6, requires_grad=True)
    loss = net(shared).square().sum()
    problems = []

    def train() -> None:
        try:
            while not stop.is_set():
                loss.backward(retain_graph=True)
                with tg.profile():
                    net(shared).sum().backward()
        except BaseException as problem:
            problems.append(problem)
            raise

    threads = [threading.Thread(target=train, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()

    def child() -> bool:
        (gradient,) = tg.autograd.grad(loss, shared, retain_graph=True)
        with tg.profile():
            again = tg.autograd.grad(loss, shared)[0]
        return step(fresh()) == expected and bool((gradient == again).all())

    right = []
    for _ in range(6):
        time.sleep(0.01)
        right.append(in_a_fork(child))
    stop.set()
    for thread in threads:
        thread.join(20)
    return all(right) and not problems and step(fresh()) == expected


def locked() -> bool:
    """A child of a process in which another thread holds every lock."""
    expected, net = step(fresh()), fresh()
    x = tg.rand(4, 1, 6, 6)
    loss = net(x).sum()
    node: Any = loss.grad_fn
    while not hasattr(node.saved, "segment"):
        node = next(edge for edge, _ in node.inputs if hasattr(edge, "inputs"))
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with accumulate._lock, kernels._lock, writes._lock, node.saved.segment.lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)

    def child() -> bool:
        tg.autograd.grad(loss, net.fc.bias, retain_graph=True)
        loss.backward()
        return step(fresh()) == expected

    right = in_a_fork(child)
    done.set()
    thread.join(20)
    loss.backward()
    return right and step(fresh()) == expected


def send(pipe: Any, net: Net) -> None:
    """In the spawned child."""
    pipe.send(step(net))


def spawn() -> bool:
    """A spawned child, which gets the network through pickle, with a hook on it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    net = fresh()
    net.features.register_full_backward_hook(note)
    child = context.Process(target=send, args=(theirs, net))
    child.start()
    found = ours.recv() if ours.poll(60) else None
    child.join(20)
    expected = step(net)
    return found == expected and child.exitcode == 0


if __name__ == "__main__":
    # A fork beside running threads is the point.
    warnings.simplefilter("ignore", DeprecationWarning)
    sys.exit(0 if {"fork": fork, "locked": locked, "spawn": spawn}[sys.argv[1]]() else 1)
