"""Titles, order and number formats of the columns that the leaderboard knows beforehand.

A task or metric that is not listed works too: its title is its name and it comes last.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

METRICS = {
    'knn_top1': 'top-1', 'linear_top1': 'top-1', 'attentive_top1': 'top-1', 'top1': 'top-1',
    'mCE': 'mCE', 'knn_mCE': 'mCE', 'linear_mCE': 'mCE', 'attentive_mCE': 'mCE',
    'mIoU': 'mIoU', 'bbox_mAP': 'box AP', 'segm_mAP': 'mask AP',
}  # fmt: skip


class Task(NamedTuple):
    """A task: its title, that of a metric that stands alone, and its headline metrics."""

    title: str
    alone: str
    metrics: Sequence[str]


_PROBES = {'': '', 'knn': 'k-NN', 'linear': 'linear', 'attentive': 'attentive'}


def _robustness() -> dict[str, Task]:
    """Each test set of robustness for fine-tuned models, then for each probe."""
    tasks = {}
    for probe, words in _PROBES.items():
        end, suffix = (f'-{probe}', f', {words}') if probe else ('', '')
        for name in ('ReaL', 'V2', 'A', 'R', 'Sketch', 'C'):
            title = 'ImageNet ReaL' if name == 'ReaL' else f'ImageNet-{name}'
            metric = f'{probe}_' * bool(probe) + ('mCE' if name == 'C' else 'top1')
            task = Task(title + suffix, f'{name} {{}}{suffix}', [metric])
            tasks[f'imagenet-{name.lower()}{end}'] = task
    return tasks


_DETECTION = ('bbox_mAP', 'segm_mAP')
TASKS = {
    'in1k-knn': Task('k-NN', 'k-NN {}', ['knn_top1']),
    # From cached features, and by a training.
    'in1k-linear': Task('Linear probe', 'Linear {}', ['linear_top1', 'top1']),
    'in1k-knn-best-layer': Task('k-NN, best layer', 'k-NN {}, best layer', ['knn_top1']),
    'in1k-linear-best-layer': Task(
        'Linear probe, best layer', 'Linear {}, best layer', ['linear_top1']
    ),
    'in1k-attentive': Task('Attentive probe', 'Attentive {}', ['attentive_top1']),
    'in1k-ft': Task('Fine-tuning', 'Fine-tune {}', ['top1']),
    'in1k-10pct-ft': Task('10 % of labels', '10 % {}', ['top1']),
    'in1k-1pct-ft': Task('1 % of labels', '1 % {}', ['top1']),
    # Test sets of robustness, for fine-tuned models, then for each probe.
    **_robustness(),
    'ade20k-knn': Task('Patch retrieval', 'Retrieval {}', ['mIoU']),
    'ade20k-logreg': Task('Patch regression', 'Regression {}', ['mIoU']),
    'ade20k-linear': Task('Linear segmentation', 'Linear {}', ['mIoU']),
    'ade20k-linear-ft': Task('Linear decoder', 'Decoder {}', ['mIoU']),
    'ade20k-eomt': Task('EoMT', 'EoMT {}', ['mIoU']),
    'ade20k-upernet': Task('UPerNet', 'UPerNet {}', ['mIoU']),
    'coco-mask-rcnn': Task('Mask R-CNN', 'Mask R-CNN {}', _DETECTION),
    'coco-cascade-mask-rcnn': Task('Cascade Mask R-CNN', 'Cascade {}', _DETECTION),
    'coco-gfl': Task('GFL', 'GFL {}', ['bbox_mAP']),
    'coco-htc-no-stuff': Task('HTC without stuff', 'HTC without stuff {}', _DETECTION),
    'coco-htc': Task('HTC', 'HTC {}', _DETECTION),
    'coco-htc-plus': Task('HTC++', 'HTC++ {}', _DETECTION),
}  # fmt: skip

# What the names of methods begin with that learned from labels.
SUPERVISED = 'supervised'

# Title, number on arXiv and official repository, as the files of mim_bench/published cite them.
_METHODS = {
    'a2mim': ('A²MIM',),
    'beit': ('BEiT', '2106.08254', 'microsoft/unilm'),
    'beit3': ('BEiT-3', '2208.10442', 'microsoft/unilm'),
    'beitv2': ('BEiT v2', '2208.06366', 'microsoft/unilm'),
    'cae': ('CAE', '2202.03026', 'Atten4Vis/CAE'),
    'capi': ('CAPI', '2502.08769', 'facebookresearch/capi'),
    'cmae': ('CMAE', '2207.13532', 'ZhichengHuang/CMAE'),
    'conmim': ('ConMIM', '2205.09616', 'TencentARC/ConMIM'),
    'data2vec2': ('data2vec 2.0', '2212.07525', 'facebookresearch/fairseq'),
    'dino': ('DINO', '2104.14294', 'facebookresearch/dino'),
    'dinov2': ('DINOv2', '2304.07193', 'facebookresearch/dinov2'),
    'eva': ('EVA', '2211.07636', 'baaivision/EVA'),
    'eva-clip': ('EVA-CLIP',),
    'eva-mae-style': ('EVA, MAE style',),
    'eva02': ('EVA-02', '2303.11331', 'baaivision/EVA'),
    'fastmim': ('FastMIM', '2212.06593', 'huawei-noah/Efficient-Computing'),
    'fcmae': ('FCMAE', '2301.00808', 'facebookresearch/ConvNeXt-V2'),
    'greenmim': ('GreenMIM', '2205.13515', 'LayneH/GreenMIM'),
    'hpm': ('HPM',),
    'ibot': ('iBOT', '2111.07832', 'bytedance/ibot'),
    'igpt': ('iGPT',),
    'localmim': ('LocalMIM', '2303.05251', 'Haoqing-Wang/LocalMIM'),
    'mae': ('MAE', '2111.06377', 'facebookresearch/mae'),
    'maskfeat': ('MaskFeat', '2112.09133', 'facebookresearch/SlowFast'),
    'mff': ('MFF',),
    'milan': ('MILAN',),
    'mixmim': ('MixMIM', '2205.13137', 'Sense-X/MixMIM'),
    'moby': ('MoBY', '2105.04553'),
    'mocov3': ('MoCo v3', '2104.02057', 'facebookresearch/moco-v3'),
    'randsac': ('RandSAC',),
    'random': ('Random weights',),
    'saim': ('SAIM',),
    'semaim': ('SemAIM', '2312.10457', 'skyoux/SemAIM'),
    'simmim': ('SimMIM', '2111.09886', 'microsoft/SimMIM'),
    'spark': ('SparK',),
    'supervised': ('Supervised',),
    'supervised-in1k': ('Supervised on ImageNet-1K',),
    'supervised-in22k': ('Supervised on ImageNet-22K',),
    'symmim': ('SymMIM', '2408.12772'),
    'ummae': ('UM-MAE', '2205.10063', 'implus/UM-MAE'),
    'vit-igpt': ('ViT-iGPT',),
}

DATA_TITLES = {
    'in1k': 'ImageNet-1K', 'in12k': 'ImageNet-12K', 'in21k': 'ImageNet-21K',
    'in22k': 'ImageNet-22K', 'toy-in1k': 'embedded digits', 'ade20k': 'ADE20K', 'coco': 'COCO',
}  # fmt: skip

TIER_ORDER = ('full', 'proxy', 'smoke')


def task_title(task: str) -> str:
    """The title of a task; unknown ones keep their name."""
    return TASKS[task].title if task in TASKS else task


def method_title(method: str) -> str:
    """The title of a pre-training method; unknown ones keep their name."""
    return _METHODS.get(method, (method,))[0]


def method_links(method: str) -> dict[str, str]:
    """Addresses of the method's paper and official code, as far as they are known."""
    sites = {'paper': 'https://arxiv.org/abs/', 'code': 'https://github.com/'}
    known = _METHODS.get(method, ())[1:]
    return {name: site + place for (name, site), place in zip(sites.items(), known, strict=False)}


def data_titles(data_sets: Iterable[str]) -> str:
    """The titles of data sets; unknown ones keep their name."""
    return ', '.join(DATA_TITLES.get(name, name) for name in data_sets)


def metric_titles(task: str, metric: str) -> tuple[str, str]:
    """A title that tells the column apart from every other task's, and a short one."""
    if task not in TASKS or metric not in TASKS[task].metrics:
        return f'{task_title(task)} {metric}', metric
    short = METRICS[metric]
    return tuple(re.sub('^(box|mask)', lambda word: word[0].title(), title) for title in (
        TASKS[task].alone.format(short), short,
    ))  # fmt: skip


def is_headline(task: str, metric: str) -> bool:
    """Whether the metric belongs in the first table whatever the records say."""
    return task in TASKS and metric in TASKS[task].metrics


def is_loss(metric: str) -> bool:
    """Whether a metric is a training loss, which is never ranked: methods minimise other things."""
    return 'loss' in re.split(r'[._]', metric)


def task_rank(task: str) -> tuple[int, str]:
    """Sort key: known tasks in their order, then the others by name."""
    return _rank(list(TASKS), task)


def metric_rank(task: str, metric: str) -> tuple[int, str]:
    """Sort key of a metric inside its task, as :func:`task_rank`."""
    return _rank(list(TASKS[task].metrics) if task in TASKS else [], metric)


def _rank(known: list[str], name: str) -> tuple[int, str]:
    return (known.index(name) if name in known else len(known), name)


def decimals_for(unit: str, values: Sequence[float]) -> int:
    """How many decimals tell the values of a column apart without pretending precision."""
    largest = max(map(abs, values), default=0.0)
    if unit == '%':
        return 1 if largest >= 1 else 2
    if all(float(value).is_integer() for value in values):
        return 0
    needed = sum(largest < limit for limit in (1000, 100, 10))
    # Rates of 0.001 and of 10 share a column; no value but 0 is shown as 0.
    smallest = min(abs(value) for value in values if value)
    return max(needed, min(math.ceil(-math.log10(smallest)), 6))
