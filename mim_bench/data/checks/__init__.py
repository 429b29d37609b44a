"""Verifying datasets before a run needs them: the real ones and the embedded one.

Each file knows one dataset; what they share is counting, decoding and reporting.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from mim_bench.data.checks.ade20k import check_ade20k
from mim_bench.data.checks.coco import check_coco
from mim_bench.data.checks.imagenet import check_imagenet
from mim_bench.data.checks.options import CheckOptions
from mim_bench.data.checks.report import Kind, Problem, Report
from mim_bench.data.checks.variants import check_variant
from mim_bench.data.imagenet_variants import VARIANTS

CHECKS: dict[str, Callable[[Path, CheckOptions], Report]] = {
    'imagenet': check_imagenet,
    'ade20k': check_ade20k,
    'coco': check_coco,
    **{name: partial(check_variant, name) for name in VARIANTS},
}

__all__ = ['CHECKS', 'CheckOptions', 'Kind', 'Problem', 'Report']
