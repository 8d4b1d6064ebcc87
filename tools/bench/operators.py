"""The single operators of the benchmark: a table to be added to.

An entry has a name, its inputs in order and the call, written once against the namespace ``ns``
(``tinygrad_cv`` or ``torch``), which gets the inputs as tensors.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["OPERATORS", "Input", "Operator", "arrays", "slope"]


class Input(NamedTuple):
    """An array of normal numbers; positive ones; with ``classes``, of labels; or of ``targets``:
    "chances" between 0 and 1, "truths" 0 and 1, or "signs" 1 and -1."""

    shape: tuple[int, ...]
    positive: bool = False
    classes: int = 0
    targets: str = ""

    @property
    def learns(self) -> bool:
        """True if a gradient is taken with respect to it."""
        return not self.classes and not self.targets


class Operator(NamedTuple):
    """An operator with what it is measured on."""

    name: str
    inputs: tuple[Input, ...]
    call: Callable[..., Any]


def normal(*shape: int) -> Input:
    """Normal numbers."""
    return Input(shape)


def labels(classes: int, *shape: int) -> Input:
    """Integers below ``classes``, without a gradient."""
    return Input(shape, classes=classes)


def deform_conv2d(ns: Any) -> Callable[..., Any]:
    """Ours, or torchvision's, which is not always there."""
    if hasattr(ns.nn.functional, "deform_conv2d"):
        return ns.nn.functional.deform_conv2d
    return importlib.import_module("torchvision.ops").deform_conv2d


IMAGES, HALF = normal(16, 64, 32, 32), normal(16, 64, 16, 16)
POSITIVE, CHANNELS = Input((16, 64, 32, 32), positive=True), normal(64)
CLIP, SCORES, ROWS = normal(2, 32, 8, 28, 28), normal(256, 1000), normal(256, 1024)
TOKENS = normal(4096, 256)

CHANCES, TRUTHS, SIGNS = (Input(IMAGES.shape, targets=t) for t in ("chances", "truths", "signs"))

TABLE = [
    # Convolutions
    Operator("conv2d 3x3", (IMAGES, normal(64, 64, 3, 3), CHANNELS),
             lambda ns, x, w, b: ns.nn.functional.conv2d(x, w, b, padding=1)),
    Operator("conv2d 3x3 stride 2", (IMAGES, normal(128, 64, 3, 3)),
             lambda ns, x, w: ns.nn.functional.conv2d(x, w, stride=2, padding=1)),
    Operator("conv2d 1x1", (IMAGES, normal(128, 64, 1, 1)),
             lambda ns, x, w: ns.nn.functional.conv2d(x, w)),
    Operator("conv2d 5x5", (HALF, normal(64, 64, 5, 5)),
             lambda ns, x, w: ns.nn.functional.conv2d(x, w, padding=2)),
    Operator("conv2d 3x3 dilated", (IMAGES, normal(64, 64, 3, 3)),
             lambda ns, x, w: ns.nn.functional.conv2d(x, w, padding=2, dilation=2)),
    Operator("conv2d 3x3 4 groups", (IMAGES, normal(64, 16, 3, 3)),
             lambda ns, x, w: ns.nn.functional.conv2d(x, w, padding=1, groups=4)),
    Operator("conv2d 3x3 16 groups", (IMAGES, normal(64, 4, 3, 3)),
             lambda ns, x, w: ns.nn.functional.conv2d(x, w, padding=1, groups=16)),
    Operator("conv2d depthwise 3x3", (IMAGES, normal(64, 1, 3, 3)),
             lambda ns, x, w: ns.nn.functional.conv2d(x, w, padding=1, groups=64)),
    Operator("conv1d 3", (normal(16, 64, 1024), normal(64, 64, 3)),
             lambda ns, x, w: ns.nn.functional.conv1d(x, w, padding=1)),
    Operator("conv3d 3x3x3", (CLIP, normal(32, 32, 3, 3, 3)),
             lambda ns, x, w: ns.nn.functional.conv3d(x, w, padding=1)),
    Operator("conv_transpose2d 2x2 stride 2", (HALF, normal(64, 32, 2, 2)),
             lambda ns, x, w: ns.nn.functional.conv_transpose2d(x, w, stride=2)),
    Operator("conv_transpose2d 4x4 stride 2", (HALF, normal(64, 32, 4, 4)),
             lambda ns, x, w: ns.nn.functional.conv_transpose2d(x, w, stride=2, padding=1)),
    # Pooling
    Operator("max_pool2d 2x2", (IMAGES,), lambda ns, x: ns.nn.functional.max_pool2d(x, 2)),
    Operator("max_pool2d 3x3 stride 2", (IMAGES,),
             lambda ns, x: ns.nn.functional.max_pool2d(x, 3, stride=2, padding=1)),
    Operator("max_pool3d 2x2x2", (CLIP,), lambda ns, x: ns.nn.functional.max_pool3d(x, 2)),
    Operator("avg_pool2d 2x2", (IMAGES,), lambda ns, x: ns.nn.functional.avg_pool2d(x, 2)),
    Operator("lp_pool2d 2x2", (IMAGES,), lambda ns, x: ns.nn.functional.lp_pool2d(x, 2, 2)),
    Operator("adaptive_avg_pool2d 1", (IMAGES,),
             lambda ns, x: ns.nn.functional.adaptive_avg_pool2d(x, 1)),
    Operator("adaptive_max_pool2d 4", (IMAGES,),
             lambda ns, x: ns.nn.functional.adaptive_max_pool2d(x, 4)),
    # Normalisation
    Operator("batch_norm, training", (IMAGES, CHANNELS, CHANNELS),
             lambda ns, x, w, b: ns.nn.functional.batch_norm(x, None, None, w, b, training=True)),
    Operator("group_norm, 8 groups", (IMAGES, CHANNELS, CHANNELS),
             lambda ns, x, w, b: ns.nn.functional.group_norm(x, 8, w, b)),
    Operator("instance_norm", (IMAGES, CHANNELS, CHANNELS),
             lambda ns, x, w, b: ns.nn.functional.instance_norm(x, None, None, w, b)),
    Operator("layer_norm of images", (IMAGES, normal(64, 32, 32), normal(64, 32, 32)),
             lambda ns, x, w, b: ns.nn.functional.layer_norm(x, (64, 32, 32), w, b)),
    Operator("layer_norm of rows", (TOKENS, normal(256), normal(256)),
             lambda ns, x, w, b: ns.nn.functional.layer_norm(x, (256,), w, b)),
    Operator("rms_norm of rows", (TOKENS, normal(256)),
             lambda ns, x, w: ns.nn.functional.rms_norm(x, (256,), w)),
    Operator("local_response_norm", (IMAGES,),
             lambda ns, x: ns.nn.functional.local_response_norm(x, 5)),
    # Activations
    Operator("relu", (IMAGES,), lambda ns, x: ns.nn.functional.relu(x)),
    Operator("relu6", (IMAGES,), lambda ns, x: ns.nn.functional.relu6(x)),
    Operator("leaky_relu", (IMAGES,), lambda ns, x: ns.nn.functional.leaky_relu(x, 0.1)),
    Operator("prelu", (IMAGES, Input((64,), positive=True)),
             lambda ns, x, w: ns.nn.functional.prelu(x, w)),
    Operator("elu", (IMAGES,), lambda ns, x: ns.nn.functional.elu(x)),
    Operator("selu", (IMAGES,), lambda ns, x: ns.nn.functional.selu(x)),
    Operator("celu", (IMAGES,), lambda ns, x: ns.nn.functional.celu(x, 0.5)),
    Operator("gelu", (IMAGES,), lambda ns, x: ns.nn.functional.gelu(x)),
    Operator("silu", (IMAGES,), lambda ns, x: ns.nn.functional.silu(x)),
    Operator("mish", (IMAGES,), lambda ns, x: ns.nn.functional.mish(x)),
    Operator("hardswish", (IMAGES,), lambda ns, x: ns.nn.functional.hardswish(x)),
    Operator("hardsigmoid", (IMAGES,), lambda ns, x: ns.nn.functional.hardsigmoid(x)),
    Operator("softplus", (IMAGES,), lambda ns, x: ns.nn.functional.softplus(x)),
    Operator("softsign", (IMAGES,), lambda ns, x: ns.nn.functional.softsign(x)),
    Operator("logsigmoid", (IMAGES,), lambda ns, x: ns.nn.functional.logsigmoid(x)),
    Operator("hardshrink", (IMAGES,), lambda ns, x: ns.nn.functional.hardshrink(x)),
    Operator("softshrink", (IMAGES,), lambda ns, x: ns.nn.functional.softshrink(x)),
    Operator("glu of channels", (IMAGES,), lambda ns, x: ns.nn.functional.glu(x, 1)),
    Operator("sigmoid", (IMAGES,), lambda ns, x: ns.sigmoid(x)),
    Operator("tanh", (IMAGES,), lambda ns, x: ns.tanh(x)),
    Operator("softmax of rows", (SCORES,), lambda ns, x: ns.softmax(x, 1)),
    Operator("softmax of channels", (IMAGES,), lambda ns, x: ns.softmax(x, 1)),
    Operator("log_softmax of rows", (SCORES,), lambda ns, x: ns.log_softmax(x, 1)),
    # Losses
    Operator("cross_entropy", (SCORES, labels(1000, 256)),
             lambda ns, x, y: ns.nn.functional.cross_entropy(x, y)),
    Operator("cross_entropy per pixel", (IMAGES, labels(64, 16, 32, 32)),
             lambda ns, x, y: ns.nn.functional.cross_entropy(x, y)),
    Operator("mse_loss", (IMAGES, IMAGES), lambda ns, x, y: ns.nn.functional.mse_loss(x, y)),
    Operator("l1_loss", (IMAGES, IMAGES), lambda ns, x, y: ns.nn.functional.l1_loss(x, y)),
    Operator("smooth_l1_loss", (IMAGES, IMAGES),
             lambda ns, x, y: ns.nn.functional.smooth_l1_loss(x, y)),
    Operator("huber_loss", (IMAGES, IMAGES), lambda ns, x, y: ns.nn.functional.huber_loss(x, y)),
    Operator("binary_cross_entropy of sigmoid", (IMAGES, TRUTHS),
             lambda ns, x, y: ns.nn.functional.binary_cross_entropy(ns.sigmoid(x), y)),
    Operator("binary_cross_entropy_with_logits", (IMAGES, TRUTHS),
             lambda ns, x, y: ns.nn.functional.binary_cross_entropy_with_logits(x, y)),
    Operator("kl_div", (IMAGES, CHANCES),
             lambda ns, x, y: ns.nn.functional.kl_div(x, y, reduction="batchmean")),
    Operator("poisson_nll_loss", (IMAGES, CHANCES),
             lambda ns, x, y: ns.nn.functional.poisson_nll_loss(x, y)),
    Operator("gaussian_nll_loss", (IMAGES, IMAGES, POSITIVE),
             lambda ns, x, y, v: ns.nn.functional.gaussian_nll_loss(x, y, v)),
    Operator("hinge_embedding_loss", (IMAGES, SIGNS),
             lambda ns, x, y: ns.nn.functional.hinge_embedding_loss(x, y)),
    Operator("margin_ranking_loss", (IMAGES, IMAGES, SIGNS),
             lambda ns, x, y, t: ns.nn.functional.margin_ranking_loss(x, y, t, margin=0.5)),
    Operator("soft_margin_loss", (IMAGES, SIGNS),
             lambda ns, x, y: ns.nn.functional.soft_margin_loss(x, y)),
    Operator("multi_margin_loss", (SCORES, labels(1000, 256)),
             lambda ns, x, y: ns.nn.functional.multi_margin_loss(x, y)),
    Operator("multilabel_soft_margin_loss", (SCORES, Input(SCORES.shape, targets="truths")),
             lambda ns, x, y: ns.nn.functional.multilabel_soft_margin_loss(x, y)),
    Operator("cosine_embedding_loss", (TOKENS, TOKENS, Input((4096,), targets="signs")),
             lambda ns, x, y, t: ns.nn.functional.cosine_embedding_loss(x, y, t)),
    Operator("triplet_margin_loss", (TOKENS, TOKENS, TOKENS),
             lambda ns, x, y, z: ns.nn.functional.triplet_margin_loss(x, y, z)),
    Operator("cosine_similarity", (TOKENS, TOKENS),
             lambda ns, x, y: ns.nn.functional.cosine_similarity(x, y)),
    Operator("pairwise_distance", (TOKENS, TOKENS),
             lambda ns, x, y: ns.nn.functional.pairwise_distance(x, y)),
    Operator("normalize of rows", (TOKENS,), lambda ns, x: ns.nn.functional.normalize(x)),
    Operator("normalize of channels", (IMAGES,), lambda ns, x: ns.nn.functional.normalize(x)),
    # Tokens
    Operator("embedding", (labels(4096, 64, 128), TOKENS),
             lambda ns, i, w: ns.nn.functional.embedding(i, w)),
    Operator("scaled_dot_product_attention", (normal(8, 8, 128, 64),) * 3,
             lambda ns, q, k, v: ns.nn.functional.scaled_dot_product_attention(q, k, v)),
    # Matrices
    Operator("linear", (ROWS, normal(1024, 1024), normal(1024)),
             lambda ns, x, w, b: ns.nn.functional.linear(x, w, b)),
    Operator("matmul of a batch", (normal(32, 128, 128), normal(32, 128, 128)),
             lambda ns, x, y: x @ y),
    # Shapes
    Operator("cat of channels", (IMAGES, IMAGES), lambda ns, x, y: ns.cat([x, y], 1)),
    Operator("pad with zeros", (IMAGES,), lambda ns, x: ns.nn.functional.pad(x, (1, 1, 1, 1))),
    Operator("pad, reflected", (IMAGES,),
             lambda ns, x: ns.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")),
    Operator("nearest, twice as large", (HALF,),
             lambda ns, x: x.repeat_interleave(2, 2).repeat_interleave(2, 3)),
    Operator("interpolate, nearest", (HALF,),
             lambda ns, x: ns.nn.functional.interpolate(x, scale_factor=2)),
    Operator("interpolate, bilinear", (HALF,),
             lambda ns, x: ns.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")),
    Operator("interpolate, bicubic", (IMAGES,),
             lambda ns, x: ns.nn.functional.interpolate(x, size=(48, 24), mode="bicubic")),
    Operator("interpolate, antialias", (IMAGES,),
             lambda ns, x: ns.nn.functional.interpolate(
                 x, scale_factor=0.5, mode="bilinear", antialias=True)),
    Operator("grid_sample", (IMAGES, normal(16, 32, 32, 2)),
             lambda ns, x, g: ns.nn.functional.grid_sample(x, g, align_corners=False)),
    Operator("deform_conv2d 3x3", (IMAGES, normal(16, 18, 32, 32), normal(64, 64, 3, 3)),
             lambda ns, x, o, w: deform_conv2d(ns)(x, o, w, padding=1)),
    Operator("conv2d 3x3 by unfold", (IMAGES, normal(64, 64 * 9)),
             lambda ns, x, w: w @ ns.nn.functional.unfold(x, 3, padding=1)),
    Operator("unfold", (IMAGES,), lambda ns, x: ns.nn.functional.unfold(x, 3, padding=1)),
    Operator("fold", (normal(16, 64 * 9, 1024),),
             lambda ns, x: ns.nn.functional.fold(x, 32, 3, padding=1)),
    Operator("pixel_shuffle", (IMAGES,), lambda ns, x: ns.nn.functional.pixel_shuffle(x, 2)),
    Operator("slice", (IMAGES,), lambda ns, x: x[:, :, 4:28, 4:28]),
    Operator("permuted copy", (IMAGES,), lambda ns, x: x.permute(0, 2, 3, 1).reshape(-1, 64)),
    Operator("index_select of rows", (ROWS, labels(256, 512)),
             lambda ns, x, i: ns.index_select(x, 0, i)),
    Operator("index_select of channels", (IMAGES, labels(64, 64)),
             lambda ns, x, i: ns.index_select(x, 1, i)),
    Operator("gather", (IMAGES, labels(32, 16, 64, 32, 32)), lambda ns, x, i: ns.gather(x, 3, i)),
    Operator("scatter_add", (IMAGES, labels(32, 16, 64, 32, 32), IMAGES),
             lambda ns, x, i, y: ns.scatter_add(x, 3, i, y)),
    Operator("scatter_reduce amax", (IMAGES, labels(32, 16, 64, 32, 32), IMAGES),
             lambda ns, x, i, y: ns.scatter_reduce(x, 3, i, y, "amax")),
    # Arithmetic and reductions
    Operator("add", (IMAGES, IMAGES), lambda ns, x, y: x + y),
    Operator("mul by channels", (IMAGES, normal(64, 1, 1)), lambda ns, x, y: x * y),
    Operator("where", (IMAGES, IMAGES), lambda ns, x, y: ns.where(x > y, x, y)),
    Operator("exp", (IMAGES,), lambda ns, x: ns.exp(x)),
    Operator("log", (POSITIVE,), lambda ns, x: ns.log(x)),
    Operator("sqrt", (POSITIVE,), lambda ns, x: ns.sqrt(x)),
    Operator("mean of an image", (IMAGES,), lambda ns, x: x.mean((2, 3))),
    Operator("var of an image", (IMAGES,), lambda ns, x: ns.var(x, (2, 3))),
    Operator("amax of channels", (IMAGES,), lambda ns, x: ns.amax(x, 1)),
    Operator("cumsum", (IMAGES,), lambda ns, x: ns.cumsum(x, 3)),
    Operator("cumsum of channels", (IMAGES,), lambda ns, x: ns.cumsum(x, 1)),
    Operator("cumprod", (POSITIVE,), lambda ns, x: ns.cumprod(x, 3)),
    Operator("cummax", (IMAGES,), lambda ns, x: ns.cummax(x, 3)[0]),
    Operator("logcumsumexp", (IMAGES,), lambda ns, x: ns.logcumsumexp(x, 3)),
    Operator("nansum of an image", (IMAGES,), lambda ns, x: ns.nansum(x, (2, 3))),
    Operator("diff", (IMAGES,), lambda ns, x: ns.diff(x)),
    # Order
    Operator("sort", (IMAGES,), lambda ns, x: ns.sort(x, 3)[0]),
    Operator("topk", (IMAGES,), lambda ns, x: ns.topk(x, 5, 3)[0]),
    Operator("median of rows", (IMAGES,), lambda ns, x: ns.median(x, 3)[0]),
    Operator("quantile", (IMAGES,), lambda ns, x: ns.quantile(x, 0.3, 3)),
]  # fmt: skip
OPERATORS = {operator.name: operator for operator in TABLE}


_KINDS: dict[str | bool, Callable[[np.ndarray], np.ndarray]] = {
    False: lambda values: values,
    True: lambda values: abs(values) + 0.1,
    "chances": lambda values: 1 / (1 + np.exp(-values)),
    "truths": lambda values: values > 0,
    "signs": np.sign,
}


def arrays(operator: Operator) -> list[np.ndarray]:
    """The inputs, the same in every engine."""
    rng = np.random.default_rng(zlib.crc32(operator.name.encode()))
    made = []
    for wanted in operator.inputs:
        if wanted.classes:
            made.append(rng.integers(0, wanted.classes, wanted.shape))
        else:
            values = rng.standard_normal(wanted.shape)
            made.append(_KINDS[wanted.targets or wanted.positive](values).astype(np.float32))
    return made


def slope(shape: tuple[int, ...]) -> np.ndarray:
    """The gradient of the result."""
    return np.random.default_rng(2).standard_normal(shape).astype(np.float32)
