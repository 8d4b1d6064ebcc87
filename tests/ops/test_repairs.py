"""What newcomers do, and that what the error then advises works."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import models, nn
from tinygrad_cv.errors import TinygradError

F = nn.functional
MAPS, BOXES = tg.rand(2, 16, 4, 4), tg.tensor([[0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 3.0, 3.0]])
LABELS, SCORES = tg.tensor([2, 0, 255]), tg.rand(3, 4)
TOKENS = tg.rand(2, 5, 8)
MISTAKES = {
    "layer norm over channels": (
        lambda: nn.LayerNorm(16)(MAPS),
        ["input.movedim(1, -1)", "nn.GroupNorm(1, 16)"],
        lambda: (nn.LayerNorm(16)(MAPS.movedim(1, -1)), nn.GroupNorm(1, 16)(MAPS)),
    ),
    "an image without batch": (
        lambda: F.interpolate(MAPS[0], size=(8, 8), mode="bilinear"),
        ["mode='linear'", "input.unsqueeze(0)"],
        lambda: F.interpolate(MAPS[0].unsqueeze(0), size=(8, 8), mode="bilinear"),
    ),
    "an image without batch and channels": (
        lambda: F.interpolate(MAPS[0, 0], size=(8, 8), mode="bilinear"),
        ["input[None, None]"],
        lambda: F.interpolate(MAPS[0, 0][None, None], size=(8, 8), mode="bilinear"),
    ),
    "the whole shape as size": (
        lambda: F.interpolate(MAPS, size=(2, 16, 8, 6)),
        ["size=(8, 6)"],
        lambda: F.interpolate(MAPS, size=(8, 6)),
    ),
    "padding as NumPy has it": (
        lambda: F.pad(MAPS, ((0, 0), (0, 0), (1, 2), (3, 4))),
        ["pad=(3, 4, 1, 2, 0, 0, 0, 0)"],
        lambda: F.pad(MAPS, (3, 4, 1, 2, 0, 0, 0, 0)).shape == (2, 16, 7, 11),
    ),
    "a column of scores": (
        lambda: F.nms(BOXES, tg.rand(2, 1), 0.5),
        ["scores.reshape(2)"],
        lambda: F.nms(BOXES, tg.rand(2, 1).reshape(2), 0.5),
    ),
    "boxes with their scores": (
        lambda: F.box_area(tg.rand(3, 5)),
        ["boxes[..., :4]"],
        lambda: F.box_area(tg.rand(3, 5)[..., :4]),
    ),
    "boxes of one image": (
        lambda: F.roi_align(MAPS[:1], BOXES, 2),
        ["[boxes]"],
        lambda: F.roi_align(MAPS[:1], [BOXES], 2),
    ),
    "boxes of several images": (
        lambda: F.roi_align(MAPS, tg.stack([BOXES, BOXES]), 2),
        ["list(boxes)"],
        lambda: F.roi_align(MAPS, list(tg.stack([BOXES, BOXES])), 2),
    ),
    "regions of an image without batch": (
        lambda: F.roi_align(MAPS[0], [BOXES], 2),
        ["input.unsqueeze(0)"],
        lambda: F.roi_align(MAPS[0].unsqueeze(0), [BOXES], 2),
    ),
    "a token for all images": (
        lambda: tg.cat([tg.zeros(1, 1, 8), TOKENS], dim=1),
        ["tensors[0].expand(2, -1, -1)"],
        lambda: tg.cat([tg.zeros(1, 1, 8).expand(2, -1, -1), TOKENS], dim=1),
    ),
    "labels as an index": (
        lambda: SCORES.gather(1, LABELS % 4),
        ["index.unsqueeze(-1)"],
        lambda: SCORES.gather(1, (LABELS % 4).unsqueeze(-1)),
    ),
    "labels that are no classes": (
        lambda: F.one_hot(LABELS, 3),
        ["num_classes=256", "replace the labels"],
        lambda: (F.one_hot(LABELS, 256), F.one_hot(LABELS.clamp(max=2), 3)),
    ),
    "too few embeddings": (
        lambda: nn.Embedding(5, 2)(tg.tensor([5, 7])),
        ["num_embeddings=8"],
        lambda: nn.Embedding(8, 2)(tg.tensor([5, 7])),
    ),
    "a loss that is not made first": (
        lambda: nn.MSELoss(SCORES, SCORES),
        ["nn.MSELoss()(input, target)"],
        lambda: nn.MSELoss()(SCORES, SCORES),
    ),
    "layers instead of their numbers": (
        lambda: models.receptive_field(nn.Sequential(nn.Conv2d(1, 1, 3))),
        ["(kernel_size, stride, padding, dilation)"],
        lambda: models.receptive_field([(3, 1, 0, 1)]),
    ),
    "branches of different sizes": (
        lambda: tg.rand(2, 3, 8, 8) + tg.rand(2, 3, 10, 10),
        ["F.interpolate(x, size=(8, 8))"],
        lambda: tg.rand(2, 3, 8, 8) + F.interpolate(tg.rand(2, 3, 10, 10), size=(8, 8)),
    ),
    "a batch first": (
        lambda: nn.MultiheadAttention(8, 2)(TOKENS, TOKENS, TOKENS, attn_mask=tg.zeros(5, 5)),
        ["batch_first=True"],
        lambda: nn.MultiheadAttention(8, 2, batch_first=True)(
            TOKENS, TOKENS, TOKENS, attn_mask=tg.zeros(5, 5)
        ),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_repair_is_named_and_works(name):
    wrong, words, right = MISTAKES[name]
    with pytest.raises(TinygradError) as caught:
        wrong()
    for word in words:
        assert word in caught.value.repair
    assert right() is not False


def test_no_repair_is_made_up():
    for wrong in (
        lambda: F.nms(BOXES, tg.rand(3), 0.5),
        lambda: F.box_area(tg.rand(3, 3)),
        lambda: F.roi_align(MAPS, BOXES, 2),
        lambda: SCORES.gather(1, tg.tensor([0, 1])),
        lambda: F.interpolate(tg.rand(3), size=2, mode="bilinear"),
        lambda: tg.cat([tg.zeros(3, 2, 8), TOKENS], dim=1),
    ):
        with pytest.raises(TinygradError) as caught:
            wrong()
        assert caught.value.repair is None
    with pytest.raises(TinygradError) as caught:
        nn.LayerNorm(5)(MAPS)
    assert caught.value.repair == "Use normalized_shape=(4,)."
    with pytest.raises(TinygradError) as caught:
        tg.Tensor(np.ones((2, 3, 4, 4))) + tg.Tensor(np.ones((2, 5, 4, 4)))
    assert "Branches" not in caught.value.repair
