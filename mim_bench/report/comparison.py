"""A result of ours beside a published one: plain data and the verdict on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mim_bench.results.published import PublishedResult
from mim_bench.results.record import Protocol

Verdict = Literal['reproduced', 'above', 'below', 'other protocol']

# In points of percent. No source says how far two trainings of one recipe may lie apart, so these
# are this project's choice (inferred): a top-1 of ImageNet moves by some tenths between seeds and
# between re-trainings of others, mIoU of ADE20K by more.
TOP1_TOLERANCE = 0.3
MIOU_TOLERANCE = 0.5
AP_TOLERANCE = 0.3
TOLERANCES = {
    'top1': TOP1_TOLERANCE,
    'top5': TOP1_TOLERANCE,
    'mIoU': MIOU_TOLERANCE,
    'bbox_mAP': AP_TOLERANCE,
    'segm_mAP': AP_TOLERANCE,
}
# Below what any source prints; only the rounding of sums of floats.
_ROUNDING_DIGITS = 6


@dataclass(frozen=True)
class Comparison:
    """One of our values and one published for the same method, backbone, epochs and metric.

    Attributes:
        row: Label of our row.
        method: Title of its method.
        backbone: Its backbone, as our record names it.
        title: Title of the column.
        protocol: That ours was measured under.
        num_runs: Seeds that ours is the mean of.
        ours: In percent.
        published: The other.
        differences: What differs in how the two were measured; they are compared only if
            nothing does.
    """

    row: str
    method: str
    backbone: str
    title: str
    protocol: Protocol
    num_runs: int
    ours: float
    published: PublishedResult
    differences: Sequence[str] = ()

    @property
    def difference(self) -> float | None:
        """Ours minus the published value; None if they are not compared."""
        if self.differences:
            return None
        return round(self.ours - self.published.value, _ROUNDING_DIGITS)

    @property
    def tolerance(self) -> float:
        """How far apart the two may lie and still count as the same."""
        return TOLERANCES[self.published.metric]

    @property
    def verdict(self) -> Verdict:
        """Whether ours lies within the tolerance, above or below; or what hinders saying so."""
        if self.difference is None:
            return 'other protocol'
        if abs(self.difference) <= self.tolerance:
            return 'reproduced'
        return 'above' if self.difference > 0 else 'below'

    @property
    def verdict_text(self) -> str:
        """The verdict, with what differs."""
        if not self.differences:
            return self.verdict
        return f'{self.verdict}: {"; ".join(self.differences)}'

    @property
    def difference_text(self) -> str:
        """The difference with its sign, or a dash."""
        return '\N{EN DASH}' if self.difference is None else f'{self.difference:+.2f}'


@dataclass(frozen=True)
class PublishedSection:
    """What the report says about published numbers.

    Attributes:
        comparisons: In the order of rows and columns.
        near: Published results of a method or a backbone that the board has, in its tasks.
        further: All others.
    """

    comparisons: Sequence[Comparison] = ()
    near: Sequence[PublishedResult] = ()
    further: Sequence[PublishedResult] = ()

    @property
    def compared(self) -> list[Comparison]:
        """What has a verdict."""
        return [pair for pair in self.comparisons if not pair.differences]

    @property
    def flagged(self) -> list[Comparison]:
        """What differs in its protocol and so has none."""
        return [pair for pair in self.comparisons if pair.differences]
