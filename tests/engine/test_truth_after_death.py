"""What the record of a killed run says, and how errors of devices are told."""

import json

import pytest
import torch
from mmengine.config import Config

from mim_bench.engine.device_errors import explain_device_error, optimizer_bytes
from mim_bench.engine.hooks.cost_ledger_hook import cost_on_disk
from mim_bench.engine.launch import Launch, _recorded, record_outside_failure, resolve_run
from mim_bench.engine.run_record import cause_of
from mim_bench.errors import OutOfMemoryError, RunInterrupted, TrainingError
from mim_bench.results.store import read_record
from mim_bench.suite.demo import find_config
from mim_bench.suite.locations import configs_folder

LEDGER = {
    'run_key': 'k',
    'started_at': '2026-01-01T00:00:00Z',
    'device': 'NVIDIA H200',
    'num_devices': 8,
    'ledger': {
        'wall_s': 72000.0,
        'device_s': 576000.0,
        'gpu_s': 576000.0,
        'wait_s': 1.0,
        'iteration_s': 10.0,
        'rates': {'values': [100.0], 'stride': 1, 'skipped': 0},
        'peak_mem_bytes': 5,
        'energy_joules': 9.0,
    },
}


@pytest.fixture
def killed(tmp_path):
    """The launch of a run that left its config of 8 processes and its ledger."""
    config = find_config(configs_folder(), 'finetune_ummae-swin-toy_*')
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    (work_dir / 'cost_ledger.json').write_text(json.dumps(LEDGER))
    launch = Launch(
        str(config), work_dir=str(work_dir), results_dir=str(tmp_path / 'results'), run_id='mine'
    )
    cfg = resolve_run(launch, 'train')
    cfg.batch_plan.update(gpus=8, images_per_gpu=8)
    cfg.dump(work_dir / config.name)
    return launch


def test_killed_run_keeps_its_cost_its_batch_and_its_cause(killed):
    (path,) = record_outside_failure(killed, 'train', 'Out of time: killed', 'timeout')
    record = read_record(path)
    assert (record.status, record.cause, record.error) == (
        'failed', 'timeout', 'Out of time: killed',
    )  # fmt: skip
    cost = record.cost
    assert (cost.gpu_hours, cost.wall_s, cost.device) == (160.0, 72000.0, 'NVIDIA H200')
    assert (cost.num_devices, cost.energy_joules) == (8, 9.0)
    assert (record.batch.gpus, record.batch.images_per_gpu) == (8, 8)
    assert record.config.path.startswith('configs/demo/finetune_ummae-swin-toy_')


def test_killed_run_that_left_nothing_knows_no_cost(killed, tmp_path):
    for path in (tmp_path / 'run').iterdir():
        path.unlink()
    (path,) = record_outside_failure(killed, 'train', 'Killed', 'killed')
    cost = read_record(path).cost
    assert (cost.gpu_hours, cost.wall_s, cost.device, cost.num_devices) == (
        None, None, 'unknown', None,
    )  # fmt: skip


def test_cost_on_disk_cut_short_is_unknown(tmp_path):
    (tmp_path / 'cost_ledger.json').write_text('{"ledger": ')
    assert cost_on_disk(tmp_path) is None


CFG = Config(dict(train_dataloader=dict(batch_size=64), effective_batch_size=1024))


def explain(error, cfg=CFG):
    return explain_device_error(error, cfg, model=torch.nn.Linear(2, 2), iteration=11)


def test_want_of_gpu_memory_advises_a_batch_that_keeps_the_recipes():
    error = torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has')
    found = explain(error)
    assert cause_of(found) == 'out-of-memory'
    for part in (
        'process 0 on ', 'iteration 12: CUDA has no memory for 2.50 GiB more',
        'train_dataloader.batch_size=32', '1024 images: 32 x 1 processes x 32 accumulated',
    ):  # fmt: skip
        assert part in str(found)


@pytest.mark.parametrize(('kind', 'copies'), [('AdamW', 2), ('Lamb', 2), ('SGD', 1), (None, 0)])
def test_memory_of_an_optimiser_is_every_copy_that_it_keeps(kind, copies):
    model = torch.nn.Linear(2, 2)  # six numbers of four bytes
    settings = kind and {'optimizer': {'type': kind}}
    assert optimizer_bytes(model, settings) == 24 * copies


def test_want_of_memory_for_one_image_advises_no_smaller_batch():
    cfg = Config(dict(train_dataloader=dict(batch_size=1)))
    text = str(explain(torch.OutOfMemoryError('CUDA out of memory'), cfg))
    assert 'one image already' in text
    assert 'batch_size=0' not in text


@pytest.mark.parametrize(('error', 'part', 'cause'), [
    (MemoryError(), 'the machine has not enough memory', 'out-of-memory'),
    (RuntimeError('CUDA error: device-side assert triggered\nmore'), 'mim-bench data check',
     'device'),
    (RuntimeError('CUDA error: uncorrectable ECC error encountered'), 'memory fault', 'device'),
    (torch.distributed.DistBackendError('NCCL error in: x.cpp:1'),
     'Most often another process or node failed first', 'device'),
])  # fmt: skip
def test_error_of_a_device_is_one_message(error, part, cause):
    found = explain(error)
    assert part in str(found)
    assert '\n' not in str(found)
    assert cause_of(found) == cause


def test_error_of_a_device_in_a_test_does_not_say_to_resume():
    error = RuntimeError('CUDA error: uncorrectable ECC error encountered')
    assert str(explain(error)).endswith('start again with --auto-resume.')
    test = Config(dict(train_dataloader=None, test_dataloader=dict(batch_size=64)))
    assert str(explain(error, test)).endswith('; start again.')


def test_other_errors_are_not_of_a_device():
    assert explain(RuntimeError('shapes do not match')) is None
    assert explain(KeyError('gloo')) is None
    assert cause_of(TrainingError('the loss')) == 'error'
    assert cause_of(OutOfMemoryError('x')) == 'out-of-memory'


def fails_as_mmengine_does():
    try:
        raise RunInterrupted('SIGTERM came before the first update')
    except Exception as error:
        raise SyntaxError('Failed to format the config file') from error


def test_wish_to_stop_that_a_library_turned_into_another_error_is_no_failure(killed, tmp_path):
    cfg = resolve_run(killed, 'train')
    with pytest.raises(RunInterrupted, match='SIGTERM came'), _recorded(cfg):
        fails_as_mmengine_does()
    assert not list((tmp_path / 'results').rglob('record.json'))
