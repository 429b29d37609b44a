"""One network of each family of timm, and what it does in every task of the toy suite."""

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from mim_bench.conversion.timm_weights import untrained
from mim_bench.engine.load_gate import load_backbone
from mim_bench.errors import MimBenchError
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.knn import knn_hits
from mim_bench.evaluation.probes.linear import linear_probe
from mim_bench.evaluation.probes.pooling import pool
from mim_bench.models.backbones.timm_families import (
    FIXED_SIZE,
    LEAST,
    MULTIPLES,
    ONE_SIZE,
    family_of,
)
from mim_bench.profiling.synthetic import SyntheticData
from mim_bench.profiling.training_step import StepSettings, TrainingStep
from mim_bench.recipe.building import build_model
from mim_bench.recipe.config import load_config

TASKS = ('k-NN', 'linear', 'fine-tune', 'UPerNet', 'Mask R-CNN')
_CONFIGS = {
    'k-NN': 'configs/demo/probe_vit-toy_1xb64_toy-in1k-64px.py',
    'fine-tune': 'configs/demo/finetune_vit-toy_1xb64-coslr-4e_toy-in1k-64px.py',
    'UPerNet': 'configs/demo/upernet_vit-toy_1xb4-200i_toy-ade20k-128px.py',
    'Mask R-CNN': 'configs/demo/mask-rcnn_vit-toy_1xb4-3e_toy-coco-128px.py',
}
_SMALL = dict(embed_dim=48, depth=4, num_heads=3)
# Where the smallest network of a family is large, and where its name does not tell it.
_CHOSEN: dict[str, tuple[str, dict[str, Any]]] = {
    'beit': ('beit_base_patch16_224', _SMALL),
    'cait': ('cait_xxs24_224', _SMALL),
    'convit': ('convit_tiny', dict(embed_dim=16, depth=4)),
    'deepseek_vit': ('deepseek_vit_412m', _SMALL),
    'deit': ('deit_tiny_patch16_224', _SMALL),
    'eva': ('eva02_tiny_patch14_224', _SMALL),
    'gemma4_vit': ('gemma4_vit_167m', _SMALL),
    'naflexvit': ('naflexvit_base_patch16_gap', _SMALL),
    'nasnet': ('nasnetalarge', {}),
    'qwen3_vit': ('qwen3_vit_88m', _SMALL),
    'senet': ('legacy_seresnet18', {}),
    'tresnet': ('tresnet_m', {}),
    'vgg': ('vgg11', {}),
    'vision_transformer_sam': ('samvit_base_patch16', _SMALL),
    'xcit': ('xcit_nano_12_p8_224', _SMALL),
}
_MAPS = 'forward_intermediates'
_SIZES = (
    'test_', 'atto', 'femto', 'pico', 'nano', 'xxs', 'xx_small', 'tiny', '_t', 'xs', 'x_small',
    's0', 'b0', 'm0', '_0', '050', 'small', '_s', 'mini', 'lite',
)  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A module of timm's models.

    Attributes:
        module: Its name.
        count: Models in it.
        name: The one that stands for it.
        args: What makes that one small.
    """

    module: str
    count: int
    name: str
    args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sizes(self) -> str:
        """What images its networks take."""
        if self.module in ONE_SIZE:
            return "timm's alone"
        if self.module in FIXED_SIZE:
            return 'one size, set by the task'
        if least := LEAST.get(self.module):
            return f'any, filled up to {least}'
        multiple = MULTIPLES.get(self.module)
        return f'any, filled up to a multiple of {multiple}' if multiple else 'any'


def families() -> list[Family]:
    """Every family with a network that has ``forward_intermediates``, by name."""
    modules: dict[str, list[str]] = {}
    for name in timm.list_models():
        modules.setdefault(family_of(name), []).append(name)
    found = []
    for module, names in sorted(modules.items()):
        name, args = _CHOSEN.get(module, (min(names, key=_size), {}))
        if _gives_maps(name):
            found.append(Family(module, len(names), name, args))
    return found


def try_family(family: Family, folder: Path) -> dict[str, str]:
    """What each task says: 'yes', or why it is refused.

    Args:
        family: See there.
        folder: For the canonical file.
    """
    path = folder / f'{family.module}.pth'
    try:
        untrained(family.name, path, family.args)
    except (TypeError, RuntimeError, AssertionError) as error:
        return dict.fromkeys(TASKS, _reason(error))
    said = {}
    for task in _CONFIGS:
        torch.manual_seed(0)
        try:
            if task == 'k-NN':
                _probe(path)
            else:
                _train(task, path)
            said[task] = 'yes'
        except Exception as error:  # the table says what it was
            said[task] = _reason(error)
    said['linear'] = said['k-NN']
    return {task: said[task] for task in TASKS}


def _probe(path: Path) -> None:
    """k-NN and the linear probe on features of random images, at the probe's size."""
    cfg = load_config(_CONFIGS['k-NN'], backbone_of=path)
    backbone = build_model(cfg).backbone.eval()
    load_backbone(backbone, path)
    labels = torch.arange(12) % 3
    with torch.no_grad():
        maps = backbone(torch.randn(12, 3, 64, 64))
    features = Features(pool(maps[-1], 'gap', backbone).float(), labels)
    assert_finite(features.x)
    knn_hits(features, features, k=3)
    linear_probe(features, features, epochs=1, learning_rates=(0.1,))


def _train(task: str, path: Path) -> None:
    """Two steps of the recipe, batches of two, every trained parameter of the backbone reached."""
    cfg = load_config(_CONFIGS[task], backbone_of=path)
    step, data = TrainingStep(cfg, StepSettings()), SyntheticData(cfg)
    for first in (0, 2):
        step(data.batch(2, first))
    loss = step.forward(data.batch(2))
    assert_finite(loss)
    loss.backward()
    backbone = step.model.backbone
    unused = [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    if unused:
        raise MimBenchError(f'parameters without a gradient: {unused[:3]}')


def assert_finite(x: torch.Tensor) -> None:
    """Raise where a value is not finite."""
    if not torch.isfinite(x).all():
        raise MimBenchError('values that are not finite')


def _gives_maps(name: str) -> bool:
    """Whether the module of a model has a network with intermediate maps."""
    module = sys.modules[timm.model_entrypoint(name).__module__]
    return any(
        inspect.isclass(part) and issubclass(part, nn.Module) and hasattr(part, _MAPS)
        for part in vars(module).values()
    )


def _size(name: str) -> tuple[int, int, str]:
    found = (i for i, word in enumerate(_SIZES) if word in name)
    return next(found, len(_SIZES)), len(name), name


def _reason(error: Exception) -> str:
    lines = str(error).splitlines() or ['']
    sentence = lines[0].partition('. ')[0][:160]
    return sentence if isinstance(error, MimBenchError) else f'{type(error).__name__}: {sentence}'


MARK = '<!-- Made by tools/write_timm_table.py from here on. -->'
UNMEASURED = 'not measured'
_HEAD = ('family', 'models', 'measured with', 'size of images', *TASKS, 'why not')
_CELLS = {'yes': 'yes', UNMEASURED: '?'}


def read_table(text: str) -> dict[str, dict[str, str]]:
    """What the document says that each family did, by task."""
    rows = {}
    for line in text.partition(MARK)[2].splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if len(cells) == len(_HEAD) and cells[0] not in (_HEAD[0], '---'):
            words = {'yes': 'yes', '?': UNMEASURED, 'no': cells[-1]}
            rows[cells[0]] = dict(zip(TASKS, (words[cell] for cell in cells[4:9]), strict=True))
    return rows


def with_table(text: str, every: list[Family], rows: Mapping[str, Mapping[str, str]]) -> str:
    """The document with the table of all families."""
    lines = [_HEAD, ('---',) * len(_HEAD)]
    for family in every:
        said = rows.get(family.module, dict.fromkeys(TASKS, UNMEASURED))
        why = next((reason for reason in said.values() if reason not in _CELLS), '')
        does = [_CELLS.get(said[task], 'no') for task in TASKS]
        name = f'`{family.name}`' + (', smaller' if family.args else '')
        why = why.replace('|', '/').strip()
        lines.append((family.module, str(family.count), name, family.sizes, *does, why))
    measured = [row for row in rows.values() if UNMEASURED not in row.values()]
    done = sum(all(said == 'yes' for said in row.values()) for row in measured)
    counted = f'{done} of {len(measured)} measured families do all five tasks'
    count = f'{counted}; timm has {len(every)}.\n'
    table = ''.join(f'| {" | ".join(line)} |\n' for line in lines)
    return f'{text.partition(MARK)[0]}{MARK}\n\n{count}\n{table}'
