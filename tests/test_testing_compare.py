"""What the comparison says when it fails."""

from __future__ import annotations

from typing import Any

import pytest

from tinygrad_cv.testing import CheckFailure, assert_close


@pytest.mark.parametrize(
    ("actual", "expected", "text"),
    [
        ([1.0, 2.0], [1.0, 3.0], r"worst at \[1\]: 2\.0, expected 3\.0 \(rtol"),
        (1.0, 2.0, r"worst at \[\]: 1\.0, expected 2\.0 \(rtol"),
        ([[True]], [[False]], r"worst at \[0, 0\]: True, expected False \(rtol"),
    ],
)
def test_a_failure_shows_plain_numbers(actual: Any, expected: Any, text: str) -> None:
    with pytest.raises(CheckFailure, match=text):
        assert_close(actual, expected)
