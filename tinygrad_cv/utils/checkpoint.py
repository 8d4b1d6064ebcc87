"""The address that ``torch.utils.checkpoint`` has: :func:`tinygrad_cv.autograd.checkpoint` and
:func:`tinygrad_cv.autograd.checkpoint_sequential`, for code that is moved here.

>>> import tinygrad_cv as tg
>>> from tinygrad_cv.utils.checkpoint import checkpoint
>>> x = tg.tensor([1.0, 2.0], requires_grad=True)
>>> checkpoint(tg.exp, x, use_reentrant=False).sum().backward()
>>> bool((x.grad == x.exp()).all())
True
"""

from tinygrad_cv.autograd.recompute import checkpoint, checkpoint_sequential

__all__ = ["checkpoint", "checkpoint_sequential"]
