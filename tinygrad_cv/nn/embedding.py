"""A table of vectors, looked up by integers."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.core.tensor import as_tensor
from tinygrad_cv.errors import ArgumentError, RangeError, ShapeError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn import init
from tinygrad_cv.nn._arguments import positive
from tinygrad_cv.nn.module import Module
from tinygrad_cv.nn.parameter import Parameter, blank

__all__ = ["Embedding"]


class Embedding(Module):
    """A row of the weight [num_embeddings, embedding_dim] for each integer of the input; see
    :func:`~tinygrad_cv.nn.functional.embedding`.

    The weight starts normal (0, 1), its row ``padding_idx`` as zeros, as in PyTorch.

    Args:
        num_embeddings: rows of the table.
        embedding_dim: length of a row.
        padding_idx: a row that starts as zeros and gets no gradient; negative ones count from the
            end.
        scale_grad_by_freq: divide the gradient of a row by how often it was chosen.
        max_norm, sparse: not supported; anything but None and False raises. ``norm_type`` belongs
            to ``max_norm``.

    >>> import tinygrad_cv as tg
    >>> table = tg.nn.Embedding(10, 3, padding_idx=0)
    >>> table(tg.tensor([[1, 0], [4, 9]])).shape, table.weight[0].tolist()
    ((2, 2, 3), [0.0, 0.0, 0.0])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if max_norm is not None or sparse:
            name = "sparse=True" if max_norm is None else "max_norm"
            raise ArgumentError("Embedding", f"{name} is not supported", repair="Leave it out.")
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise RangeError(
                    "Embedding",
                    f"padding_idx {padding_idx} is outside the table",
                    law=[f"{-num_embeddings} <= padding_idx < {num_embeddings}"],
                )
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx, self.max_norm, self.norm_type = padding_idx, max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        shape = (num_embeddings, embedding_dim)
        if _weight is None:
            self.weight = blank(shape, device, dtype)
            self.weight.requires_grad_(not _freeze)
            self.reset_parameters()
            return
        table = as_tensor(_weight)
        if table.shape != shape:
            raise ShapeError(
                "Embedding", f"the weight must be {shape}", values=[("_weight", table.shape)]
            )
        self.weight = Parameter(table, requires_grad=not _freeze)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A layer around a table [V, D] that is there already, frozen unless ``freeze`` is False.

        >>> import tinygrad_cv as tg
        >>> table = tg.nn.Embedding.from_pretrained(tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
        >>> table(tg.tensor([1])).tolist(), table.weight.requires_grad
        ([[3.0, 4.0]], False)
        """
        table = as_tensor(embeddings)
        if table.ndim != 2:
            raise ShapeError(
                "from_pretrained",
                "the table needs two axes",
                values=[("embeddings", table.shape, "[V, D]")],
            )
        rows, width = table.shape
        return cls(
            rows,
            width,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            sparse,
            _weight=table,
            _freeze=freeze,
        )

    def reset_parameters(self) -> None:
        """Draw new values for the weight, and zeros for its row ``padding_idx``.

        >>> import tinygrad_cv as tg
        >>> table = tg.nn.Embedding(3, 2, padding_idx=2)
        >>> table.reset_parameters()
        >>> table.weight[2].tolist()
        [0.0, 0.0]
        """
        init.normal_(self.weight)
        if self.padding_idx is not None:
            init.zeros_(self.weight.detach()[self.padding_idx])

    def forward(self, input: Any) -> Any:
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        return text
