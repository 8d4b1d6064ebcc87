"""The C text of a kernel, compiled for the CPU: what the threads do is done in a loop."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.cupy_standin.kernels import parameters

__all__ = ["COMPILER", "compiled", "kernels_of"]

COMPILER = shutil.which("c++")
_C = {"int64": "long long", "int32": "int", "uint8": "unsigned char"}


def kernels_of(make: Callable[[Any], Any]) -> Any:
    """What a function of the package that makes kernels for a module `xp` would make: their
    declarations."""

    def declared(inputs: str, outputs: str, operation: str, name: str) -> SimpleNamespace:
        return SimpleNamespace(inputs=inputs, outputs=outputs, operation=operation, name=name)

    return make(SimpleNamespace(ElementwiseKernel=declared))


def compiled(kernel: Any, types: dict[str, str], folder: Path) -> Callable[..., None]:
    """`run(size, *arguments)` for a kernel, with C types for the letters of its parameters.

    Arrays are handed over by their first element, numbers as they are declared.
    """
    declared = parameters(kernel.inputs) + parameters(kernel.outputs)
    head, body = [], []
    for parameter in declared:
        kind = {**_C, **types}[parameter.kind]
        if parameter.raw:
            head.append(f"{kind}* {parameter.name}")
        elif len(parameter.kind) > 1:
            head.append(f"{kind} {parameter.name}")
        else:
            head.append(f"{kind}* _{parameter.name}")
            body.append(f"{kind}& {parameter.name} = _{parameter.name}[i];")
    source = folder / f"{kernel.name}.cpp"
    source.write_text(
        "".join(f"typedef {kind} {letter};\n" for letter, kind in types.items())
        + f'extern "C" void run(long long _size, {", ".join(head)}) {{\n'
        + f"for (long long i = 0; i < _size; ++i) {{ {' '.join(body)} {kernel.operation} }}\n}}\n"
    )
    library = folder / f"{kernel.name}-{'-'.join(types.values())}.so"
    flags = ["-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library)]
    subprocess.run([str(COMPILER), *flags, str(source)], check=True)
    function = ctypes.CDLL(str(library)).run

    def run(size: int, *arguments: Any) -> None:
        converted: list[Any] = [ctypes.c_longlong(size)]
        for parameter, value in zip(declared, arguments, strict=True):
            if isinstance(value, np.ndarray):
                assert parameter.kind in types or value.dtype == parameter.kind
                converted.append(ctypes.c_void_p(value.__array_interface__["data"][0]))
            else:
                converted.append(ctypes.c_longlong(value))
        function(*converted)

    return run
