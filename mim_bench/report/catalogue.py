"""Titles, order and number formats of the columns that the leaderboard knows beforehand.

A task or metric that is not listed works too: its title is its name and it comes last.
"""

import re
from dataclasses import dataclass, field

from mim_bench.results.record import RANDOM_METHOD


@dataclass(frozen=True)
class TaskTitles:
    """How a task and its headline metrics are called, in the order of the columns.

    ``metrics`` maps a metric's name to a title that stands alone and one that stands
    below the title of the task.
    """

    title: str
    metrics: dict[str, tuple[str, str]] = field(default_factory=dict)


TASKS = {
    'in1k-knn': TaskTitles('k-NN', {'knn_top1': ('k-NN top-1', 'top-1')}),
    # From cached features, and by a training.
    'in1k-linear': TaskTitles(
        'Linear probe', dict.fromkeys(('linear_top1', 'top1'), ('Linear top-1', 'top-1'))
    ),
    'in1k-ft': TaskTitles('Fine-tuning', {'top1': ('Fine-tune top-1', 'top-1')}),
    'in1k-10pct-ft': TaskTitles('10 % of labels', {'top1': ('10 % top-1', 'top-1')}),
    'in1k-1pct-ft': TaskTitles('1 % of labels', {'top1': ('1 % top-1', 'top-1')}),
    'ade20k-linear': TaskTitles('Linear segmentation', {'mIoU': ('Linear mIoU', 'mIoU')}),
    'ade20k-upernet': TaskTitles('UPerNet', {'mIoU': ('mIoU', 'mIoU')}),
    'coco-mask-rcnn': TaskTitles(
        'Mask R-CNN', {'bbox_mAP': ('Box AP', 'Box AP'), 'segm_mAP': ('Mask AP', 'Mask AP')}
    ),
    'coco-cascade-mask-rcnn': TaskTitles(
        'Cascade Mask R-CNN',
        {
            'bbox_mAP': ('Cascade box AP', 'Box AP'),
            'segm_mAP': ('Cascade mask AP', 'Mask AP'),
        },
    ),
    'coco-gfl': TaskTitles('GFL', {'bbox_mAP': ('GFL box AP', 'Box AP')}),
    **{
        task: TaskTitles(
            title,
            {
                'bbox_mAP': (f'{title} box AP', 'Box AP'),
                'segm_mAP': (f'{title} mask AP', 'Mask AP'),
            },
        )
        for task, title in (
            ('coco-htc-no-stuff', 'HTC without stuff'),
            ('coco-htc', 'HTC'),
            ('coco-htc-plus', 'HTC++'),
        )
    },
}

# What the names of methods begin with that learned from labels.
SUPERVISED = 'supervised'

METHOD_TITLES = {
    RANDOM_METHOD: 'Random weights',
    'a2mim': 'A²MIM', 'beit': 'BEiT', 'beit3': 'BEiT-3', 'beitv2': 'BEiT v2', 'cae': 'CAE',
    'capi': 'CAPI', 'cmae': 'CMAE', 'conmim': 'ConMIM', 'data2vec2': 'data2vec 2.0',
    'dino': 'DINO', 'dinov2': 'DINOv2', 'eva': 'EVA', 'eva-clip': 'EVA-CLIP',
    'eva-mae-style': 'EVA, MAE style', 'eva02': 'EVA-02', 'fastmim': 'FastMIM', 'fcmae': 'FCMAE',
    'greenmim': 'GreenMIM', 'hpm': 'HPM', 'ibot': 'iBOT', 'igpt': 'iGPT', 'localmim': 'LocalMIM',
    'mae': 'MAE', 'maskfeat': 'MaskFeat', 'mff': 'MFF', 'milan': 'MILAN', 'mixmim': 'MixMIM',
    'moby': 'MoBY', 'mocov3': 'MoCo v3', 'randsac': 'RandSAC', 'saim': 'SAIM',
    'semaim': 'SemAIM', 'simmim': 'SimMIM', 'spark': 'SparK', 'supervised': 'Supervised',
    'supervised-in1k': 'Supervised on ImageNet-1K',
    'supervised-in22k': 'Supervised on ImageNet-22K', 'symmim': 'SymMIM', 'ummae': 'UM-MAE',
    'vit-igpt': 'ViT-iGPT',
}  # fmt: skip

# Number on arXiv and official repository, as the files of mim_bench/published cite them.
METHOD_SOURCES = {
    'beit': ('2106.08254', 'microsoft/unilm'),
    'beit3': ('2208.10442', 'microsoft/unilm'),
    'beitv2': ('2208.06366', 'microsoft/unilm'),
    'cae': ('2202.03026', 'Atten4Vis/CAE'),
    'capi': ('2502.08769', 'facebookresearch/capi'),
    'cmae': ('2207.13532', 'ZhichengHuang/CMAE'),
    'conmim': ('2205.09616', 'TencentARC/ConMIM'),
    'data2vec2': ('2212.07525', 'facebookresearch/fairseq'),
    'dino': ('2104.14294', 'facebookresearch/dino'),
    'dinov2': ('2304.07193', 'facebookresearch/dinov2'),
    'eva': ('2211.07636', 'baaivision/EVA'),
    'eva02': ('2303.11331', 'baaivision/EVA'),
    'fastmim': ('2212.06593', 'huawei-noah/Efficient-Computing'),
    'fcmae': ('2301.00808', 'facebookresearch/ConvNeXt-V2'),
    'greenmim': ('2205.13515', 'LayneH/GreenMIM'),
    'ibot': ('2111.07832', 'bytedance/ibot'),
    'localmim': ('2303.05251', 'Haoqing-Wang/LocalMIM'),
    'mae': ('2111.06377', 'facebookresearch/mae'),
    'maskfeat': ('2112.09133', 'facebookresearch/SlowFast'),
    'mixmim': ('2205.13137', 'Sense-X/MixMIM'),
    'moby': ('2105.04553', None),
    'mocov3': ('2104.02057', 'facebookresearch/moco-v3'),
    'semaim': ('2312.10457', 'skyoux/SemAIM'),
    'simmim': ('2111.09886', 'microsoft/SimMIM'),
    'symmim': ('2408.12772', None),
    'ummae': ('2205.10063', 'implus/UM-MAE'),
}

DATA_TITLES = {
    'in1k': 'ImageNet-1K',
    'in12k': 'ImageNet-12K',
    'in21k': 'ImageNet-21K',
    'in22k': 'ImageNet-22K',
    'ade20k': 'ADE20K',
    'coco': 'COCO',
}

TIER_ORDER = ('full', 'proxy', 'smoke')


def task_title(task: str) -> str:
    """The title of a task; unknown ones keep their name."""
    return TASKS[task].title if task in TASKS else task


def method_title(method: str) -> str:
    """The title of a pre-training method; unknown ones keep their name."""
    return METHOD_TITLES.get(method, method)


def method_links(method: str) -> dict[str, str]:
    """Addresses of the method's paper and official code, as far as they are known."""
    paper, code = METHOD_SOURCES.get(method, (None, None))
    found = {'paper': paper and f'https://arxiv.org/abs/{paper}'}
    found['code'] = code and f'https://github.com/{code}'
    return {name: address for name, address in found.items() if address}


def is_loss(metric: str) -> bool:
    """Whether a metric is a training loss, which is never ranked: methods minimise other things."""
    return 'loss' in re.split(r'[._]', metric)


def data_title(data_set: str) -> str:
    """The title of a data set; unknown ones keep their name."""
    return DATA_TITLES.get(data_set, data_set)


def metric_titles(task: str, metric: str) -> tuple[str, str]:
    """A title that tells the column apart from every other task's, and a short one."""
    known = TASKS[task].metrics if task in TASKS else {}
    return known.get(metric, (f'{task_title(task)} {metric}', metric))


def is_headline(task: str, metric: str) -> bool:
    """Whether the metric belongs in the first table whatever the records say."""
    return task in TASKS and metric in TASKS[task].metrics


def task_rank(task: str) -> tuple[int, str]:
    """Sort key: known tasks in their order, then the others by name."""
    known = list(TASKS)
    return (known.index(task) if task in TASKS else len(known), task)


def metric_rank(task: str, metric: str) -> tuple[int, str]:
    """Sort key of a metric inside its task, as :func:`task_rank`."""
    known = list(TASKS[task].metrics) if task in TASKS else []
    return (known.index(metric) if metric in known else len(known), metric)


def decimals_for(unit: str, values: list[float]) -> int:
    """How many decimals tell the values of a column apart without pretending precision."""
    largest = max(map(abs, values), default=0.0)
    if unit == '%':
        return 1 if largest >= 1 else 2
    if all(float(value).is_integer() for value in values) or largest >= 1000:
        return 0
    return 1 if largest >= 100 else 2 if largest >= 10 else 3
