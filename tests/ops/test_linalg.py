"""Matrix products of every rank, tensordot and einsum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops.einsum import Einsum
from tinygrad_cv.ops.linalg import MatMul
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(19)


def normal(*sizes):
    return rng.normal(size=sizes)


def product(a, b):
    return Case(MatMul, (normal(*a), normal(*b)), reference=np.matmul)


def summed(equation, *shapes, **options):
    """A case of einsum against NumPy's and PyTorch's."""

    def function(*tensors):
        return tg.einsum(equation, *tensors)

    function.__name__ = "einsum"
    return Case(
        function,
        tuple(normal(*s) for s in shapes),
        reference=options.pop("reference", lambda *xs: np.einsum(equation, *xs)),
        torch=lambda *ts: torch.einsum(equation, *ts),
        name=equation,
        **options,
    )


def contraction(output, *terms):
    """A case of the operator itself; the letters have sizes 2, 3, 4, 5."""
    sizes = dict(zip("abcd", (2, 3, 4, 5), strict=True))
    equation = ",".join(terms) + "->" + output
    return Case(
        Einsum,
        (tuple(normal(*(sizes[c] for c in term)) for term in terms),),
        (terms, output),
        reference=lambda xs: np.einsum(equation, *xs),
        name=equation,
        skip={"empty": "sizes that letters share cannot shrink alone"},
    )


CASES = [
    product((2, 3), (3, 4)),
    product((3,), (3,)),
    product((3,), (3, 4)),
    product((2, 3), (3,)),
    product((5, 2, 3), (3, 4)),
    product((5, 2, 3), (3,)),
    product((3,), (5, 3, 4)),
    product((2, 3), (5, 3, 4)),
    product((5, 2, 3), (5, 3, 4)),
    product((5, 2, 3), (1, 3, 4)),
    product((1, 2, 3), (5, 3, 4)),
    product((2, 1, 2, 3), (4, 3, 2)),
    product((2, 1, 2, 3), (3, 2)),
    product((2, 0), (0, 3)),
    product((0, 2, 3), (3, 4)),
    product((2, 3), (3, 0)),
    Case(tg.matmul, (normal(2, 3), normal(3, 4)), torch=torch.matmul),
    Case(lambda a, b: a @ b, (normal(4, 2, 3), normal(3)), torch=torch.matmul, name="@"),
    Case(tg.mm, (normal(2, 3), normal(3, 4)), torch=torch.mm),
    Case(tg.bmm, (normal(2, 2, 3), normal(2, 3, 4)), torch=torch.bmm),
    Case(tg.dot, (normal(3), normal(3)), torch=torch.dot),
    Case(tg.mv, (normal(2, 3), normal(3)), torch=torch.mv),
    Case(tg.outer, (normal(2), normal(3)), torch=torch.outer),
    Case(tg.inner, (normal(2, 3), normal(4, 3)), torch=torch.inner),
    Case(tg.inner, (normal(), normal(2)), torch=torch.inner, name="number"),
    Case(
        tg.addmm,
        (normal(4), normal(2, 3), normal(3, 4)),
        kwargs={"beta": 2, "alpha": -1},
        torch=lambda x, a, b: torch.addmm(x, a, b, beta=2, alpha=-1),
    ),
    Case(tg.baddbmm, (normal(1, 2, 4), normal(2, 2, 3), normal(2, 3, 4)), torch=torch.baddbmm),
    Case(
        tg.tensordot, (normal(2, 3, 4), normal(3, 4, 5)), torch=lambda a, b: torch.tensordot(a, b)
    ),
    Case(
        tg.tensordot,
        (normal(2, 3, 4), normal(4, 3, 5)),
        (((-1, 1), (0, 1)),),
        torch=lambda a, b: torch.tensordot(a, b, ((-1, 1), (0, 1))),
    ),
    Case(
        tg.tensordot,
        (normal(2, 3), normal(4)),
        (0,),
        torch=lambda a, b: torch.tensordot(a, b, 0),
    ),
    # The einsum operator: one, two and more operands.
    contraction("a", "ab"),
    contraction("ba", "ab"),
    contraction("", "abc"),
    contraction("ac", "ab", "bc"),
    contraction("ca", "ab", "bc"),
    contraction("acd", "abc", "bcd"),
    contraction("ab", "ab", "ab"),
    contraction("abcd", "db", "ca"),
    contraction("", "ab", "ab"),
    contraction("a", "ab", "cd"),
    contraction("dba", "abc", "cd"),
    contraction("ad", "ab", "bc", "cd"),
    contraction("abd", "ab", "b", "bd", "d"),
    summed("ij,jk", (2, 3), (3, 4)),
    summed("ij,jk->ki", (2, 3), (3, 4)),
    summed("ba", (2, 3)),
    summed("ij->", (2, 3)),
    summed("i,j->ij", (2,), (3,)),
    summed("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    summed("bhid,bhjd->bhij", (2, 2, 3, 4), (2, 2, 5, 4)),
    summed("nchw,oc->nohw", (2, 3, 2, 2), (4, 3)),
    summed("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)),
    summed("...ij,...jk->...ik", (5, 2, 3, 4), (2, 4, 5)),
    summed("...i,i", (2, 3, 4), (4,)),
    summed("i...->...", (2, 3, 4)),
    summed("...,...", (3,), (2, 3)),
    summed("a...b->b...", (2, 3, 4)),
    summed("ii", (3, 3)),
    summed("ii->i", (3, 3)),
    summed("iji->ij", (2, 3, 2)),
    summed("iii->i", (3, 3, 3)),
    summed("ii,ij->j", (3, 3), (3, 2)),
    summed("ij,jk", (2, 3), (1, 4)),
    summed("ij,ij->ij", (2, 1), (1, 3)),
    summed("...i,...i->...i", (1, 3), (2, 1)),
    summed("ab,bc,cd->ad", (2, 3), (3, 4), (4, 2)),
    summed("Ab, bA -> A", (2, 3), (3, 2)),
    summed("ij,jk->ik", (2, 0), (0, 3)),
    summed(",i->i", (), (3,)),
    Case(tg.einsum, ("ij,jk", [normal(2, 3), normal(3, 2)]), torch=torch.einsum, name="a list"),
]
CASES[17].function.__name__ = "matmul"

A, B = normal(2, 3), normal(4, 5)
BAD = [
    Bad(tg.matmul, (A, B), error=ShapeError, match="K = 3 in the input, 4 in the other"),
    Bad(tg.matmul, (A, A), error=ShapeError, match=r"a @ b\.mT"),
    Bad(tg.matmul, (normal(3, 2), normal(3, 4)), error=ShapeError, match=r"a\.mT @ b"),
    Bad(tg.matmul, (normal(), A), error=ShapeError, match="0-d"),
    Bad(tg.matmul, (normal(2, 2, 3), normal(4, 3, 2)), error=ShapeError, match="batch axes"),
    Bad(tg.mm, (normal(1, 2, 3), A), error=ShapeError, match="2 and 2 axes"),
    Bad(tg.bmm, (normal(2, 2, 3), normal(1, 3, 2)), error=ShapeError, match="batch sizes differ"),
    Bad(tg.dot, (normal(2), A), error=ShapeError, match="1 and 1 axes"),
    Bad(
        tg.dot,
        (normal(2), normal(3)),
        error=ShapeError,
        match="2 and 3",
        skip={"operator": "matmul"},
        apply=lambda repair, args, kwargs: ((args[0], normal(*repair["other"])), kwargs),
    ),
    Bad(tg.mv, (A, A), error=ShapeError, match="2 and 1 axes"),
    Bad(tg.outer, (A, A), error=ShapeError, match="1 and 1 axes"),
    Bad(tg.tensordot, (A, B, 1), error=ShapeError, match="different sizes"),
    Bad(tg.tensordot, (A, B, 3), error=ShapeError, match="dims = 3"),
    Bad(tg.tensordot, (A, B, ((2,), (0,))), error=RangeError, match="dim 2"),
    Bad(tg.einsum, (A, B), error=DTypeError, match="the equation, a string"),
    Bad(tg.einsum, ("ij,jk", A), error=ArgumentError, match="2 terms for 1 operands"),
    Bad(tg.einsum, ("i1->i", A), error=ArgumentError, match="is not a term"),
    Bad(tg.einsum, ("ij->ijj", A), error=ArgumentError, match="more than once"),
    Bad(tg.einsum, ("ij->ik", A), error=ArgumentError, match="in no operand"),
    Bad(tg.einsum, ("ijk->i", A), error=ShapeError, match="names 3 axes, the operand has 2"),
    Bad(tg.einsum, ("ij,jk", A, B), error=ShapeError, match='"j" stands for sizes 3 and 4'),
    Bad(tg.einsum, ("ii", A), error=ShapeError, match='"i" stands for sizes 2 and 3'),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_numpy_on_either_side():
    a, b = normal(2, 3), normal(3, 2)
    x = tg.tensor(b, requires_grad=True)
    for y in (a @ x, np.matmul(a, x)):
        assert isinstance(y, tg.Tensor)
        np.testing.assert_allclose(y.detach().numpy(), a @ b)
    (a @ x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.repeat(a.sum(0)[:, None], 2, 1))


def test_dtypes_are_promoted_and_gradients_come_back():
    x = tg.tensor(np.ones((2, 3), "float32"), requires_grad=True)
    y = x @ tg.tensor(np.ones((3, 2), "float64"))
    assert y.dtype == np.float64
    y.sum().backward()
    assert x.grad.dtype == np.float32
    assert (tg.tensor([[1, 2]]) @ tg.tensor([[3], [4]])).tolist() == [[11]]


def test_large_products_use_recycled_memory():
    a = tg.tensor(np.ones((512, 512), "float32"))
    before = tg.backend.memory.stats().hits if hasattr(tg, "backend") else None
    for _ in range(3):
        y = a @ a
    assert y.array.base is not None
    assert before is None or tg.backend.memory.stats().hits > before


LETTERS = st.sampled_from("abcd")


@given(st.lists(st.lists(LETTERS, max_size=3), min_size=1, max_size=3), st.data())
@settings(max_examples=150, deadline=None)
def test_einsum_follows_numpy(terms, data):
    sizes = dict(zip("abcd", (2, 3, 1, 2), strict=True))
    letters = sorted({c for term in terms for c in term})
    output = data.draw(st.permutations(letters).map(lambda p: p[: len(p) // 2 + 1]))
    equation = ",".join("".join(t) for t in terms) + "->" + "".join(output)
    xs = [rng.normal(size=[sizes[c] for c in term]) for term in terms]
    y = tg.einsum(equation, *(tg.Tensor(np.asarray(x)) for x in xs))
    np.testing.assert_allclose(y.numpy(), np.einsum(equation, *xs), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("count", [3, 5])
def test_chains_are_contracted_pairwise(count):
    """A chain of thin matrices would need 40 ** (count + 1) steps in one go."""
    xs = [normal(40, 40) for _ in range(count)]
    letters = "abcdefgh"
    terms = ",".join(letters[k : k + 2] for k in range(count))
    y = tg.einsum(f"{terms}->a{letters[count]}", *(tg.Tensor(x) for x in xs))
    np.testing.assert_allclose(y.numpy(), np.linalg.multi_dot(xs), rtol=1e-9, atol=1e-6)
