"""Names beside the dots of a scatter chart."""

from collections.abc import Sequence

# About what one letter takes in a drawing, to keep names off each other.
_LETTER_WIDTH, _LETTER_HEIGHT = 6.2, 12.0
_LONGEST = 26
_GAP = 9.0

_Box = tuple[float, float, float, float]  # left, top, right, bottom


class Labels:
    """Gives names their places, each where it covers neither another name nor another dot.

    Args:
        points: (x, y) of all dots, in drawing units.
        left: Where the plot begins.
        right: Where the drawing ends.
    """

    def __init__(self, points: Sequence[tuple[float, float]], left: float, right: float) -> None:
        self._points = points
        self._left, self._right = left, right
        self._taken: list[_Box] = []

    def place(self, index: int, name: str) -> tuple[str, str]:
        """The label of a dot and its text anchor; no label where there is room on neither side."""
        label = name if len(name) <= _LONGEST else f'{name[: _LONGEST - 1]}…'
        x, y = self._points[index]
        width = _LETTER_WIDTH * len(label)
        sides = [('start', x + _GAP), ('end', x - _GAP - width)]
        for anchor, left in sides if x <= (self._left + self._right) / 2 else sides[::-1]:
            box = (left, y - _LETTER_HEIGHT / 2, left + width, y + _LETTER_HEIGHT / 2)
            if self._is_free(box, index):
                self._taken.append(box)
                return label, anchor
        return '', 'start'

    def _is_free(self, box: _Box, index: int) -> bool:
        left, top, right, bottom = box
        if left < self._left or right > self._right:
            return False
        if any(_overlap(box, other) for other in self._taken):
            return False
        return not any(
            left - 5 < x < right + 5 and top - 3 < y < bottom + 3
            for other, (x, y) in enumerate(self._points)
            if other != index
        )


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
