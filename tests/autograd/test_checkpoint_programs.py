"""Random programs give the same gradients to the bit with checkpoints, or are refused."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.autograd.checkpoint_programs import CHANGES, STEPS, Program


def names(body: list) -> set[str]:
    return set().union(*({w} if isinstance(w, str) else names(w) for w, _, _ in body))


@pytest.mark.parametrize("start", [0, 40, 80, 120])
def test_programs(start: int) -> None:
    programs = [Program(seed) for seed in range(start, start + 40)]
    outcomes = Counter(program.check() for program in programs)
    assert outcomes["equal"] >= 2, "programs without a change must be among them"
    assert outcomes["equal after a change"] >= 5
    assert outcomes["checkpoint refuses"] + outcomes["both refuse"] >= 2


def test_what_the_programs_do() -> None:
    programs = [Program(seed) for seed in range(160)]
    assert set().union(*(names(program.body) for program in programs)) == set(STEPS)
    assert {program.change for program in programs} == {None, *CHANGES}
    assert len({program.mode for program in programs}) == 5
