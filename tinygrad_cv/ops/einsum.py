"""Einstein summation: sums of products over named axes.

The public function brings every operand into normal form: no ellipsis, no axis named twice, no axis
of size 1 that is meant to broadcast. The operator then contracts the operands two at a time, each
as one batched matrix product. Its gradient is an einsum again.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Any

from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.diagonal import diagonal
from tinygrad_cv.ops.expand import expand
from tinygrad_cv.ops.linalg import promoted
from tinygrad_cv.ops.shape import permute, reshape

__all__ = ["Einsum", "einsum"]

TG_FUNCTIONS = ("einsum",)

Shape = tuple[int, ...]


def einsum(equation: str, *operands: Any) -> Any:
    """Sum of products over named axes: ``einsum("ik,kj->ij", a, b)`` is the matrix product.

    Args:
        equation: a letter for each axis of each operand, operands separated by commas, then ``->``
            and the letters of the result. Letters that are missing there are summed over. Without
            ``->`` the result has the letters that stand once, in alphabetical order. ``...`` stands
            for further axes, which broadcast; a letter twice in one operand takes its diagonal.
        operands: one tensor for each term.

    Raises:
        ArgumentError: the equation cannot be read.
        ShapeError: an operand has another number of axes than its term, or sizes disagree.

    >>> import tinygrad_cv as tg
    >>> a = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tg.einsum("ij,ij->i", a, a).tolist(), tg.einsum("ii", a).item()
    ([5.0, 25.0], 5.0)
    """
    if not isinstance(equation, str):
        raise DTypeError(
            "einsum",
            f"the first argument is the equation, a string, not {type(equation).__name__}",
            repair='Write einsum("ij,jk->ik", a, b).',
        )
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = tuple(operands[0])
    terms, output = _read(equation, tuple(x.shape for x in operands))
    operands = promoted(*operands)
    normal = [_without_repeats(x, term) for x, term in zip(operands, terms, strict=True)]
    sizes = _sizes(equation, normal)
    normal = [_without_ones(x, term, sizes) for x, term in normal]
    tensors, terms = [x for x, _ in normal], [term for _, term in normal]
    if len(tensors) == 1 and len(terms[0]) == len(output):
        return permute(tensors[0], tuple(terms[0].index(letter) for letter in output))
    return Einsum.call(tuple(tensors), tuple(terms), output)


class Einsum(Op):
    """Sum of products over named axes; no letter twice in a term, one size for each letter."""

    name = "einsum"
    equation = "y[out] = sum over the other letters of x_0[term_0] * x_1[term_1] * ..."
    gradients = {"operands": "dx_k = einsum(g, the other operands -> term_k), then repeated"}
    edges = "NaN and infinity as in the sums of products"
    cost = "operands times the product of all sizes"
    dtypes = "bool, integer, floating"
    inputs = ("operands",)
    variadic = True

    @staticmethod
    def infer(operands: tuple[Spec, ...], terms: tuple[str, ...], output: str) -> Spec:
        sizes = _lengths(terms, tuple(x.shape for x in operands))
        return Spec(tuple(sizes[letter] for letter in output), operands[0].dtype)

    @staticmethod
    def forward(xp: Any, operands: tuple[Any, ...], terms: tuple[str, ...], output: str) -> Any:
        work = list(zip(operands, terms, strict=True))
        while len(work) > 1:
            i, j = _next_pair(
                [term for _, term in work], _lengths(terms, _shapes(operands)), output
            )
            (b, term_b), (a, term_a) = work.pop(j), work.pop(i)
            needed = set(output).union(*(term for _, term in work))
            final = output if not work else None
            work.append(_contract(xp, a, term_a, b, term_b, needed, final))
        y, term = work[0]
        y, term = _summed(y, term, set(output))
        y = y.transpose([term.index(letter) for letter in output])
        return y.copy() if len(operands) == 1 else xp.ascontiguousarray(y).reshape(y.shape)

    @staticmethod
    def vjp_operands(
        g: Any,
        k: int,
        operands: tuple[Any, ...],
        operands_shape: tuple[Shape, ...],
        terms: tuple[str, ...],
        output: str,
    ) -> Any:
        others = (*operands[:k], *operands[k + 1 :])
        other_terms = (*terms[:k], *terms[k + 1 :])
        own = _known(terms[k], (output, *other_terms))
        y = _einsum((g, *others), (output, *other_terms), own)
        if own == terms[k]:
            return y
        shape = operands_shape[k]
        kept = tuple(n if c in own else 1 for n, c in zip(shape, terms[k], strict=True))
        return expand(reshape(y, kept), shape)

    @staticmethod
    def flops(operands: tuple[Spec, ...], terms: tuple[str, ...], output: str) -> int:
        sizes = _lengths(terms, tuple(x.shape for x in operands))
        return len(operands) * math.prod(sizes.values())


_einsum = Einsum.call


def _known(term: str, others: tuple[str, ...]) -> str:
    """The letters of ``term`` that stand in one of the others."""
    found = ""
    for letter in term:
        for other in others:
            if letter in other and letter not in found:
                found = found + letter
    return found


def _shapes(operands: tuple[Any, ...]) -> tuple[Shape, ...]:
    return tuple(x.shape for x in operands)


def _lengths(terms: tuple[str, ...], shapes: tuple[Shape, ...]) -> dict[str, int]:
    return {
        letter: n
        for term, shape in zip(terms, shapes, strict=True)
        for letter, n in zip(term, shape, strict=True)
    }


def _next_pair(terms: list[str], sizes: dict[str, int], output: str) -> tuple[int, int]:
    """The two operands whose contraction grows memory least, and among those costs least."""

    def cost(pair: tuple[int, int]) -> tuple[int, int]:
        both = set(terms[pair[0]]) | set(terms[pair[1]])
        rest = set(output).union(*(t for k, t in enumerate(terms) if k not in pair))
        volume = [math.prod(sizes[c] for c in s) for s in (both & rest, both)]
        return volume[0] - sum(math.prod(sizes[c] for c in terms[k]) for k in pair), volume[1]

    return min(itertools.combinations(range(len(terms)), 2), key=cost)


def _summed(x: Any, term: str, needed: set[str]) -> tuple[Any, str]:
    """``x`` summed over the axes that nobody needs any more."""
    axes = tuple(axis for axis, letter in enumerate(term) if letter not in needed)
    if not axes:
        return x, term
    return x.sum(axis=axes, dtype=x.dtype), "".join(c for c in term if c in needed)


def _contract(
    xp: Any, a: Any, term_a: str, b: Any, term_b: str, needed: set[str], output: str | None
) -> tuple[Any, str]:
    """Two operands as one batched matrix product [batch, left, sum] @ [batch, sum, right]."""
    a, term_a = _summed(a, term_a, needed | set(term_b))
    b, term_b = _summed(b, term_b, needed | set(term_a))
    if output is not None:
        free = [c for c in output if (c in term_a) != (c in term_b)]
        if free and free[0] in term_b:  # so that the product comes out in the order asked for
            a, term_a, b, term_b = b, term_b, a, term_a
    order = output if output is not None else term_a + term_b
    batch = [c for c in dict.fromkeys(order) if c in term_a and c in term_b and c in needed]
    summed = [c for c in term_a if c in term_b and c not in needed]
    left = [c for c in dict.fromkeys(order) if c in term_a and c not in term_b]
    right = [c for c in dict.fromkeys(order) if c in term_b and c not in term_a]
    sizes = _lengths((term_a, term_b), (a.shape, b.shape))
    term = "".join(batch + left + right)
    a = a.transpose([term_a.index(c) for c in batch + left + summed])
    if not summed:
        b = b.transpose([term_b.index(c) for c in batch + right])
        shape = [sizes[c] for c in batch] + [1] * len(left) + [sizes[c] for c in right]
        return a.reshape(a.shape + (1,) * len(right)) * b.reshape(shape), term
    b = b.transpose([term_b.index(c) for c in batch + summed + right])
    groups = [math.prod(sizes[c] for c in group) for group in (batch, left, summed, right)]
    y = xp.matmul(a.reshape(groups[:3]), b.reshape(groups[0], groups[2], groups[3]))
    return y.reshape([sizes[c] for c in term]), term


@lru_cache(maxsize=256)
def _read(equation: str, shapes: tuple[Shape, ...]) -> tuple[list[str], str]:
    """The terms and the result as plain letters; axes under an ellipsis get their own."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ArgumentError(
            "einsum",
            f'"{equation}" has {len(terms)} terms for {len(shapes)} operands',
            values=[(f"operand {k}", shape) for k, shape in enumerate(shapes)],
        )
    for term in (*terms, right):
        letters = term.replace("...", "", 1)
        if letters and not (letters.isascii() and letters.isalpha()):
            raise ArgumentError(
                "einsum",
                f'"{term}" in "{equation}" is not a term',
                repair="A term is made of letters a-z, A-Z and at most one ellipsis (...).",
            )
    hidden = [
        _hidden(equation, k, t, s) for k, (t, s) in enumerate(zip(terms, shapes, strict=True))
    ]
    dots = "".join(chr(0x3B1 + k) for k in range(max(hidden)))  # letters that no term can hold
    full = [t.replace("...", dots[len(dots) - n :]) for t, n in zip(terms, hidden, strict=True)]
    if not arrow:
        letters = "".join(t.replace("...", "") for t in terms)
        return full, dots + "".join(c for c in sorted(set(letters)) if letters.count(c) == 1)
    output = right.replace("...", dots)
    for letter in output:
        problem = "more than once" if output.count(letter) > 1 else "but in no operand"
        if output.count(letter) > 1 or not any(letter in term for term in full):
            raise ArgumentError(
                "einsum", f'"{letter}" stands {problem} in the result of "{equation}"'
            )
    return full, output


def _hidden(equation: str, k: int, term: str, shape: Shape) -> int:
    """How many axes the ellipsis of a term stands for."""
    named = len(term.replace("...", ""))
    if len(shape) < named or (len(shape) > named and "..." not in term):
        raise ShapeError(
            "einsum",
            f'"{term}" in "{equation}" names {named} axes, the operand has {len(shape)}',
            values=[(f"operand {k}", shape, f"[{', '.join(term)}]")],
        )
    return len(shape) - named


def _without_repeats(x: Any, term: str) -> tuple[Any, str]:
    """A letter that stands twice means the diagonal of these axes, which becomes the last one."""
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            if x.shape[first] != x.shape[second]:
                raise ShapeError(
                    "einsum",
                    f'"{letter}" stands for sizes {x.shape[first]} and {x.shape[second]}',
                    values=[("operand", x.shape, f"[{', '.join(term)}]")],
                )
            x = diagonal(x, 0, first, second)
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + letter
    return x, term


def _sizes(equation: str, normal: list[tuple[Any, str]]) -> dict[str, int]:
    """The size of each letter; a size of 1 broadcasts to what another operand says."""
    sizes: dict[str, int] = {}
    for x, term in normal:
        for letter, n in zip(term, x.shape, strict=True):
            known = sizes.setdefault(letter, n)
            if known == 1:
                sizes[letter] = n
            elif n not in (1, known):
                raise ShapeError(
                    "einsum",
                    f'"{letter}" stands for sizes {known} and {n} in "{equation}"',
                    law=["axes with one letter must have one size, or 1"],
                    values=[
                        (f"operand {k}", x.shape, f"[{', '.join(t)}]")
                        for k, (x, t) in enumerate(normal)
                    ],
                )
    return sizes


def _without_ones(x: Any, term: str, sizes: dict[str, int]) -> tuple[Any, str]:
    """Axes of size 1 that broadcast against another operand are dropped."""
    kept = [n == sizes[letter] for letter, n in zip(term, x.shape, strict=True)]
    if all(kept):
        return x, term
    shape = tuple(n for n, keep in zip(x.shape, kept, strict=True) if keep)
    return reshape(x, shape), "".join(c for c, keep in zip(term, kept, strict=True) if keep)
