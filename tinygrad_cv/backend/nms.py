"""Non-maximum suppression on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend.array import to_numpy

__all__ = ["kept_boxes", "ordered_boxes"]


def kept_boxes(boxes: Any, scores: Any, classes: Any, threshold: float) -> np.ndarray:
    """The indices of the boxes that are kept, by decreasing score.

    Each box is compared with the kept ones only, so there are as many steps as boxes are kept.

    >>> boxes = np.array([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.0]])
    >>> kept_boxes(boxes, np.array([1.0, 2.0]), None, 0.4).tolist()
    [1]
    """
    order, corners, labels = ordered_boxes(boxes, scores, classes)
    x1, y1, x2, y2 = corners
    areas = (x2 - x1) * (y2 - y1)
    rest, kept = np.arange(len(order)), []
    with np.errstate(all="ignore"):
        while rest.size:
            i, rest = rest[0], rest[1:]
            kept.append(i)
            width = np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest])
            height = np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest])
            shared = np.maximum(width, 0) * np.maximum(height, 0)
            covers = shared / (areas[i] + areas[rest] - shared) > threshold
            if labels is not None:
                covers &= labels[rest] == labels[i]
            rest = rest[~covers]
    return order[np.array(kept, np.int64)]


def ordered_boxes(
    boxes: Any, scores: Any, classes: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The order of decreasing scores, NaN first, and in this order the corners as four float64
    rows, and the classes."""
    boxes, scores = to_numpy(boxes), to_numpy(scores)
    order = np.lexsort((-scores, ~np.isnan(scores)))
    corners = np.ascontiguousarray(boxes[order].T, np.float64)
    labels = None if classes is None else to_numpy(classes)[order].astype(np.int64)
    return order, corners, labels
