"""A sharded training has the losses of an unsharded one, and leaves the same checkpoints.

The trainings of a group start in one go: two processes train as a pair, a third one alone.
"""

import gc
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import barrier
from torch import distributed, nn

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.engine.fsdp import attention_blocks, check_model, check_sharding
from mim_bench.engine.launch import Launch, build_runner, resolve_run
from mim_bench.engine.load_gate import load_backbone
from mim_bench.errors import ConfigError
from mim_bench.models.backbones.timm_backbone import TimmBackbone
from mim_bench.recipe.building import build_model
from mim_bench.recipe.config import load_config
from mim_bench.suite.demo import find_config
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.config_names import for_every
from mim_bench.testing.demo_runs import (
    data_root,
    pretraining_configs,
    read_rank_losses,
    short_name,
    write_child,
)
from mim_bench.testing.processes import (
    free_port,
    start_together,
    train_by_script,
    train_forked,
)

PAIR = 2
# Two epochs of two updates of 8 images.
PRETRAINING = """
train_dataloader = dict(batch_size={batch_size}, dataset=dict(indices=16))
effective_batch_size = 8
train_cfg = dict(max_epochs=2)
param_scheduler = dict(warmup_epochs=1)
log_level = 'ERROR'
"""
WITHOUT_EVALUATION = """
custom_hooks = [
    hook for hook in custom_hooks if not hook['type'].endswith(('KnnHook', 'ReconstructionHook'))
]
"""
# With clipping, layer decay, accumulation and activation checkpointing.
FINETUNING = """
train_dataloader = dict(batch_size=2, dataset=dict(indices=16))
val_dataloader = dict(batch_size=10)
effective_batch_size = 8
model = dict(backbone=dict(drop_path_rate=0.0, with_cp=True))
train_cfg = dict(max_epochs=2, val_interval=2)
optim_wrapper = dict(clip_grad=dict(max_norm=0.5))
param_scheduler = dict(warmup_epochs=1)
log_level = 'ERROR'
"""
FROZEN = FINETUNING.replace('with_cp=True', 'frozen_stages=2').replace(
    'clip_grad=dict(max_norm=0.5)',
    "optimizer=dict(_delete_=True, type='mim_bench.LARS', lr=1.0, weight_decay=0.01)",
)
TIMM = FINETUNING.replace(
    'drop_path_rate=0.0',
    "_delete_=True, type='mim_bench.TimmBackbone', name='test_vit', img_size=64",
).replace('with_cp=True)', 'with_cp=True), head=dict(in_channels=64)')
# One config a method and backbone, by its short name.
METHODS = {short_name(base): base for base in pretraining_configs()}
# What the default suite trains; the rest is slow.
FAST = ('ummae_vit-toy', 'finetune')
# Where two processes with half of an update's images each differ from one with all of them.
DEPENDS_ON_PROCESS = {
    'conmim_vit-toy': 'BatchNorm over the images of a process',
    'localmim_swin-toy': 'the images of a process share a mask',
    'mae_vit-toy': "a process draws its images' masks together",
    'symmim_swin-toy': 'BatchNorm over the images of a process',
    'symmim_vit-toy': 'BatchNorm over the images of a process',
}


@dataclass(frozen=True)
class Training:
    """A training by the pair, or alone with ``launcher='none'``.

    Attributes:
        launch: Of the training.
        start: A checkpoint that it resumes.
    """

    launch: Launch
    start: Path | None = None


class Plan:
    """Trainings of child configs by name, each in the folder of its name."""

    def __init__(self, folder: Path, toy_root: Path) -> None:
        self.folder, self.toy_root = folder, toy_root
        self.trainings: list[Training] = []

    def add(self, name: str, base: Path, text: str, start: str = '', **settings: object) -> None:
        config = write_child(self.folder / f'{name}.py', base, text, "dict(type='LossHook')")
        launch = Launch(
            str(config),
            work_dir=str(self.folder / name),
            data_root=str(data_root(base, self.toy_root)),
            auto_resume=bool(start),
            **{'launcher': 'pytorch', **settings},
        )
        self.trainings.append(Training(launch, self.folder / start if start else None))

    def add_pair(self, name: str, base: Path, text: str, **settings: object) -> None:
        self.add(f'{name}-whole', base, text, **settings)
        self.add(f'{name}-sharded', base, text, fsdp=True, **settings)

    def add_method(self, base: Path) -> None:
        name, text = short_name(base), PRETRAINING + WITHOUT_EVALUATION
        if name not in DEPENDS_ON_PROCESS:
            self.add(f'{name}-alone', base, text.format(batch_size=8), launcher='none')
        text = text.format(batch_size=4)
        self.add_pair(name, base, text)
        self.add(f'{name}-resumed', base, text, f'{name}-sharded/epoch_1.pth', fsdp=True)

    def start(self) -> 'Plan':
        limit_s = 60 * len(self.trainings)
        try:
            start_together(_train, (free_port(), self.trainings), PAIR + 1, limit_s=limit_s)
        except TimeoutError:  # gloo's fault, seen once in hundreds of runs
            for training in self.trainings:
                shutil.rmtree(training.launch.work_dir, ignore_errors=True)
            start_together(_train, (free_port(), self.trainings), PAIR + 1, limit_s=limit_s)
        return self

    def losses(self, name: str, processes: int = PAIR) -> torch.Tensor:
        """The mean loss of each iteration."""
        return torch.tensor(read_rank_losses(self.folder / name, processes)).mean(dim=0)

    def checkpoint(self, name: str) -> dict:
        return read_checkpoint(self.folder / name / 'epoch_2.pth')


def _train(rank: int, port: int, trainings: list[Training]) -> None:
    torch.set_num_threads(1)
    gc.freeze()
    is_pair = rank < PAIR
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), LOCAL_RANK=str(rank))
    if is_pair:
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(PAIR))
        distributed.init_process_group('gloo')
    for training in trainings:
        launch = training.launch
        if (launch.launcher != 'none') != is_pair:
            continue
        if training.start and rank == 0:
            Path(launch.work_dir).mkdir()
            shutil.copy(training.start, launch.work_dir)
        barrier()
        build_runner(resolve_run(launch, 'train')).train()
    if is_pair:
        distributed.destroy_process_group()


@pytest.fixture(scope='module')
def new_plan(toy_root, tmp_path_factory):
    return lambda: Plan(tmp_path_factory.mktemp('fsdp'), toy_root)


@pytest.fixture(scope='module')
def fast(new_plan) -> Plan:
    plan = new_plan()
    plan.add_method(METHODS[FAST[0]])
    plan.add_pair('finetune', find_config(configs_folder(), 'finetune_vit-toy_*'), FINETUNING)
    return plan.start()


@pytest.fixture(scope='module')
def slow(new_plan) -> Plan:
    plan, configs = new_plan(), configs_folder()
    for name in METHODS.keys() - set(FAST):
        plan.add_method(METHODS[name])
    finetune = find_config(configs, 'finetune_vit-toy_*')
    plan.add_pair('frozen', finetune, FROZEN)
    plan.add_pair('finetune', finetune, FINETUNING)
    plan.add('sharded-on', finetune, FINETUNING, 'finetune-whole/epoch_1.pth', fsdp=True)
    plan.add('whole-on', finetune, FINETUNING, 'finetune-sharded/epoch_1.pth')
    plan.add_pair('timm', finetune, TIMM)
    pretraining = PRETRAINING.format(batch_size=4)
    plan.add_pair('hooks', find_config(configs, 'ummae_swin-toy_*'), pretraining)
    half = pretraining + WITHOUT_EVALUATION
    plan.add_pair('bf16', find_config(configs, 'ummae_vit-toy_*'), half, precision='bf16')
    return plan.start()


@pytest.fixture
def plan(request, name) -> Plan:
    """The plan that has a training."""
    return request.getfixturevalue('fast' if name in FAST else 'slow')


def each(*names):
    """Run a test on trainings."""
    params = [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in names]
    return pytest.mark.parametrize('name', params)


def assert_same(one: dict, other: dict) -> None:
    """The same weights and the same state of the optimiser, in the same layout."""
    assert list(one['state_dict']) == list(other['state_dict'])
    for name, weight in one['state_dict'].items():
        # Adam turns rounding into steps where a gradient is 0, as that of the bias of a key.
        atol = 3e-4 if name.endswith('qkv.bias') else 1e-5
        torch.testing.assert_close(weight, other['state_dict'][name], rtol=1e-4, atol=atol)
    ours, theirs = one['optimizer'], other['optimizer']
    assert ours['param_groups'] == theirs['param_groups']
    torch.testing.assert_close(
        dict(sorted(ours['state'].items())), dict(sorted(theirs['state'].items())),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip


@each(*METHODS)
def test_method_sharded_has_the_losses_and_checkpoint_of_the_whole(plan, name):
    sharded = plan.losses(f'{name}-sharded')
    assert len(sharded) == 4
    torch.testing.assert_close(sharded, plan.losses(f'{name}-whole'), rtol=1e-5, atol=1e-6)
    if name not in DEPENDS_ON_PROCESS:
        alone = plan.losses(f'{name}-alone', 1)
        torch.testing.assert_close(sharded, alone, rtol=1e-4, atol=1e-5)
    assert_same(plan.checkpoint(f'{name}-sharded'), plan.checkpoint(f'{name}-whole'))


@each(*METHODS)
def test_method_sharded_resumes_as_if_it_had_not_stopped(plan, name):
    assert plan.losses(f'{name}-resumed').tolist() == plan.losses(f'{name}-sharded')[2:].tolist()
    assert_same(plan.checkpoint(f'{name}-resumed'), plan.checkpoint(f'{name}-sharded'))


@each(*METHODS)
def test_method_sharded_checkpoint_is_converted_and_fills_a_backbone(plan, name, tmp_path):
    converted = tmp_path / 'converted.pth'
    convert_checkpoint(plan.folder / f'{name}-sharded' / 'epoch_2.pth', converted)
    finetune = find_config(configs_folder(), 'finetune_vit-toy_*')
    model = build_model(load_config(finetune, backbone_of=converted))
    assert load_backbone(model.backbone, converted).share > 0.99


@each('finetune', 'frozen', 'timm', 'hooks', 'bf16')
def test_sharded_training_is_the_whole_one(plan, name):
    whole, sharded = plan.losses(f'{name}-whole'), plan.losses(f'{name}-sharded')
    torch.testing.assert_close(sharded, whole, rtol=1e-5, atol=1e-6)
    assert_same(plan.checkpoint(f'{name}-sharded'), plan.checkpoint(f'{name}-whole'))


def logged(plan: Plan, name: str) -> dict[str, float]:
    """The numbers of all lines of ``scalars.json`` that do not tell times or memory."""
    (path,) = (plan.folder / name).glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    keys = ('loss', 'grad_norm', 'accuracy/top1', 'knn/top1')
    return {f'{n} {k}': line[k] for n, line in enumerate(lines) for k in keys if k in line}


@each('finetune', 'hooks')
def test_sharded_training_logs_the_numbers_of_the_whole(plan, name):
    whole = logged(plan, f'{name}-whole')
    keys = {'finetune': ('grad_norm', 'accuracy/top1'), 'hooks': ('knn/top1',)}[name]
    assert all(any(found.endswith(key) for found in whole) for key in keys)
    assert logged(plan, f'{name}-sharded') == pytest.approx(whole, rel=1e-4)


@pytest.mark.slow
def test_sharded_training_draws_its_reconstructions(slow):
    assert (slow.folder / 'hooks-sharded' / 'reconstructions' / 'epoch_2.png').is_file()


@each('sharded-on', 'whole-on')
def test_sharded_and_whole_training_resume_each_other(plan, name):
    assert_same(plan.checkpoint(name), plan.checkpoint('finetune-whole'))


@pytest.mark.slow
def test_command_trains_sharded_and_one_process_goes_on(toy_root, tmp_path):
    base = find_config(configs_folder(), 'finetune_vit-toy_*')
    config = write_child(tmp_path / 'run.py', base, FINETUNING, "dict(type='LossHook')")
    root, work_dir = data_root(base, toy_root), tmp_path / 'run'
    words = ['--fsdp', '--data-root', root, '--work-dir', work_dir]
    done = train_by_script(config, words, num_processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    undisturbed = read_checkpoint(work_dir / 'epoch_2.pth')
    (tmp_path / 'on').mkdir()
    shutil.copy(work_dir / 'epoch_1.pth', tmp_path / 'on')
    train_forked(
        Launch(str(config), work_dir=str(tmp_path / 'on'), data_root=str(root), auto_resume=True)
    )
    assert_same(read_checkpoint(tmp_path / 'on' / 'epoch_2.pth'), undisturbed)


@pytest.mark.parametrize(
    ('launcher', 'settings', 'message'),
    [
        ('none', {}, r'--fsdp .* over several processes'),
        ('slurm', {'custom_hooks': [{'type': 'EMAHook'}]}, r'EMAHook needs the whole model'),
        ('slurm', {'sync_bn': 'torch'}, r'sync_bn needs the whole model'),
        ('slurm', {'model_wrapper_cfg': {'type': 'X'}}, r'model_wrapper_cfg needs the whole'),
        ('slurm', {'val_dataloader': {'sampler': {'round_up': False}}}, r'round_up=False'),
    ],
)
def test_check_sharding_what_needs_the_whole_model_raises(launcher, settings, message):
    with pytest.raises(ConfigError, match=message):
        check_sharding(Config(settings), launcher)


def test_check_sharding_momentum_hook_passes():
    check_sharding(Config({'custom_hooks': [{'type': 'mim_bench.MomentumHook'}]}), 'pytorch')


def test_check_model_scalar_parameter_raises():
    model = nn.Module()
    model.scale = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(ConfigError, match=r'--fsdp cannot shard scalar parameters \(scale\)'):
        check_model(model)


@pytest.mark.parametrize(('name', 'blocks'), [('vit_tiny_patch16_224', 12), ('resnet18', 0)])
def test_attention_blocks_of_timm(name, blocks):
    assert len(attention_blocks(TimmBackbone(name))) == blocks


@for_every(METHODS.values())
def test_attention_blocks_hold_most_of_a_backbone(base):
    """Otherwise a block is called something else, and is gathered for the whole step."""
    backbone = build_model(load_config(base)).backbone
    inside = sum(p.numel() for block in attention_blocks(backbone) for p in block.parameters())
    assert inside > 0.8 * sum(p.numel() for p in backbone.parameters())
