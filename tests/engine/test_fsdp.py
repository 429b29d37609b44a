"""A sharded training is the whole one, and leaves the same checkpoints."""

import pytest
import torch
from mmengine.config import Config

from mim_bench.conversion.files import read_checkpoint
from mim_bench.engine.fsdp import block_policy, shard
from mim_bench.engine.launch import Launch
from mim_bench.errors import ConfigError
from mim_bench.suite.demo import find_config
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.demo_runs import data_root, read_rank_losses, write_child
from mim_bench.testing.processes import train_forked

# With clipping, layer decay and accumulation: each knows more of a model than its shards.
RECIPE = """
train_dataloader = dict(batch_size=4)
val_dataloader = dict(batch_size=10)
effective_batch_size = 16
model = dict(backbone=dict(drop_path_rate=0.0), train_cfg=None)
train_cfg = dict(max_epochs=2, val_interval=2)
optim_wrapper = dict(clip_grad=dict(max_norm=0.5))
param_scheduler = dict(warmup_epochs=1)
log_level = 'ERROR'
"""


@pytest.fixture
def train(toy_root, tmp_path):
    """Trains two processes; gives the losses and the two checkpoints."""
    base = find_config(configs_folder(), 'finetune_vit-toy_')

    def start(name, **settings):
        work_dir = tmp_path / name
        config = write_child(work_dir.with_suffix('.py'), base, RECIPE, "dict(type='LossHook')")
        launch = Launch(
            str(config),
            work_dir=str(work_dir),
            data_root=str(data_root(base, toy_root)),
            **settings,
        )
        train_forked(launch, 2)
        epochs = [work_dir / f'epoch_{n}.pth' for n in (1, 2)]
        found = [read_checkpoint(path) if path.is_file() else None for path in epochs]
        return read_rank_losses(work_dir, 2), *found

    return start


def assert_same(one, other):
    """The same weights and the same state of the optimiser, in the same layout."""
    assert list(one['state_dict']) == list(other['state_dict'])
    torch.testing.assert_close(one['state_dict'], other['state_dict'], rtol=1e-4, atol=1e-5)
    ours, theirs = one['optimizer'], other['optimizer']
    assert ours['param_groups'] == theirs['param_groups']
    torch.testing.assert_close(
        dict(sorted(ours['state'].items())), dict(sorted(theirs['state'].items())),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip


@pytest.mark.slow
def test_sharded_training_is_the_whole_one_and_each_resumes_the_other(train, tmp_path):
    losses, first, last = train('whole')
    sharded_losses, sharded_first, sharded_last = train('sharded', fsdp=True)
    torch.testing.assert_close(sharded_losses, losses, rtol=0, atol=1e-4)
    assert_same(sharded_first, first)
    assert_same(sharded_last, last)
    for name, start, settings in (
        ('sharded-on', 'whole', dict(fsdp=True)),
        ('whole-on', 'sharded', {}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / start / 'epoch_1.pth').rename(tmp_path / name / 'epoch_1.pth')
        _, _, resumed = train(name, auto_resume=True, **settings)
        assert_same(resumed, last)


def test_shard_one_process_or_a_hook_that_needs_the_whole_model_raises():
    cfg = Config({'optim_wrapper': {'type': 'OptimWrapper'}})
    with pytest.raises(ConfigError, match=r'--fsdp .* over processes'):
        shard(cfg, 'none')
    cfg.custom_hooks = [{'type': 'mim_bench.MomentumHook'}]
    with pytest.raises(ConfigError, match=r'mim_bench\.MomentumHook needs the whole model'):
        shard(cfg, 'pytorch')


def test_shard_in_half_precision_scales_the_loss_of_all_processes():
    cfg = Config({'optim_wrapper': {'type': 'AmpOptimWrapper', 'loss_scale': 'dynamic'}})
    shard(cfg, 'slurm')
    assert cfg.optim_wrapper.use_fsdp
    assert cfg.model_wrapper_cfg.type == 'MMFullyShardedDataParallel'


def test_block_policy_takes_blocks_and_neither_lists_nor_stages():
    def block():
        return torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))

    model = torch.nn.Module()
    stage = torch.nn.Module()
    stage.blocks = torch.nn.ModuleList([block(), block(), torch.nn.Identity()])
    model.backbone = torch.nn.Module()
    model.backbone.stages = torch.nn.ModuleList([stage])
    model.head = torch.nn.ModuleList([block()])
    policy = block_policy(model)
    taken = [m for m in model.modules() if policy(module=m, recurse=False, nonwrapped_numel=1)]
    assert taken == list(stage.blocks)[:2]
