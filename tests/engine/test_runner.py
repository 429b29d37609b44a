import errno
import os
from pathlib import Path

import pytest
import torch

from mim_bench.engine.cpu_distributed import read_slurm
from mim_bench.engine.launch import Launch, resolve_training
from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import CheckpointError, ConfigError, DataError
from mim_bench.testing.toy_runs import loader, make_runner


@pytest.fixture
def runner(pretraining):
    runner = make_runner(pretraining(pretraining=dict(method='toy')), BenchRunner)
    runner.train()
    return runner


def files(runner):
    return sorted(path.name for path in Path(runner.work_dir).glob('*') if path.is_file())


def test_save_checkpoint_disk_full_at_the_rename_leaves_no_temporary(runner, monkeypatch):
    names = files(runner)

    def refuse(self, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, 'replace', refuse)
    with pytest.raises(CheckpointError, match=r'epoch_9\.pth: cannot be written'):
        runner.save_checkpoint(runner.work_dir, 'epoch_9.pth')
    assert files(runner) == names


def test_save_checkpoint_tells_converters_about_the_method(runner):
    content = torch.load(Path(runner.work_dir) / 'epoch_2.pth', weights_only=False)
    own = content['meta']['mim_bench']
    assert (own['method'], own['epochs'], own['pretrain_data']) == ('toy', None, None)
    assert own['start']['method'] == 'random'
    assert content['meta']['epoch'] == 2


def test_load_checkpoint_of_wrapped_model_loads(runner, tmp_path):
    state = {f'module.{k}': torch.rand(v.shape) for k, v in runner.model.state_dict().items()}
    torch.save({'state_dict': state}, tmp_path / 'wrapped.pth')
    runner.load_checkpoint(str(tmp_path / 'wrapped.pth'))
    assert all((p == state[f'module.{k}']).all() for k, p in runner.model.named_parameters())


def test_groups_of_the_optimiser_are_plain_dictionaries(pretraining):
    settings = dict(optimizer=dict(type='SGD', lr=0.1), paramwise_cfg=dict(bias_lr_mult=2.0))
    runner = make_runner(pretraining(optim_wrapper=settings), BenchRunner)
    groups = runner.build_optim_wrapper(runner.optim_wrapper).param_groups
    assert [(type(group), group['lr']) for group in groups[:2]] == [(dict, 0.1), (dict, 0.2)]


def test_train_loop_without_a_batch_names_the_sizes(pretraining):
    data = loader(batch_size=13) | {'drop_last': True}
    runner = make_runner(pretraining(train_dataloader=data), BenchRunner)
    with pytest.raises(
        DataError, match=r'gives no batch: its data set has 12 samples .* is 13 and'
    ):
        runner.train()


def write_config(tmp_path, **content):
    path = tmp_path / 'toy.py'
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in content.items()))
    return str(path)


AMP = dict(type='AmpOptimWrapper', loss_scale='dynamic', optimizer=dict(type='SGD', lr=0.1))


def test_slurm_without_srun_is_refused(monkeypatch):
    monkeypatch.delenv('SLURM_PROCID', raising=False)
    with pytest.raises(ConfigError, match='srun did not start this process'):
        read_slurm()


def test_auto_resume_takes_the_newest_checkpoint_of_the_folder(tmp_path):
    path = write_config(tmp_path, model=dict(type='ToyNet'), optim_wrapper=AMP)
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    settings = dict(work_dir=str(work_dir), load_from='whole.pth')
    assert resolve_training(Launch(path, auto_resume=True, **settings)).load_from == 'whole.pth'
    (work_dir / 'epoch_3.pth').touch()
    (work_dir / 'last_checkpoint').touch()  # empty: the process was killed as it wrote it
    cfg = resolve_training(Launch(path, auto_resume=True, **settings))
    assert (cfg.resume, cfg.load_from) == (True, str(work_dir / 'epoch_3.pth'))
    assert not resolve_training(Launch(path, **settings)).get('resume')
