"""Recording switched off and on: as blocks, and as decorators of functions and generators."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from tinygrad_cv.backend.blame import Place
from tinygrad_cv.core.mode import grad_mode, set_grad, state
from tinygrad_cv.errors import user_frame

__all__ = ["enable_grad", "no_grad", "set_grad_enabled"]

F = TypeVar("F", bound=Callable[..., Any])


class _Decorator(grad_mode):
    """A block that is a decorator too: of a function, or of a generator, which then runs in this
    mode while its caller keeps the caller's own."""

    def __enter__(self) -> None:
        self._place = Place(user_frame(2))
        super().__enter__()

    def __call__(self, function: F) -> F:
        mode, place = self._mode, Place(user_frame(2))
        if inspect.isgeneratorfunction(function):
            return _generator(function, mode)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with grad_mode(mode, place):
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]  # functools.wraps keeps the signature


def _generator(function: Any, mode: bool) -> Any:
    """``function`` with each step of its generators in this mode, and nothing between steps."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        steps = function(*args, **kwargs)
        step, given = steps.send, None
        try:
            while True:
                with grad_mode(mode):
                    found = step(given)
                try:
                    step, given = steps.send, (yield found)
                except GeneratorExit:
                    with grad_mode(mode):
                        steps.close()
                    raise
                except BaseException as problem:  # thrown into us: it is for the generator
                    step, given = steps.throw, problem
        except StopIteration as end:
            return end.value

    return wrapper


class _Fixed(_Decorator):
    """A mode that its class names, so that ``@no_grad`` needs no parentheses."""

    def __new__(cls, function: Any = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)


class no_grad(_Fixed):  # noqa: N801
    """Record nothing inside the block (or the decorated function): results do not require a
    gradient.

    >>> import tinygrad_cv as tg
    >>> with tg.no_grad():
    ...     tg.is_grad_enabled()
    False
    """

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_Fixed):  # noqa: N801
    """Record again inside a :class:`no_grad` block.

    >>> import tinygrad_cv as tg
    >>> with tg.no_grad(), tg.enable_grad():
    ...     tg.is_grad_enabled()
    True
    """

    def __init__(self) -> None:
        super().__init__(True)


class set_grad_enabled(_Decorator):  # noqa: N801
    """Switch recording on or off, at once; as a context manager or decorator, until the end of the
    block.

    >>> import tinygrad_cv as tg
    >>> with tg.set_grad_enabled(False):
    ...     tg.is_grad_enabled()
    False
    >>> tg.is_grad_enabled()
    True
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._before = state()
        set_grad(self._mode, Place(user_frame(2)))

    def __enter__(self) -> None:
        set_grad(self._mode, Place(user_frame(2)))

    def __exit__(self, *_: object) -> None:
        set_grad(self._before.grad, self._before.place)

    def __call__(self, function: F) -> F:
        set_grad(self._before.grad, self._before.place)
        return super().__call__(function)
