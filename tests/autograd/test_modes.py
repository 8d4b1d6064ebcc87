"""no_grad, enable_grad and set_grad_enabled as decorators: of functions and of generators."""

from __future__ import annotations

import pytest
import torch

import tinygrad_cv as tg


@pytest.mark.parametrize("mode", [tg.no_grad, tg.enable_grad])
def test_a_decorator_needs_no_parentheses(mode):
    @mode
    def recorded():
        """What it says."""
        return tg.is_grad_enabled()

    with tg.set_grad_enabled(mode is tg.no_grad):
        assert recorded() is (mode is tg.enable_grad)
    assert tg.is_grad_enabled()
    assert (recorded.__name__, recorded.__doc__) == ("recorded", "What it says.")


def conversation(library):
    """Everything that is done to a generator, and what each side sees."""
    seen = []
    enabled = library.is_grad_enabled

    @library.no_grad()
    def steps(first):
        seen.append(("starts", first, enabled()))
        try:
            given = yield "one", enabled()
            seen.append(("given", given, enabled()))
            try:
                yield "two", enabled()
            except ValueError as problem:
                seen.append(("thrown", str(problem), enabled()))
                yield "three", enabled()
            return "result"
        finally:
            seen.append(("ends", enabled()))

    def whole(do):
        talk = steps("first")
        seen.append((next(talk), enabled()))
        seen.append((talk.send("sent"), enabled()))
        try:
            seen.append((do(talk), enabled()))
            while True:
                next(talk)
        except (StopIteration, KeyError) as end:
            seen.append((type(end), getattr(end, "value", None), enabled()))

    whole(next)
    whole(lambda talk: talk.throw(ValueError("caught")))
    whole(lambda talk: talk.throw(KeyError("not caught")))
    whole(lambda talk: talk.close())
    return seen


def test_a_generator_runs_without_recording_and_its_caller_with():
    assert conversation(tg) == conversation(torch)


@pytest.mark.parametrize("decorator", [tg.no_grad, lambda f: tg.set_grad_enabled(False)(f)])
def test_the_body_of_a_generator_is_not_recorded(decorator):
    x = tg.ones(2, requires_grad=True)

    @decorator
    def batches():
        yield x * 2
        yield x * 3

    for y in batches():
        assert not y.requires_grad
        assert (x * y).requires_grad
