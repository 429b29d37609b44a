"""One recipe on 1, 2 and 4 processes: the same images an update, and the same loss curve."""

from importlib.util import find_spec

import pytest

from mim_bench.conversion.files import read_checkpoint
from mim_bench.conversion.weight_files import latest_checkpoint
from mim_bench.data.archives import pack
from mim_bench.data.listing import list_files
from mim_bench.engine.launch import Launch
from mim_bench.results.store import read_record
from mim_bench.suite.demo import find_config
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.demo_runs import data_root, read_rank_losses, write_child
from mim_bench.testing.parquet import write_parquet
from mim_bench.testing.processes import train_forked

NUM_UPDATES = 20
EFFECTIVE_BATCH = 8
# Without what depends on the images that share a forward pass: BatchNorm, mixing of images.
RECIPE = f"""
train_dataloader = dict(batch_size=2)
effective_batch_size = {EFFECTIVE_BATCH}
train_cfg = dict(max_epochs=4)
param_scheduler = dict(warmup_epochs=1)
log_level = 'ERROR'
"""


@pytest.mark.slow
def test_loss_curve_is_the_same_on_one_two_and_four_processes(toy_root, tmp_path, capsys):
    curves, records, rates = {}, {}, {}
    for processes in (1, 2, 4):
        curves[processes], records[processes], rates[processes] = train(
            processes, toy_root, tmp_path
        )
    assert [records[n].batch.accumulation for n in (1, 2, 4)] == [4, 2, 1]
    assert {record.batch.effective_batch for record in records.values()} == {EFFECTIVE_BATCH}
    assert len({record.protocol.hash for record in records.values()}) == 1
    assert rates[1] == rates[2] == rates[4]
    difference = max(abs(a - b) for n in (1, 2) for a, b in zip(curves[n], curves[4], strict=True))
    with capsys.disabled():
        print(f'\n{NUM_UPDATES} updates: largest difference of the loss {difference:.1e}')
    assert difference < 1e-4
    assert curves[4][-1] < 0.99 * curves[4][0]  # it did train


@pytest.mark.slow
def test_loss_curve_from_an_archive_is_that_from_folders(toy_root, tmp_path):
    folder = data_root(find_config(configs_folder(), 'ummae_swin-toy_*'), toy_root)
    names = list_files(folder, ('',)).files
    wanted, record, _ = train(1, toy_root, tmp_path)
    for ending, processes in (('zip', 1), ('tar', 1), ('zip', 2), ('parquet', 1)):
        archive = tmp_path / f'{processes}.{ending}'
        if ending != 'parquet':
            pack(folder, archive, names)
        elif find_spec('datasets'):
            write_parquet(folder, archive)
        else:
            continue
        curve, packed, _ = train(processes, toy_root, tmp_path / archive.name[:1], root=archive)
        assert packed.protocol.hash == record.protocol.hash
        tolerance = 0 if processes == 1 else 1e-4  # other sums of gradients
        assert max(abs(a - b) for a, b in zip(curve, wanted, strict=True)) <= tolerance


def train(processes, toy_root, folder, root=None):
    """The loss of each update, the record, and the rate after the run."""
    base = find_config(configs_folder(), 'ummae_swin-toy_*')
    work_dir = folder / f'on-{processes}-{root and root.name}'
    folder.mkdir(exist_ok=True)
    config = write_child(work_dir.with_suffix('.py'), base, RECIPE, "dict(type='LossHook')")
    launch = Launch(
        str(config),
        work_dir=str(work_dir),
        data_root=str(root or data_root(base, toy_root)),
        results_dir=str(folder / 'results'),
        run_id=work_dir.name,
    )
    train_forked(launch, processes)
    passes = list(zip(*read_rank_losses(work_dir, processes), strict=True))
    every = 4 // processes
    assert len(passes) == NUM_UPDATES * every  # 40 images, four times
    updates = [passes[k : k + every] for k in range(0, len(passes), every)]
    curve = [sum(map(sum, update)) / (every * processes) for update in updates]
    state = read_checkpoint(latest_checkpoint(work_dir))['param_schedulers']
    return curve, read_record(folder / 'results' / work_dir.name / 'record.json'), state
