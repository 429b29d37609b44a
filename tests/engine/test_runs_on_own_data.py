"""Whole runs by the command: own classes, a broken image, what is told at the start."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from mim_bench.cli.main import main
from mim_bench.results.store import read_record

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
FINETUNE = DEMO / 'finetune_vit-toy_1xb64-coslr-4e_toy-in1k-64px.py'
PROBE = DEMO / 'probe_vit-toy_1xb64_toy-in1k-64px.py'
BEST_LAYER = DEMO / 'best-layer_vit-toy_1xb64_toy-in1k-64px.py'
PATCHES = DEMO / 'knn_vit-toy_1xb8_toy-ade20k-128px.py'
UPERNET = DEMO / 'upernet_vit-toy_1xb4-200i_toy-ade20k-128px.py'
SHORT = [
    'param_scheduler.warmup_epochs=0',
    'train_cfg.max_epochs=1',
    'train_dataloader.batch_size=3',
    'effective_batch_size=3',
    'train_dataloader.persistent_workers=True',  # of no use without workers
    'log_level=ERROR',
]


@pytest.fixture
def three_classes(toy_root, tmp_path):
    root = tmp_path / 'flowers'
    for split in ('train', 'val'):
        for folder in sorted((toy_root / 'imagenet' / split).iterdir())[:3]:
            shutil.copytree(folder, root / split / folder.name)
    return root


@pytest.fixture
def broken(three_classes):
    """The data with an image that is cut short in the middle of the training."""
    images = sorted((three_classes / 'train').glob('*/*'))
    path = images[len(images) // 2]
    path.write_bytes(path.read_bytes()[:300])
    return path


def train(root, tmp_path, *words):
    command = ['train', str(FINETUNE), '--data-root', str(root), '--own-data', 'flowers']
    command += ['--work-dir', str(tmp_path / 'run'), '--results-dir', str(tmp_path / 'results')]
    return main([*command, '--run-id', 'mine', *words, '--cfg-options', *SHORT])


def test_broken_image_in_the_middle_stops_with_its_name(three_classes, broken, tmp_path, capsys):
    assert train(three_classes, tmp_path) == 1

    message = capsys.readouterr().err
    assert f'error: {broken}: does not decode' in message
    assert 'Traceback' not in message
    record = read_record(tmp_path / 'results/mine/record.json')
    assert (record.status, record.skipped_images) == ('failed', None)
    assert broken.name in record.error


def test_broken_image_is_skipped_counted_and_recorded(three_classes, broken, tmp_path):
    assert train(three_classes, tmp_path, '--on-bad-image', 'skip') == 0

    record = read_record(tmp_path / 'results/mine/record.json')
    assert (record.status, record.skipped_images) == ('done', 1)
    assert broken.name in (tmp_path / 'run/skipped_images.txt').read_text()
    # Three classes have no five best ones.
    assert (record.task, set(record.metrics)) == ('flowers-ft', {'top1', 'loss'})


def test_model_is_not_tested_on_other_classes(three_classes, tmp_path, capsys):
    assert train(three_classes, tmp_path) == 0
    words = ['test', str(FINETUNE), str(tmp_path / 'run'), '--own-data', 'flowers']
    words += ['--work-dir', str(tmp_path / 'test'), '--data-root', str(three_classes)]
    assert main([*words, '--cfg-options', 'log_level=ERROR']) == 0
    first = min((three_classes / 'val').iterdir())
    for split in ('train', 'val'):  # what was the first is the last
        (three_classes / split / first.name).rename(three_classes / split / 'zinnia')
    assert main([*words, '--cfg-options', 'log_level=ERROR']) == 1
    message = capsys.readouterr().err
    assert 'was trained on other classes' in message
    assert f'1 ({first.name}) only in the training and 1 (zinnia) only in the test' in message


KINDS = {
    'pre-training': (
        'mae_vit-toy_1xb32-coslr-16e_toy-in1k-64px.py',
        'imagenet',
        [
            'train_cfg.max_epochs=1',
            'param_scheduler.warmup_epochs=0',
            'train_dataloader.batch_size=20',
            'effective_batch_size=20',
        ],
    ),
    'segmentation': (
        UPERNET.name,
        'ade20k',
        ['train_cfg.max_iters=2', 'train_cfg.val_interval=2'],
    ),
    'detection': (
        'mask-rcnn_vit-toy_1xb4-3e_toy-coco-128px.py',
        'coco',
        ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1'],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
def test_broken_image_stops_or_is_skipped_in_every_kind_of_training(kind, copy, tmp_path, capsys):
    config, layout, options = KINDS[kind]
    root = copy(layout)
    images = sorted(
        path for path in root.rglob('*.[jJ][pP]*') if 'train' in str(path.relative_to(root))
    )
    broken = images[len(images) // 2]
    broken.write_bytes(broken.read_bytes()[:300])

    def run(name, *words):
        places = ['--work-dir', str(tmp_path / name), '--results-dir', str(tmp_path / 'results')]
        command = ['train', str(DEMO / config), '--data-root', str(root), '--run-id', name]
        options_here = ['--cfg-options', *options, 'log_level=ERROR']
        return main([*command, *places, *words, *options_here])

    assert run('stop') == 1
    message = capsys.readouterr().err
    assert f'error: {broken}: does not decode' in message
    assert 'Traceback' not in message
    assert run('skip', '--on-bad-image', 'skip') == 0
    records = [read_record(tmp_path / f'results/{n}/record.json') for n in ('stop', 'skip')]
    assert [(r.status, r.skipped_images) for r in records] == [('failed', None), ('done', 1)]


@pytest.mark.slow
@pytest.mark.parametrize('family', ['vit', 'ummae-swin'])
def test_image_that_is_too_narrow_for_the_network_is_told_at_the_start(
    family, copy, tmp_path, capsys
):
    root = copy('ade20k')
    narrow = root / 'images/validation/ADE_val_00000002.jpg'
    labels = root / 'annotations/validation/ADE_val_00000002.png'
    Image.new('RGB', (4000, 20)).save(narrow)
    Image.new('L', (4000, 20), 1).save(labels)
    config = DEMO / UPERNET.name.replace('vit', family)

    assert main(['train', str(config), '--data-root', str(root), '--work-dir', str(tmp_path)]) == 1

    message = capsys.readouterr().err
    assert f'trying the evaluation before the first step, images {narrow}:' in message
    assert 'Crop the image, or remove it.' in message


@pytest.mark.parametrize(
    ('config', 'images', 'k', 'message'),
    [
        (PROBE, 1, 1, 'can hold out none of 3 training features'),
        (BEST_LAYER, 1, 1, 'can hold out none of 3 training features'),
        # One of two chooses the layer, and none is left to choose the rate.
        (BEST_LAYER, 2, 1, 'can hold out none of 3 training features'),
        (BEST_LAYER, 3, 7, 'k = 7 with a bank of 6 features'),
    ],
)
def test_too_few_images_of_a_class_are_told_before_features_are_computed(
    three_classes, tmp_path, capsys, config, images, k, message
):
    for folder in (three_classes / 'train').iterdir():
        for path in sorted(folder.iterdir())[images:]:
            path.unlink()
    words = ['--data-root', str(three_classes), '--own-data', 'flowers']
    words += ['--work-dir', str(tmp_path / 'run'), '--cfg-options', f'test_cfg.probes.knn.k={k}']

    assert main(['test', str(config), *words]) == 1

    assert message in capsys.readouterr().err
    assert not (tmp_path / 'run/features').exists()


def test_broken_image_stops_a_probe(three_classes, broken, tmp_path, capsys):
    words = ['--own-data', 'flowers', '--work-dir', str(tmp_path / 'run')]
    words += ['--results-dir', str(tmp_path / 'results'), '--run-id', 'mine']

    words += ['--cfg-options', 'test_cfg.probes.knn.k=5']
    assert main(['test', str(PROBE), '--data-root', str(three_classes), *words]) == 1

    assert f'error: {broken}: does not decode' in capsys.readouterr().err
    records = [read_record(path) for path in tmp_path.glob('results/*/record.json')]
    assert [record.status for record in records] == ['failed', 'failed']  # k-NN and linear


@pytest.mark.slow
def test_broken_validation_image_stops_a_probe_of_patches_before_its_bank(copy, tmp_path, capsys):
    root = copy('ade20k')
    broken = max((root / 'images/validation').iterdir())
    broken.write_bytes(broken.read_bytes()[:300])
    words = ['--work-dir', str(tmp_path / 'run'), '--results-dir', str(tmp_path / 'results')]

    assert main(['test', str(PATCHES), '--data-root', str(root), *words]) == 1

    assert f'error: {broken}: does not decode' in capsys.readouterr().err
    assert not (tmp_path / 'run/features').exists()
    assert [read_record(p).status for p in tmp_path.glob('results/*/record.json')] == ['failed']


@pytest.mark.parametrize('run_id', ['a/../../b', '.hidden', 'x' * 201])
def test_run_id_that_is_no_folder_is_told_before_anything_is_built(run_id, tmp_path, capsys):
    words = ['--results-dir', str(tmp_path / 'results'), '--run-id', run_id]

    assert main(['train', str(FINETUNE), *words]) == 1

    assert '--run-id' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--record-checkpoint', 'id=a/b'], "'flowers-ft-a/b-s0': the name of a folder is needed"),
        (['--record-checkpoint', 'img_size=0'], '--record-checkpoint: img_size: input should be'),
        (['--record-checkpoint', 'epochs=-3'], '--record-checkpoint: pretrain_epochs: input'),
        (['--record-checkpoint', 'epochs=inf'], 'epochs=inf: give a finite number'),
        (['--record-checkpoint', 'id='], '--record-checkpoint: id: string should have at least 1'),
        (['--own-data', ''], "--own-data '': give a name"),
        (['--own-data', 'in1k'], '--own-data in1k: is the name of a public data set'),
    ],
)
def test_what_no_record_takes_is_told_before_the_training(
    words, message, three_classes, tmp_path, capsys
):
    run_id = [] if words[0] == '--record-checkpoint' else ['--run-id', 'mine']
    command = ['train', str(FINETUNE), '--data-root', str(three_classes), '--own-data', 'flowers']
    command += ['--work-dir', str(tmp_path / 'run'), '--results-dir', str(tmp_path / 'results')]

    assert main([*command, *run_id, *words, '--cfg-options', *SHORT]) == 1

    assert message in capsys.readouterr().err
    assert not list((tmp_path / 'run').glob('*.pth'))
    assert not list(tmp_path.glob('results/*/b*'))


@pytest.mark.slow
def test_batch_of_one_image_is_told_with_its_remedy(toy_root, tmp_path, capsys):
    words = ['--data-root', str(toy_root / 'ade/ADEChallengeData2016'), '--work-dir', str(tmp_path)]
    options = ['train_dataloader.batch_size=1', 'effective_batch_size=1', 'log_level=ERROR']

    assert main(['train', str(UPERNET), *words, '--cfg-options', *options]) == 1

    message = capsys.readouterr().err
    assert 'Raise train_dataloader.batch_size to 2 or more' in message
    assert 'Traceback' not in message
