"""The rows that no other row beats at once in accuracy and in cost."""

from collections.abc import Sequence


def pareto_front(
    costs: Sequence[float], values: Sequence[float], *, higher_is_better: bool = True
) -> list[int]:
    """Which points are on the Pareto front, from the cheapest to the dearest.

    A point is on it unless another one costs no more and is no worse, and is better in one of
    the two. Equal points are all on it, or none.

    Args:
        costs: Of each point; less is better.
        values: Of each point.
        higher_is_better: Direction of the values.

    Returns:
        Indices into the points.
    """
    sign = 1.0 if higher_is_better else -1.0
    order = sorted(range(len(costs)), key=lambda index: (costs[index], -sign * values[index]))
    front: list[int] = []
    for index in order:
        value = sign * values[index]
        is_better = not front or value > sign * values[front[-1]]
        if is_better or (costs[index], values[index]) == (costs[front[-1]], values[front[-1]]):
            front.append(index)
    return front


def staircase(points: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """The line of a front: at each cost the best value that so much buys.

    Args:
        points: (cost, value) of the front, from the cheapest to the dearest.
        end: The cost up to which the line goes.
    """
    line: list[tuple[float, float]] = []
    for cost, value in points:
        if line:
            line.append((cost, line[-1][1]))
        line.append((cost, value))
    if line:
        line.append((end, line[-1][1]))
    return line
