"""Workers by the cores that a process has, and what a loader gets where nothing is said."""

import os

import pytest
import torch
from mmpretrain.models.utils import ClsDataPreprocessor
from torch import nn

from mim_bench.engine.cores import usable_cores
from mim_bench.engine.loader_settings import (
    copy_without_waiting,
    loader_settings,
    workers_of_process,
)


@pytest.fixture
def many_cores(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(64)))
    for name in ('LOCAL_WORLD_SIZE', 'SLURM_NTASKS_PER_NODE'):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ('files', 'cores'),
    [
        ({}, 64),
        ({'cpu.max': '250000 100000'}, 2),
        ({'cpu.max': 'max 100000'}, 64),
        ({'cpu/cpu.cfs_quota_us': '800000', 'cpu/cpu.cfs_period_us': '100000'}, 8),
        ({'cpu/cpu.cfs_quota_us': '-1', 'cpu/cpu.cfs_period_us': '100000'}, 64),
        ({'cpu.max': '50000 100000'}, 1),
    ],
)
def test_cores_are_those_of_affinity_and_container(files, cores, tmp_path, many_cores, monkeypatch):
    monkeypatch.setattr('mim_bench.engine.cores.CGROUP', tmp_path)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + '\n')
    assert usable_cores() == cores


def test_ranks_of_a_node_share_its_cores(monkeypatch, many_cores):
    monkeypatch.setattr('mim_bench.engine.loader_settings.usable_cores', lambda: 64)
    assert workers_of_process() == 63
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '8')
    assert workers_of_process() == 7
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '100')
    assert workers_of_process() == 1


def test_numbers_of_workers_that_a_user_gives_are_kept(monkeypatch):
    monkeypatch.setattr('mim_bench.engine.loader_settings.workers_of_process', lambda: 5)
    auto = loader_settings(dict(num_workers='auto', prefetch_factor=4))
    assert auto['num_workers'] == 5
    assert auto['persistent_workers'] is True
    assert loader_settings(dict(num_workers=3))['num_workers'] == 3
    none = loader_settings(dict(num_workers=0, persistent_workers=True, prefetch_factor=4))
    assert none == dict(num_workers=0)


def test_a_gpu_gets_pinned_memory_and_copies_that_do_not_wait(monkeypatch):
    model = nn.ModuleDict(dict(data_preprocessor=ClsDataPreprocessor()))
    copy_without_waiting(model)
    assert not model['data_preprocessor']._non_blocking
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    copy_without_waiting(model)
    assert model['data_preprocessor']._non_blocking
    assert loader_settings({})['pin_memory'] is True
    assert loader_settings(dict(pin_memory=False))['pin_memory'] is False
