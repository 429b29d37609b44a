"""Test sets of robustness: class subsets, layouts, metrics, and the test of a classifier on one."""

import json
import re
import shutil

import pytest
import timm.data
import torch

from mim_bench.data.archives import pack
from mim_bench.data.checks import CHECKS, CheckOptions
from mim_bench.data.imagenet_variants import (
    ALEXNET_ERRORS,
    VARIANTS,
    class_marks,
    class_numbers,
    mean_corruption_error,
    variant_root,
)
from mim_bench.data.listing import list_files
from mim_bench.data.variant_dataset import ImageNetVariant
from mim_bench.engine.launch import Launch, test
from mim_bench.errors import ConfigError, DataError
from mim_bench.evaluation.metric_names import ranking_metrics
from mim_bench.evaluation.metrics.accuracy import Accuracy, CorruptionError
from mim_bench.recipe.config import load_config
from mim_bench.recipe.robustness import use_variant

PROBE = 'configs/demo/probe_vit-toy_1xb64_toy-in1k-64px.py'
test.__test__ = False  # a command, not a test
FINETUNE = 'configs/demo/finetune_vit-toy_1xb64-coslr-4e_toy-in1k-64px.py'


def test_subsets_have_the_classes_that_timm_knows():
    ids = list(class_marks())
    assert len(ids) == 1000
    assert ids == timm.data.ImageNetInfo('imagenet-1k').label_names()
    assert [len(VARIANTS[name].classes) for name in ('imagenet-a', 'imagenet-r')] == [200, 200]
    # The first of each, from the publications: stingray, and goldfish.
    assert ids[VARIANTS['imagenet-a'].classes[0]] == 'n01498041'
    assert ids[VARIANTS['imagenet-r'].classes[0]] == 'n01443537'


def test_class_numbers_are_numbers_ids_or_places():
    assert class_numbers(['0', '10', '2'], 1000, '') == {'0': 0, '10': 10, '2': 2}
    assert class_numbers(['n01443537'], 1000, '') == {'n01443537': 1}
    assert class_numbers(['cat', 'dog'], 2, '') == {'cat': 0, 'dog': 1}
    assert class_numbers(['1', '10', '2'], 11, '') == {'1': 1, '10': 2, '2': 3}
    with pytest.raises(DataError, match='of which cat is no class of a classifier of 1000'):
        class_numbers(['cat', 'n01443537'], 1000, 'here')


def test_mean_corruption_error_of_alexnet_is_100():
    assert mean_corruption_error(ALEXNET_ERRORS) == pytest.approx(100)
    half = {name: error / 2 for name, error in ALEXNET_ERRORS.items()}
    assert mean_corruption_error(half) == pytest.approx(50)


def sample(scores, label, **more):
    return {'pred_score': torch.tensor(scores), 'gt_label': torch.tensor([label]), **more}


def test_corruption_error_is_the_mean_of_relative_errors():
    metric = CorruptionError()
    for name in ALEXNET_ERRORS:
        right = name == 'snow'
        scores = [0.1, 0.9] if right else [0.9, 0.1]
        metric.process(None, [sample(scores, 1, corruption=name)] * 2)
    wanted = {name: float(name != 'snow') for name in ALEXNET_ERRORS}
    found = metric.evaluate(30)
    assert found['mCE'] == pytest.approx(mean_corruption_error(wanted))
    assert found['accuracy/top1'] == pytest.approx(100 / 15)


def test_accuracy_of_a_subset_predicts_its_classes_alone():
    samples = [sample([0.5, 0.3, 0.2], 1), sample([0.5, 0.2, 0.3], 1)]
    whole, part = Accuracy(), Accuracy(classes=[1, 2])
    for metric in (whole, part):
        metric.process(None, samples)
    assert whole.evaluate(2) == {'accuracy/top1': 0}
    assert part.evaluate(2) == {'accuracy/top1': 50}


def test_accuracy_of_a_subset_of_fewer_classes_predicts_those_that_it_has():
    metric = Accuracy(classes=[1, 2, 500])
    metric.process(None, [sample([0.5, 0.3, 0.2], 1)])
    assert metric.evaluate(1) == {'accuracy/top1': 100}


def test_accuracy_of_real_labels_takes_any_of_them(tmp_path):
    path = tmp_path / 'real.json'
    path.write_text(json.dumps([[0, 2], [1]]))
    metric = Accuracy(labels_file=str(path))
    names = [f'val/ILSVRC2012_val_0000000{n}.JPEG' for n in (1, 2)]
    scores = [0.2, 0.1, 0.7]
    metric.process(None, [sample(scores, 1, img_path=name) for name in names])
    assert metric.evaluate(2) == {'accuracy/top1': 50}


@pytest.fixture
def layouts(toy_root, tmp_path):
    """Class folders of the embedded digits as V2 and as C."""
    source = toy_root / 'imagenet' / 'val'
    folders = sorted(folder for folder in source.iterdir() if folder.is_dir())
    for number, folder in enumerate(folders):
        target = tmp_path / 'v2' / str(number)
        target.mkdir(parents=True)
        shutil.copy(next(folder.glob('*.JPEG')), target)
    for corruption in ALEXNET_ERRORS:
        for severity in range(1, 6):
            place = tmp_path / 'c' / 'group' / corruption / str(severity)
            place.mkdir(parents=True)
            for folder in folders:
                (place / folder.name).symlink_to(tmp_path / 'v2' / str(folders.index(folder)))
    return tmp_path


def test_variants_are_read_in_their_layouts(layouts):
    v2 = ImageNetVariant(variant='imagenet-v2', num_classes=10, data_root=str(layouts / 'v2'))
    assert [v2.get_data_info(i)['gt_label'] for i in range(10)] == list(range(10))
    c = ImageNetVariant(variant='imagenet-c', num_classes=10, data_root=str(layouts / 'c'))
    assert len(c) == 10 * 5 * 15
    assert {c.get_data_info(i)['corruption'] for i in range(len(c))} == set(ALEXNET_ERRORS)
    shutil.rmtree(layouts / 'c' / 'group' / 'snow' / '3')
    with pytest.raises(DataError, match='has no snow/1 to snow/5'):
        ImageNetVariant(variant='imagenet-c', num_classes=10, data_root=str(layouts / 'c'))


@pytest.mark.parametrize(
    ('name', 'source', 'archive'),
    [('imagenet-a', 'v2', 'a.tar'), ('imagenet-c', 'c', 'c.zip')],
    ids=['A in a tar', 'C in a zip'],
)
def test_variants_are_read_from_archives(name, source, archive, layouts):
    (layouts / name).symlink_to(source)  # as the release calls the folder in its archive
    names = [f'{name}/{file}' for file in list_files(layouts / name, ('',)).files]
    pack(layouts, layouts / archive, names)

    folder, packed = (
        ImageNetVariant(variant=name, num_classes=10, data_root=str(variant_root(place, name)))
        for place in (layouts / name, layouts / archive)
    )

    samples = range(len(names))
    assert len(packed) == len(names)
    assert [packed[i]['gt_label'] for i in samples] == [folder[i]['gt_label'] for i in samples]
    expect = {'val': len(names), 'classes': 10}
    assert CHECKS[name](layouts / archive, CheckOptions(expect=expect)).is_ok


@pytest.mark.parametrize('name', VARIANTS)
def test_variant_that_is_not_there_is_one_message(name, tmp_path):
    where = VARIANTS[name].where
    with pytest.raises(DataError, match=f'neither a folder nor an archive. Get {name} from'):
        ImageNetVariant(variant=name, num_classes=10, data_root=str(tmp_path / 'gone'))
    with pytest.raises(DataError, match=re.escape(where)):
        CHECKS[name](tmp_path / 'gone.zip', CheckOptions())


def test_data_check_of_a_variant_names_what_is_wrong(layouts):
    check = CHECKS['imagenet-v2']
    few = {'val': 10, 'classes': 10}
    assert check(layouts / 'v2', CheckOptions(expect=few, quick=True)).is_ok
    problems = [str(p.message) for p in check(layouts / 'v2', CheckOptions(quick=True)).problems]
    assert problems == [
        'holds 10 class folders, expected 1000',
        'holds 10 images, expected 10,000',
    ]


def test_paths_in_a_test_set_without_folders_between_are_names(tmp_path):
    folders = [tmp_path / name for name in [*list(class_marks())[:2], '.cache', 'cat']]
    for folder in folders:
        folder.mkdir()
        (folder / 'a.JPEG').touch()
    options = CheckOptions(expect={'val': 3}, quick=True)
    report = CHECKS['imagenet-v2'](tmp_path, options)
    assert report.left_out == ['.cache']
    assert report.counts == {'hidden, left out': 1, 'val images': 3}
    assert [problem.path for problem in report.problems] == [tmp_path.as_posix()]
    for name in list(class_marks())[2:-1]:
        (tmp_path / name).mkdir()
    report = CHECKS['imagenet-v2'](tmp_path, options)
    assert [problem.path for problem in report.problems] == ['cat']


def test_embedded_variant_holds_what_the_check_expects(toy_root):
    report = CHECKS['imagenet-r'](toy_root / 'imagenet-r', CheckOptions())
    assert report.problems == []
    assert report.counts['val images'] > 0


def test_use_variant_changes_the_test_and_its_protocol():
    cfg = load_config(FINETUNE)
    pipeline = cfg.test_dataloader.dataset.pipeline
    use_variant(cfg, 'imagenet-a', 'there')
    assert cfg.protocol.task == 'imagenet-a'
    assert cfg.protocol.name == 'toy-ft-imagenet-a'
    assert cfg.test_dataloader.dataset.data_root == 'there/'
    assert cfg.test_dataloader.dataset.pipeline == pipeline
    assert len(cfg.test_evaluator.classes) == 200
    with pytest.raises(ConfigError, match=r"no such test set\. Did you mean 'imagenet-a'"):
        use_variant(cfg, 'imagenet-aa')
    segmentor = load_config('configs/demo/knn_vit-toy_1xb8_toy-ade20k-128px.py')
    with pytest.raises(ConfigError, match='tests a fine-tuned classifier or probes'):
        use_variant(segmentor, 'imagenet-a')


@pytest.mark.parametrize(
    ('name', 'tasks'),
    [
        (
            'imagenet-a',
            {
                'imagenet-a-knn': ['knn_top1', 'knn_top5'],
                'imagenet-a-linear': ['linear_top1', 'linear_top5'],
            },
        ),
        (
            'imagenet-c',
            {
                'imagenet-c-knn': ['knn_mCE', 'knn_top1'],
                'imagenet-c-linear': ['linear_mCE', 'linear_top1'],
            },
        ),
    ],
)
def test_use_variant_of_probes_has_a_task_for_each(name, tasks):
    cfg = load_config(PROBE)
    use_variant(cfg, name, 'there')
    assert {task['task']: task['metrics'] for task in cfg.protocol.tasks} == tasks
    assert cfg.protocol.name == f'toy-probe-{name}'
    assert 'bank_dataloader' not in cfg.test_cfg
    for task, metrics in tasks.items():
        assert metrics[0] in ranking_metrics(task)


def test_use_variant_of_a_probe_of_one_task_measures_its_probes():
    cfg = load_config(PROBE)
    cfg.protocol = dict(name='own', task='in1k-knn')
    use_variant(cfg, 'imagenet-c', 'there')
    (task,) = cfg.protocol.tasks
    assert task['task'] == 'imagenet-c-knn'
    assert task['metrics'] == ['knn_mCE', 'knn_top1', 'linear_mCE', 'linear_top1']


@pytest.mark.slow
def test_probes_are_tested_on_a_variant_without_training(toy_root, layouts, tmp_path, monkeypatch):
    """On the validation images themselves the scores are those of the probes."""
    whole = tmp_path / 'whole'
    whole.mkdir()
    source = toy_root / 'imagenet' / 'val'
    folders = sorted(folder for folder in source.iterdir() if folder.is_dir())
    for number, folder in enumerate(folders):
        (whole / str(number)).symlink_to(folder)
    common = {'config': PROBE, 'seed': 0}
    first = test(
        Launch(**common, work_dir=str(tmp_path / 'probe'), data_root=str(toy_root / 'imagenet'))
    )
    for module in ('attentive.AttentiveSweep', 'linear.LinearSweep'):
        path = f'mim_bench.evaluation.probes.{module}.train'
        monkeypatch.setattr(path, lambda *_: pytest.fail('trained'))

    def on(variant, root):
        work_dir = str(tmp_path / variant)
        model = str(tmp_path / 'probe')
        return test(
            Launch(
                **common, work_dir=work_dir, load_from=model, variant=variant, data_root=str(root)
            )
        )

    again = on('imagenet-v2', whole)
    assert set(again) == {'knn/top1', 'knn/top5', 'linear/top1', 'linear/top5'}
    assert again == pytest.approx({key: first[key] for key in again})
    assert set(on('imagenet-c', layouts / 'c')) == {
        *('knn/mCE', 'knn/top1', 'linear/mCE', 'linear/top1')
    }
    few = on('imagenet-r', toy_root / 'imagenet-r')
    assert few['knn/top1'] > 0
    with pytest.raises(ConfigError, match='no fitted probes'):
        test(Launch(**common, load_from=str(tmp_path), variant='imagenet-v2', data_root=str(whole)))
