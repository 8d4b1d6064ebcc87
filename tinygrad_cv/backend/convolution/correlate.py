"""The three computations of convolution, each by the method that is fastest for its shapes."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.channels import add_bias
from tinygrad_cv.backend.convolution import depthwise, few_outputs, im2col
from tinygrad_cv.backend.convolution.blocks import Window
from tinygrad_cv.backend.convolution.phases import phases
from tinygrad_cv.backend.layout import pixels

__all__ = ["correlate", "spread", "weight_gradient"]

Sizes = tuple[int, ...]


def correlate(xp: Any, input: Any, weight: Any, bias: Any, window: Window, output: Any) -> None:
    """``output[n,o,p] = bias[o] + sum_{c,k} input[n, c, p*stride + start + k*dilation] * w[o,c,k]``

    Args:
        input: [N, C, spatial...] in any memory order.
        weight: [group, o, c, taps...], the channels of each group apart.
        bias: [O], or None.
        output: [N, O, positions...], channels-last in memory.
    """
    if depthwise.serves(weight):
        method = depthwise.correlate
    elif few_outputs.serves(weight, window):
        method = few_outputs.correlate
    else:
        method = im2col.correlate
    target = pixels(output)
    rows = target.reshape(target.size // max(1, target.shape[-1]), target.shape[-1])
    for block in method(xp, input, weight, window, target):
        if bias is not None:  # now, while the block is in the cache
            add_bias(xp, rows[block], bias)


def spread(xp: Any, grad: Any, weight: Any, window: Window, output: Any) -> None:
    """``output[n,c,i] = sum_{o,k,p: p*stride + start + k*dilation = i} grad[n,o,p] * w[c,o,k]``

    Args:
        grad: [N, O, positions...] in any memory order.
        weight: [group, c, o, taps...]: seen from the result, the input is what the output was.
        output: [N, C, spatial...], channels-last in memory.
    """
    for phase in phases(output.shape[2:], window):  # a single one if the stride is 1
        part = output[(slice(None), slice(None), *phase.pixels)]
        taps = weight[(..., *phase.taps)]
        if 0 in taps.shape[3:]:
            part[...] = 0  # between the windows: the stride is larger than the kernel
        elif pixels(part).flags.c_contiguous:
            correlate(xp, grad, taps, None, phase.window, part)
        else:
            whole = memory.empty(part.shape, part.dtype, "channels_last", xp)
            correlate(xp, grad, taps, None, phase.window, whole)
            part[...] = whole


def weight_gradient(
    xp: Any, input: Any, grad: Any, weight_shape: Sizes, window: Window, groups: int
) -> Any:
    """``dw[o,c,k] = sum_{n,p} grad[n,o,p] * input[n, c, p*stride + start + k*dilation]``, of shape
    [O, C/groups, taps...].
    """
    if groups == weight_shape[0] == input.shape[1] > 1:
        return depthwise.weight_gradient(xp, input, grad, weight_shape, window)
    return im2col.weight_gradient(xp, input, grad, weight_shape, window, groups)
