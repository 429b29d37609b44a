import platform

import pytest
import torch

from mim_bench.cost import memory
from mim_bench.cost.memory import ResidentMemory, memory_meter

MIB = 2**20


@pytest.fixture
def sizes(monkeypatch):
    """A stand-in for the kernel: what the process holds, and its high-water mark, in bytes."""
    state = {'size': 100, 'mark': 900, 'may_reset': True}

    def reset():
        if state['may_reset']:
            state['mark'] = state['size']

    monkeypatch.setattr(memory, '_reset_high_water_mark', reset)
    monkeypatch.setattr(memory, 'resident_bytes', lambda: (state['size'], state['mark']))
    return state


def test_resident_memory_counts_a_peak_inside_a_step(sizes):
    meter = ResidentMemory()
    meter.start()
    sizes.update(size=120, mark=350)
    meter.sample()
    assert meter.peak_bytes == 250


def test_resident_memory_without_reset_ignores_the_peak_of_the_past(sizes):
    sizes['may_reset'] = False
    meter = ResidentMemory()
    meter.start()
    sizes['size'] = 160
    meter.sample()
    assert meter.peak_bytes == 60  # the mark of 900 was there before
    sizes['mark'] = 1000
    meter.sample()
    assert meter.peak_bytes == 900


def test_resident_memory_second_start_keeps_baseline_and_peak(sizes):
    meter = ResidentMemory()
    meter.start()
    sizes.update(size=150, mark=300)
    meter.sample()
    sizes['mark'] = 5000  # an evaluation, not sampled
    meter.start()
    meter.sample()
    assert meter.peak_bytes == 200


def test_resident_memory_sees_a_real_allocation():
    meter = ResidentMemory()
    meter.start()
    torch.ones(64 * MIB // 4).sum()  # gone before the sample
    meter.sample()
    assert 0 <= meter.peak_bytes < 512 * MIB
    if memory._CLEAR_REFS.exists():
        assert meter.peak_bytes > 48 * MIB


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc has malloc_trim')
def test_resident_memory_start_gives_freed_memory_back():
    blocks = [torch.ones(64 * 1024 // 4) for _ in range(1024)]  # small ones stay in the heap
    blocks = blocks[-1:]  # and the last one keeps the rest from being returned
    before, _ = memory.resident_bytes()
    ResidentMemory().start()
    after, _ = memory.resident_bytes()
    assert before - after > 32 * MIB
    assert len(blocks) == 1


def test_resident_bytes_without_proc_uses_the_mark_of_the_system(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, '_STATUS', tmp_path / 'absent')
    size, mark = memory.resident_bytes()
    assert size == mark > 10 * MIB


def test_memory_meter_on_cpu_is_the_resident_size():
    assert isinstance(memory_meter(torch.device('cpu')), ResidentMemory)
