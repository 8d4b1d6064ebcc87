"""Nested containers as one list."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple

import pytest

from tinygrad_cv.autograd.tree import flatten

Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    ("tree", "leaves", "paths"),
    [
        (7, [7], ["x"]),
        ((), [], []),
        ([1, (2, [])], [1, 2], ["x[0]", "x[1][0]"]),
        ({"b": 1, "a": {3: [2]}}, [1, 2], ["x['b']", "x['a'][3][0]"]),
        (Pair(1, Pair(2, None)), [1, 2, None], ["x.left", "x.right.left", "x.right.right"]),
        (OrderedDict(z=1), [1], ["x['z']"]),
    ],
)
def test_there_and_back(tree, leaves, paths):
    found, structure = flatten(tree)
    assert found == leaves
    assert structure.paths("x") == paths
    again = structure.rebuild(found)
    assert again == tree
    assert type(again) is type(tree)
    assert flatten(again)[1] == structure


def test_structures_differ_by_kind_keys_and_nesting():
    structures = [flatten(t)[1] for t in ([1], (1,), {"a": 1}, {"b": 1}, 1, [[1]], [1, 1])]
    assert len(set(structures)) == len(structures)
    assert str(flatten([1, {"a": (2,)}])[1]) == "[*, {'a': (*,)}]"


def test_other_dictionaries_come_back_plain():
    found, structure = flatten(defaultdict(list, a=1))
    assert structure.rebuild(found) == {"a": 1}
