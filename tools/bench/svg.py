"""The few shapes of the plots, written as SVG: the same figures give the same bytes."""

from __future__ import annotations

from html import escape

__all__ = ["Canvas"]

FONT = "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"


class Canvas:
    """Shapes in pixels from the top left, on a white sheet, which dark pages keep."""

    def __init__(self, width: float) -> None:
        self.width = width
        self._shapes: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 12,
        color: str = "#222222",
        anchor: str = "start",
        bold: bool = False,
        rim: bool = False,
    ) -> None:
        """A line of text; ``y`` is its baseline. A rim keeps it readable across lines."""
        weight = ' font-weight="600"' if bold else ""
        if rim:
            self._shapes.append(
                f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" stroke="#ffffff" '
                f'stroke-width="3" text-anchor="{anchor}" aria-hidden="true">{escape(text)}</text>'
            )
        self._shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{color}" '
            f'text-anchor="{anchor}"{weight}>{escape(text)}</text>'
        )

    def bar(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """A filled rectangle."""
        self._shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{color}"/>'
        )

    def line(
        self,
        points: list[tuple[float, float]],
        color: str,
        width: float = 1.0,
        dashes: str = "",
    ) -> None:
        """A line through points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" '
            f'stroke-width="{width:g}"{dashed}/>'
        )

    def dot(self, x: float, y: float, color: str) -> None:
        """A marker of a curve."""
        self._shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>')

    def document(self, height: float) -> str:
        """The whole picture."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {height:g}" '
            f'width="{self.width:g}" height="{height:g}" font-family="{FONT}">\n'
            f'<rect width="{self.width:g}" height="{height:g}" rx="8" fill="#ffffff"/>\n'
            + "\n".join(self._shapes)
            + "\n</svg>\n"
        )
