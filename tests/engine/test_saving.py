"""A file that several processes write and some are killed over is whole under its name."""

import multiprocessing
import os
import signal
import time

import pytest
import torch

from mim_bench.engine.saving import whole_checkpoint


def write(number, path, saves):
    for k in range(saves):
        with whole_checkpoint(path) as temporary:
            torch.save({'writer': number, 'values': torch.full((50_000,), float(k))}, temporary)


@pytest.mark.parametrize(('processes', 'saves'), [
    (4, 20), pytest.param(7, 100, marks=pytest.mark.slow),
])  # fmt: skip
def test_whole_checkpoint_is_never_cut_short_under_its_name(tmp_path, processes, saves):
    path = tmp_path / 'epoch_1.pth'
    (tmp_path / '.epoch_1.pth.tmp').write_bytes(b'stale')
    context = multiprocessing.get_context('fork')
    writers = [context.Process(target=write, args=(i, path, saves)) for i in range(processes)]
    for writer in writers:
        writer.start()
    seen, killed = 0, False
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            content = torch.load(path)  # raises where it is cut short
            assert len(content['values'].unique()) == 1
            seen += 1
            if seen == 2:
                writers[0].kill()
                killed = True
        time.sleep(0.01)
    assert killed
    statuses = [writer.exitcode for writer in writers]
    assert set(statuses[1:]) == {0}
    assert statuses[0] in (0, -signal.SIGKILL)
    assert len(torch.load(path)['values'].unique()) == 1
    # The name says whose a file was that is left.
    left = [p.name for p in tmp_path.iterdir() if p.name.endswith('.tmp')]
    assert set(left) - {'.epoch_1.pth.tmp'} <= {
        f'.epoch_1.pth.{os.uname().nodename}-{writers[0].pid}.tmp'
    }


def test_whole_checkpoint_keeps_the_old_one_when_its_writer_fails(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(b'old')
    with pytest.raises(ZeroDivisionError), whole_checkpoint(path) as temporary:
        temporary.write_bytes(bytes(1 // 0))
    assert [p.name for p in tmp_path.iterdir()] == ['epoch_1.pth']
    assert path.read_bytes() == b'old'
