"""Titles, order and number formats of the columns that the leaderboard knows beforehand.

A task or metric that is not listed works too: its title is its name and it comes last.
"""

import re
from typing import NamedTuple

_Titles = dict[str, tuple[str, str]]


class TaskTitles(NamedTuple):
    """How a task and its headline metrics are called, in the order of the columns.

    ``metrics`` has of each a title that stands alone and one that stands below the task's.
    """

    title: str
    metrics: _Titles


def _detector(title: str, short: str) -> TaskTitles:
    metrics = {
        'bbox_mAP': (f'{short} box AP', 'Box AP'),
        'segm_mAP': (f'{short} mask AP', 'Mask AP'),
    }
    return TaskTitles(title, metrics)


# Test sets of robustness: their titles alone and before a metric.
_TEST_SETS = {
    'real': ('ImageNet ReaL', 'ReaL'),
    'v2': ('ImageNet-V2', 'V2'),
    'a': ('ImageNet-A', 'A'),
    'r': ('ImageNet-R', 'R'),
    'sketch': ('ImageNet-Sketch', 'Sketch'),
    'c': ('ImageNet-C', 'C'),
}
_PROBES = {'knn': 'k-NN', 'linear': 'linear', 'attentive': 'attentive'}


def _robustness() -> dict[str, TaskTitles]:
    """Each test set for fine-tuned models, then for each probe."""
    tasks = {}
    for probe, words in {'': '', **_PROBES}.items():
        for key, (title, short) in _TEST_SETS.items():
            name, metric = ('mCE', 'mCE') if key == 'c' else ('top1', 'top-1')
            measured = f'{probe}_{name}' if probe else name
            suffix = f', {words}' if probe else ''
            tasks['-'.join(filter(None, ('imagenet', key, probe)))] = TaskTitles(
                f'{title}{suffix}', {measured: (f'{short} {metric}{suffix}', metric)}
            )
    return tasks


TASKS = {
    'in1k-knn': TaskTitles('k-NN', {'knn_top1': ('k-NN top-1', 'top-1')}),
    # From cached features, and by a training.
    'in1k-linear': TaskTitles(
        'Linear probe', dict.fromkeys(('linear_top1', 'top1'), ('Linear top-1', 'top-1'))
    ),
    'in1k-knn-best-layer': TaskTitles(
        'k-NN, best layer', {'knn_top1': ('k-NN top-1, best layer', 'top-1')}
    ),
    'in1k-linear-best-layer': TaskTitles(
        'Linear probe, best layer', {'linear_top1': ('Linear top-1, best layer', 'top-1')}
    ),
    'in1k-attentive': TaskTitles(
        'Attentive probe', {'attentive_top1': ('Attentive top-1', 'top-1')}
    ),
    'in1k-ft': TaskTitles('Fine-tuning', {'top1': ('Fine-tune top-1', 'top-1')}),
    'in1k-10pct-ft': TaskTitles('10 % of labels', {'top1': ('10 % top-1', 'top-1')}),
    'in1k-1pct-ft': TaskTitles('1 % of labels', {'top1': ('1 % top-1', 'top-1')}),
    **_robustness(),
    'ade20k-knn': TaskTitles('Patch retrieval', {'mIoU': ('Retrieval mIoU', 'mIoU')}),
    'ade20k-logreg': TaskTitles('Patch regression', {'mIoU': ('Regression mIoU', 'mIoU')}),
    'ade20k-linear': TaskTitles('Linear segmentation', {'mIoU': ('Linear mIoU', 'mIoU')}),
    'ade20k-linear-ft': TaskTitles('Linear decoder', {'mIoU': ('Decoder mIoU', 'mIoU')}),
    'ade20k-eomt': TaskTitles('EoMT', {'mIoU': ('EoMT mIoU', 'mIoU')}),
    'ade20k-upernet': TaskTitles('UPerNet', {'mIoU': ('mIoU', 'mIoU')}),
    'coco-mask-rcnn': TaskTitles(
        'Mask R-CNN', {'bbox_mAP': ('Box AP', 'Box AP'), 'segm_mAP': ('Mask AP', 'Mask AP')}
    ),
    'coco-cascade-mask-rcnn': _detector('Cascade Mask R-CNN', 'Cascade'),
    'coco-gfl': TaskTitles('GFL', {'bbox_mAP': ('GFL box AP', 'Box AP')}),
    'coco-htc-no-stuff': _detector('HTC without stuff', 'HTC without stuff'),
    'coco-htc': _detector('HTC', 'HTC'),
    'coco-htc-plus': _detector('HTC++', 'HTC++'),
}

# What the names of methods begin with that learned from labels.
SUPERVISED = 'supervised'

# Title, number on arXiv and official repository, as the files of mim_bench/published cite them.
_METHODS = {
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
    'eva02': ('EVA-02', '2303.11331', 'baaivision/EVA'),
    'fastmim': ('FastMIM', '2212.06593', 'huawei-noah/Efficient-Computing'),
    'fcmae': ('FCMAE', '2301.00808', 'facebookresearch/ConvNeXt-V2'),
    'greenmim': ('GreenMIM', '2205.13515', 'LayneH/GreenMIM'),
    'ibot': ('iBOT', '2111.07832', 'bytedance/ibot'),
    'localmim': ('LocalMIM', '2303.05251', 'Haoqing-Wang/LocalMIM'),
    'mae': ('MAE', '2111.06377', 'facebookresearch/mae'),
    'maskfeat': ('MaskFeat', '2112.09133', 'facebookresearch/SlowFast'),
    'mixmim': ('MixMIM', '2205.13137', 'Sense-X/MixMIM'),
    'moby': ('MoBY', '2105.04553'),
    'mocov3': ('MoCo v3', '2104.02057', 'facebookresearch/moco-v3'),
    'semaim': ('SemAIM', '2312.10457', 'skyoux/SemAIM'),
    'simmim': ('SimMIM', '2111.09886', 'microsoft/SimMIM'),
    'symmim': ('SymMIM', '2408.12772'),
    'ummae': ('UM-MAE', '2205.10063', 'implus/UM-MAE'),
}
_OTHER_METHODS = {
    'random': 'Random weights', 'a2mim': 'A²MIM', 'eva-clip': 'EVA-CLIP',
    'eva-mae-style': 'EVA, MAE style', 'hpm': 'HPM', 'igpt': 'iGPT', 'mff': 'MFF',
    'milan': 'MILAN', 'randsac': 'RandSAC', 'saim': 'SAIM', 'spark': 'SparK',
    'supervised': 'Supervised', 'supervised-in1k': 'Supervised on ImageNet-1K',
    'supervised-in22k': 'Supervised on ImageNet-22K', 'vit-igpt': 'ViT-iGPT',
}  # fmt: skip

DATA_TITLES = {
    'in1k': 'ImageNet-1K',
    'toy-in1k': 'embedded digits',
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
    return _METHODS[method][0] if method in _METHODS else _OTHER_METHODS.get(method, method)


def method_links(method: str) -> dict[str, str]:
    """Addresses of the method's paper and official code, as far as they are known."""
    sites = {'paper': 'https://arxiv.org/abs/', 'code': 'https://github.com/'}
    known = _METHODS.get(method, ())[1:]
    return {name: site + place for (name, site), place in zip(sites.items(), known, strict=False)}


def is_loss(metric: str) -> bool:
    """Whether a metric is a training loss, which is never ranked: methods minimise other things."""
    return 'loss' in re.split(r'[._]', metric)


def data_title(data_set: str) -> str:
    """The title of a data set; unknown ones keep their name."""
    return DATA_TITLES.get(data_set, data_set)


def _metrics(task: str) -> _Titles:
    return TASKS[task].metrics if task in TASKS else {}


def metric_titles(task: str, metric: str) -> tuple[str, str]:
    """A title that tells the column apart from every other task's, and a short one."""
    return _metrics(task).get(metric, (f'{task_title(task)} {metric}', metric))


def is_headline(task: str, metric: str) -> bool:
    """Whether the metric belongs in the first table whatever the records say."""
    return metric in _metrics(task)


def task_rank(task: str) -> tuple[int, str]:
    """Sort key: known tasks in their order, then the others by name."""
    return _rank(list(TASKS), task)


def metric_rank(task: str, metric: str) -> tuple[int, str]:
    """Sort key of a metric inside its task, as :func:`task_rank`."""
    return _rank(list(_metrics(task)), metric)


def _rank(known: list[str], name: str) -> tuple[int, str]:
    return (known.index(name) if name in known else len(known), name)


def decimals_for(unit: str, values: list[float]) -> int:
    """How many decimals tell the values of a column apart without pretending precision."""
    largest = max(map(abs, values), default=0.0)
    if unit == '%':
        return 1 if largest >= 1 else 2
    if all(float(value).is_integer() for value in values) or largest >= 1000:
        return 0
    return 1 if largest >= 100 else 2 if largest >= 10 else 3
