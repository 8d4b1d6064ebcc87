"""Convolution on raw arrays: how the operators of ``ops/conv.py`` are computed, and how fast.

Three functions serve the three operators: ``correlate`` the convolution itself, ``spread`` its
input gradient, ``weight_gradient`` the other one. Behind them, from the plain case to the rare:

* ``blocks``: cutting the output into blocks, and which pixels of the input each block reads;
* ``reading``: the windows of a block as a view of the input, or of a zero-padded copy;
* ``im2col``: the windows as rows of a matrix, for a matrix product;
* ``depthwise`` and ``few_outputs``: where that matrix product would be too narrow to be fast;
* ``phases``: the input gradient as convolutions with stride 1.
"""

from tinygrad_cv.backend.convolution.blocks import Window
from tinygrad_cv.backend.convolution.correlate import correlate, spread, weight_gradient

__all__ = ["Window", "correlate", "spread", "weight_gradient"]
