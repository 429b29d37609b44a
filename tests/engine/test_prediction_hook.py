from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from PIL import Image

from mim_bench.engine.hooks.prediction_hook import PredictionHook
from mim_bench.engine.run_record import save_artifacts
from mim_bench.errors import ConfigError
from mim_bench.visualization.overlays import show_image

META = {'classes': ('ground', 'thing'), 'palette': [[0, 0, 0], [250, 0, 0]]}


@pytest.fixture
def image_path(tmp_path):
    Image.new('RGB', (32, 16), (100, 100, 100)).save(tmp_path / 'image.png')
    return str(tmp_path / 'image.png')


@pytest.fixture
def runner(tmp_path):
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=META))
    return SimpleNamespace(
        work_dir=str(tmp_path / 'run'), hooks=[], train_loop=None, epoch=3, iter=70,
        val_dataloader=loader, test_dataloader=loader,
    )  # fmt: skip


def segmented(path):
    sample = BaseDataElement(metainfo={'img_path': path})
    sample.gt_sem_seg = PixelData(data=torch.zeros(1, 16, 32, dtype=torch.long))
    sample.pred_sem_seg = PixelData(data=torch.ones(1, 16, 32, dtype=torch.long))
    return sample


def detected(path):
    sample = BaseDataElement(metainfo={'img_path': path})
    boxes = torch.tensor([[2.0, 2, 12, 12], [18, 2, 30, 12]])
    masks = torch.zeros(2, 16, 32, dtype=torch.bool)
    masks[0, 2:12, 2:12] = masks[1, 2:12, 18:30] = True
    labels = torch.tensor([0, 1])
    sample.gt_instances = InstanceData(bboxes=boxes, labels=labels, masks=masks.numpy())
    sample.pred_instances = InstanceData(
        bboxes=boxes, labels=labels, scores=torch.tensor([0.9, 0.2]), masks=masks
    )
    return sample


def validate(hook, runner, batches):
    hook.before_val_epoch(runner)
    for index, outputs in enumerate(batches):
        hook.after_val_iter(runner, index, None, outputs)
    hook.after_val_epoch(runner, {})
    folder = Path(runner.work_dir) / 'predictions'
    return {path.name: np.asarray(Image.open(path)) for path in folder.glob('*')}


def test_prediction_hook_segmentation_rows_show_input_truth_and_prediction(runner, image_path):
    sample = segmented(image_path)
    pictures = validate(PredictionHook(num_images=3), runner, [[sample, sample], [sample, sample]])
    assert list(pictures) == ['segmentation_epoch_3.png']
    picture = pictures['segmentation_epoch_3.png']
    assert picture.shape == (3 * 160 + 4, 3 * 320 + 4, 3)  # 3 of the 4 images
    # Columns begin at 0, 322 and 644; the palette enters with a share of 0.6.
    assert picture[80, 160].tolist() == [100, 100, 100]
    assert picture[80, 482].tolist() == [40, 40, 40]
    assert picture[80, 804].tolist() == [190, 40, 40]


def test_prediction_hook_detection_leaves_out_low_scores(runner, image_path):
    picture = validate(PredictionHook(), runner, [[detected(image_path)]])['detection_epoch_3.png']
    plain = show_image(np.full((16, 32, 3), 100, np.uint8))
    truth, predicted = picture[:, 322:642], picture[:, 644:964]
    right = slice(180, 300)  # where the second object is, with a score of 0.2
    assert not np.array_equal(truth[:, right], plain[:, right])
    assert np.array_equal(predicted[:, right], plain[:, right])
    assert not np.array_equal(predicted[:, :120], plain[:, :120])


def test_prediction_hook_iteration_based_run_names_the_iteration(runner, image_path, monkeypatch):
    from mim_bench.engine.hooks import prediction_hook

    monkeypatch.setattr(prediction_hook, 'IterBasedTrainLoop', type(None))
    assert list(validate(PredictionHook(), runner, [[segmented(image_path)]])) == [
        'segmentation_iter_70.png'
    ]


def test_prediction_hook_test_run_has_its_own_picture(runner, image_path):
    hook = PredictionHook()
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, None, [segmented(image_path)])
    hook.after_test_epoch(runner, {})
    assert (Path(runner.work_dir) / 'predictions' / 'segmentation_test.png').is_file()


def test_prediction_hook_other_tasks_and_absent_images_give_no_picture(runner, tmp_path):
    classified = BaseDataElement(metainfo={'img_path': 'a.png'})
    absent = segmented(str(tmp_path / 'absent.png'))
    assert validate(PredictionHook(), runner, [[classified, absent], None]) == {}


def test_prediction_hook_without_images_raises():
    with pytest.raises(ConfigError, match='num_images = 0'):
        PredictionHook(num_images=0)


@pytest.mark.parametrize(('kind', 'make'), [('segmentation', segmented), ('detection', detected)])
def test_a_record_takes_the_predictions(runner, image_path, tmp_path, kind, make):
    validate(PredictionHook(), runner, [[make(image_path)]])
    artifacts = save_artifacts(Path(runner.work_dir), tmp_path / 'record')
    (picture,) = artifacts.pictures
    assert (picture.kind, picture.caption) == (kind, 'Input, truth, predicted')
    assert (tmp_path / 'record' / picture.path).is_file()
