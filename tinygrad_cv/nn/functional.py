"""The functions of networks under the field's names: the public face of ``ops/``.

Every operator family of :mod:`tinygrad_cv.ops` lists what belongs here; nothing is listed by hand.
Arguments may be Tensors or arrays, the first one also nested lists; results are Tensors.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.ops import NN_FUNCTIONS as _FUNCTIONS

__all__ = sorted(_FUNCTIONS)

globals().update(_FUNCTIONS)


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    raise AttributeError(f"nn.functional has no function {name!r}")
