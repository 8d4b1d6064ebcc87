"""What the command line asks for: which engines, which measurements, in which order."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import chains
import models
import operators

__all__ = ["DEFAULT", "ENGINES", "Item", "engines_of", "parser", "plan"]

DEFAULT = ("ours", "ours_numpy", "torch", "torch_channels_last")
PEERS = ("torch_compile", "torch_compile_channels_last", "jax", "tinygrad", "autograd")
ENGINES = (*DEFAULT, "ours_channels_last", *PEERS)
WORKLOADS = ("small_ops", *models.NETWORKS)
SWEEPS = ("batch", "depth", "size")
EAGER = ("ours", "torch", "torch_channels_last")  # memory: no compiler runs in the process


class Item(NamedTuple):
    """One measurement: its kind, what is measured in which mode by which engines, and the point of
    a sweep."""

    kind: str  # "time", "operator", "memory" or "first"
    workload: str
    mode: str
    engines: tuple[str, ...]
    point: dict[str, int] = {}


def parser(description: str) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python tools/bench", description=description)
    made.add_argument("--quick", action="store_true", help="fewer and shorter rounds, no memory")
    made.add_argument("--only", help="comma-separated: " + ",".join(WORKLOADS))
    made.add_argument("--modes", default="train,infer", help="train,infer (default both)")
    made.add_argument("--engines", help="instead of " + ",".join(DEFAULT))
    made.add_argument("--peers", help="beside them, or all: " + ",".join(PEERS))
    made.add_argument("--rounds", type=_rounds, help="rounds per workload (default 11, quick 5)")
    what = made.add_mutually_exclusive_group()
    what.add_argument("--sweep", choices=SWEEPS, help="networks at growing batch, depth or size")
    what.add_argument(
        "--operators",
        nargs="?",
        const="",
        metavar="WORDS",
        help="single operators, those with one of the comma-separated words in their name",
    )
    what.add_argument(
        "--first-run", action="store_true", help="first training step, empty and warm cache"
    )
    made.add_argument("--no-memory", action="store_true", help="leave peak memory out")
    made.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="default cpu")
    made.add_argument("--json", type=_file, help="file for all figures")
    made.add_argument("--plot", type=_picture, metavar="FILE.svg", help="file for the picture")
    return made


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {text}")
    return int(text)


def _file(text: str) -> Path:
    """A file that can be written when all is measured."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path


def _picture(text: str) -> Path:
    if Path(text).suffix != ".svg":
        raise argparse.ArgumentTypeError(f"pictures are written as .svg, not as {text}")
    if importlib.util.find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError("pictures need Matplotlib: pip install matplotlib")
    return _file(text)


def engines_of(options: argparse.Namespace) -> list[str]:
    """The engines asked for, in the order of ``ENGINES``."""
    wanted = set(_listed("engine", options.engines, ENGINES) or DEFAULT)
    if options.peers == "all":
        wanted |= set(PEERS)
    else:
        wanted |= set(_listed("peer", options.peers, PEERS))
    if options.device != "cpu":  # there is one provider
        wanted -= {"ours_numpy"}
    return [name for name in ENGINES if name in wanted]


def plan(options: argparse.Namespace, engines: Sequence[str]) -> Iterator[Item]:
    """Every measurement asked for."""
    every = tuple(engines)
    if options.operators is not None:
        if options.only:
            raise SystemExit("--only names workloads; --operators takes words of its own")
        shared = tuple(e for e in engines if e.startswith(("ours", "torch")))
        for name in _operators(options.operators):
            yield Item("operator", name, "forward", shared)
        return
    wanted = _listed("workload", options.only, WORKLOADS) or WORKLOADS
    modes = _listed("mode", options.modes, ("train", "infer"))
    networks = [w for w in wanted if w != "small_ops"]
    if options.sweep:
        yield from _sweep(networks, options.sweep, every)
        return
    if options.first_run:
        yield from (Item("first", name, "train", every) for name in networks)
        return
    for name in wanted:
        if name == "small_ops":
            # They have one kernel of ours, and no layout.
            few = tuple(e for e in engines if e != "ours_numpy" and "channels_last" not in e)
            for chain in chains.CHAINS[: 1 if options.quick else None]:
                yield Item("time", name, chain, few)
        else:
            yield from (Item("time", name, mode, every) for mode in modes)
    if not (options.no_memory or options.quick or options.device != "cpu") and "train" in modes:
        eager = tuple(e for e in engines if e in EAGER)
        yield from (Item("memory", name, "memory", eager) for name in networks)


def _sweep(networks: Sequence[str], sweep: str, engines: tuple[str, ...]) -> Iterator[Item]:
    def points(name: str) -> tuple[int, ...]:
        network = models.NETWORKS[name]
        return {"batch": models.BATCHES, "depth": network.depths, "size": network.sizes}[sweep]

    if not any(map(points, networks)):
        able = ", ".join(name for name in models.NETWORKS if points(name))
        raise SystemExit(f"nothing to sweep: the networks with more than one {sweep} are {able}")
    for name in networks:
        yield from (Item("time", name, "train", engines, {sweep: at}) for at in points(name))


def _operators(words: str) -> list[str]:
    parts = words.split(",")
    found = [name for name in operators.OPERATORS if any(part in name for part in parts)]
    if not found:
        known = ", ".join(operators.OPERATORS)
        raise SystemExit(f"no operator has {words} in its name; there are {known}")
    return found


def _listed(kind: str, text: str | None, known: Sequence[str]) -> list[str]:
    names = text.split(",") if text else []
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"unknown {kind} {', '.join(unknown)}; known are {', '.join(known)}")
    return names
