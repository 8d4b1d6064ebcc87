"""The colours of a picture, in a light and a dark set, by role.

DOT gets the light set; the SVG stage puts CSS variables over it. Every text colour has a contrast
of at least 4.5:1 on every surface it stands on, in both sets (tested), and no fact is told by
colour alone.
"""

from __future__ import annotations

__all__ = ["DARK", "HUES", "LIGHT", "SURFACES", "contrast"]

HUES = 8  # colours of groups; the last one is for all others

# name -> colour: a role such as "op", and "op-line" for its border
LIGHT: dict[str, str] = {
    "page": "#ffffff",
    "ink": "#1f2328",
    "muted": "#4b535d",
    "data": "#3d4752",
    "gradient": "#a3318f",
    "saved-line": "#7a5a00",
    "cluster-even": "#f4f6f9",
    "cluster-odd": "#ffffff",
    "cluster-line": "#a9b4c2",
    "op": "#e3eefb",
    "op-line": "#33618f",
    "backward": "#f8e6f5",
    "backward-line": "#a3318f",
    "input": "#dff3e4",
    "input-line": "#2c7a44",
    "param": "#fdf0d2",
    "param-line": "#8a6400",
    "const": "#eceef1",
    "const-line": "#6b7580",
    "output": "#dff3e4",
    "output-line": "#2c7a44",
    "saved": "#fff8e1",
    "saved-edge": "#7a5a00",
    "block": "#d3def0",
    "block-line": "#33618f",
    "heat-0": "#fff6ec",
    "heat-1": "#ffe8d0",
    "heat-2": "#ffd9b3",
    "heat-3": "#ffca96",
    "heat-4": "#ffba7c",
    "cool-0": "#eef7ff",
    "cool-1": "#dcedfc",
    "cool-2": "#c6e1fa",
    "cool-3": "#b0d5f7",
    "cool-4": "#9ccaf4",
    "unmeasured": "#ffffff",
    "hatch": "#c3ccd6",
    "hue-0": "#dbe9f8",
    "hue-0-line": "#1f5f9e",
    "hue-1": "#fde5cc",
    "hue-1-line": "#9a4f00",
    "hue-2": "#dcf1e0",
    "hue-2-line": "#2a7a3f",
    "hue-3": "#fbdedb",
    "hue-3-line": "#b3261e",
    "hue-4": "#ebdff5",
    "hue-4-line": "#7a3fa0",
    "hue-5": "#d7f0f1",
    "hue-5-line": "#0b6e75",
    "hue-6": "#f3ead0",
    "hue-6-line": "#6b5300",
    "hue-7": "#e6e8eb",
    "hue-7-line": "#555d66",
    "plain": "#ffffff",
    "added": "#d9f2df",
    "added-line": "#1f7a3a",
    "removed": "#fde7e4",
    "removed-line": "#b3261e",
    "changed": "#fdf0d2",
    "changed-line": "#8a6400",
    "moved": "#ffffff",
    "moved-line": "#33618f",
    "same": "#ffffff",
    "same-line": "#8b95a1",
    "error": "#ffe3e0",
    "error-line": "#c01f1f",
    "error-ink": "#a01313",
}

DARK: dict[str, str] = {
    "page": "#0f141a",
    "ink": "#e8edf2",
    "muted": "#b3bdc8",
    "data": "#aab6c3",
    "gradient": "#e58ad6",
    "saved-line": "#d8b24a",
    "cluster-even": "#182029",
    "cluster-odd": "#0f141a",
    "cluster-line": "#4c5967",
    "op": "#1d3550",
    "op-line": "#79aee0",
    "backward": "#43203e",
    "backward-line": "#e58ad6",
    "input": "#173a24",
    "input-line": "#6cc487",
    "param": "#3f310d",
    "param-line": "#d8b24a",
    "const": "#2a323b",
    "const-line": "#8f9aa6",
    "output": "#173a24",
    "output-line": "#6cc487",
    "saved": "#332a10",
    "saved-edge": "#d8b24a",
    "block": "#2a4160",
    "block-line": "#79aee0",
    "heat-0": "#271c12",
    "heat-1": "#342213",
    "heat-2": "#442b13",
    "heat-3": "#573614",
    "heat-4": "#6a4014",
    "cool-0": "#10202f",
    "cool-1": "#122a40",
    "cool-2": "#13314d",
    "cool-3": "#153c61",
    "cool-4": "#174675",
    "unmeasured": "#0f141a",
    "hatch": "#3b4653",
    "hue-0": "#1d3550",
    "hue-0-line": "#79aee0",
    "hue-1": "#46290c",
    "hue-1-line": "#f0a35e",
    "hue-2": "#173a24",
    "hue-2-line": "#6cc487",
    "hue-3": "#4d1a1a",
    "hue-3-line": "#ff8a80",
    "hue-4": "#37214a",
    "hue-4-line": "#c79be8",
    "hue-5": "#0d3a3d",
    "hue-5-line": "#5cc8cf",
    "hue-6": "#3f310d",
    "hue-6-line": "#d8b24a",
    "hue-7": "#2c333b",
    "hue-7-line": "#a9b4c0",
    "plain": "#0f141a",
    "added": "#14391f",
    "added-line": "#6cc487",
    "removed": "#43201f",
    "removed-line": "#ff8a80",
    "changed": "#3f310d",
    "changed-line": "#d8b24a",
    "moved": "#0f141a",
    "moved-line": "#79aee0",
    "same": "#0f141a",
    "same-line": "#7b8794",
    "error": "#4d1a1a",
    "error-line": "#ff8a80",
    "error-ink": "#ffb3ab",
}

# What text of which colour stands on.
SURFACES: dict[str, tuple[str, ...]] = {
    "ink": (
        "page",
        "cluster-even",
        "cluster-odd",
        "op",
        "backward",
        "input",
        "param",
        "const",
        "output",
        "saved",
        "block",
        *(f"{scale}-{k}" for scale in ("heat", "cool") for k in range(5)),
        "unmeasured",
        "hatch",
        *("added", "removed", "changed", "moved", "same"),
        "error",
        *(f"hue-{k}" for k in range(HUES)),
    ),
    "muted": (
        "page",
        "cluster-even",
        "cluster-odd",
        "op",
        "backward",
        "input",
        "param",
        "const",
        "output",
        "saved",
        "block",
        *(f"{scale}-{k}" for scale in ("heat", "cool") for k in range(5)),
        "unmeasured",
        "hatch",
        *(f"hue-{k}" for k in range(HUES)),
        *("added", "removed", "changed", "moved", "same"),
    ),
    **{f"hue-{k}-line": ("page",) for k in range(HUES)},  # the legend
    "gradient": ("page", "cluster-even", "cluster-odd"),
    "error-ink": ("page", "error"),
}


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two ``#rrggbb`` colours, from 1 to 21 (WCAG 2.1, relative luminance).

    >>> contrast("#ffffff", "#000000")
    21.0
    """
    lighter, darker = sorted((_luminance(a), _luminance(b)), reverse=True)
    return round((lighter + 0.05) / (darker + 0.05), 3)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
