"""The embedded dataset: handwritten digits on photographs, in three real layouts.

Everything comes out of installed wheels: the digits from scikit-learn, the
photographs from scikit-learn and scikit-image. Nothing is downloaded.
"""

from mim_bench.data.toy.generate import make_toy
from mim_bench.data.toy.spec import SIZES, SplitCount, ToySize, ToySpec

__all__ = ['SIZES', 'SplitCount', 'ToySize', 'ToySpec', 'make_toy']
