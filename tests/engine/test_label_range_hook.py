from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import nn

from mim_bench.data.summary import Summary
from mim_bench.engine.hooks.label_range_hook import LabelRangeHook, count_classes
from mim_bench.errors import DataError


def model_with(path, num_classes=3):
    """A model whose attribute of this path is a head."""
    head = nn.Module()
    head.num_classes = num_classes
    for name in reversed(path.split('.')):
        inner, head = head, nn.Module()
        setattr(head, name, inner)
    return head


def classified(labels):
    return BaseDataElement(gt_label=torch.tensor(labels))


def segmented(labels):
    return BaseDataElement(gt_sem_seg=PixelData(data=torch.tensor([labels])))


def detected(labels):
    return BaseDataElement(gt_instances=InstanceData(labels=torch.tensor(labels)))


def check(sample, moment='train', model=None):
    sample.set_metainfo({'img_path': 'a.jpg'})
    runner = SimpleNamespace(model=model or model_with('head'))
    getattr(LabelRangeHook(), f'before_{moment}_iter')(runner, 0, {'data_samples': [sample]})


@pytest.mark.parametrize(
    ('sample', 'label'),
    [
        (classified([3]), 3),
        (segmented([[0, 1], [2, 7]]), 7),
        (segmented([[0, 255], [254, 2]]), 254),
        (segmented([[0, 255], [3, 2]]), 3),
        (segmented([[0, 256], [255, 2]]), 256),
        (segmented([[0, -1], [255, 2]]), -1),
        (detected([0, -1, 2]), -1),
    ],
)
@pytest.mark.parametrize('moment', ['train', 'val', 'test'])
def test_label_range_hook_label_without_class_names_image_and_label(sample, label, moment):
    with pytest.raises(DataError, match=rf'a\.jpg: .*label {label}, but the model has 3 classes'):
        check(sample, moment)


@pytest.mark.parametrize('labels', [
    [torch.tensor([0]), torch.tensor([5])],
    [torch.tensor(0), torch.tensor(5)],
    [torch.tensor([0]), [5]],
    [None, torch.tensor([5])],
], ids=['tensors', 'numbers', 'a list', 'one without'])  # fmt: skip
def test_label_range_hook_reads_classes_in_every_form(labels):
    samples = [BaseDataElement(metainfo={'img_path': name}) for name in 'ab']
    for sample, label in zip(samples, labels, strict=True):
        if label is not None:
            sample.set_field(label, 'gt_label')
    runner = SimpleNamespace(model=model_with('head'))
    with pytest.raises(DataError, match=r'b: .*label 5,'):
        LabelRangeHook().before_train_iter(runner, 0, {'data_samples': samples})


@pytest.mark.parametrize(('class_images', 'is_read'), [
    ({0: 9, 2: 1}, False), ({0: 9, 3: 1}, True), (None, True), ({}, True),
])  # fmt: skip
def test_label_range_hook_reads_no_batch_of_data_that_know_their_classes(class_images, is_read):
    data = SimpleNamespace(summary=Summary('data', 10, class_images=class_images))
    loader = SimpleNamespace(dataset=SimpleNamespace(dataset=data))
    runner = SimpleNamespace(
        model=model_with('head'), train_dataloader=loader, val_dataloader=loader
    )
    hook = LabelRangeHook()
    hook.before_train(runner)
    hook.before_val(runner)
    batch = {'data_samples': [classified([3])]}
    for check_batch in (hook.before_train_iter, hook.before_val_iter):
        with pytest.raises(DataError) if is_read else nullcontext():
            check_batch(runner, 0, batch)


def test_label_range_hook_of_a_batch_names_the_image_that_is_wrong():
    samples = [detected([0, 1]), detected([]), detected([2, 5]), detected([7])]
    for name, sample in zip('abcd', samples, strict=True):
        sample.set_metainfo({'img_path': f'{name}.jpg'})
    runner = SimpleNamespace(model=model_with('head'))
    with pytest.raises(DataError, match=r'c\.jpg: .*label 5,'):
        LabelRangeHook().before_train_iter(runner, 0, {'data_samples': samples})


@pytest.mark.parametrize(
    'sample',
    [classified([2]), segmented([[0, 255], [1, 2]]), detected([0, 2]), detected([])],
)
def test_label_range_hook_labels_of_the_classes_and_ignored_ones_pass(sample):
    check(sample)


def test_label_range_hook_batch_without_labels_passes():
    check(BaseDataElement())
    LabelRangeHook().before_train_iter(SimpleNamespace(model=model_with('head')), 0, [1, 2])


def test_label_range_hook_model_without_classes_passes():
    check(classified([99]), model=nn.Linear(1, 1))


@pytest.mark.parametrize('path', ['decode_head', 'roi_head.bbox_head', 'bbox_head', 'head'])
def test_count_classes_finds_the_head_of_each_library(path):
    assert count_classes(model_with(path, 7)) == 7


def test_count_classes_cascade_counts_its_first_stage():
    model = nn.Module()
    model.decode_head = nn.ModuleList([model_with('head', 5).head])
    assert count_classes(model) == 5


def htc(stuff_label):
    """A sample of mmdet with objects of class 1 and one pixel of stuff besides ignored ones."""
    return BaseDataElement(
        gt_instances=InstanceData(labels=torch.tensor([1])),
        gt_sem_seg=PixelData(sem_seg=torch.tensor([[[stuff_label, 255]]])),
    )


def with_stuff_branch(num_stuff):
    model = model_with('roi_head.bbox_head')
    model.roi_head.semantic_head = nn.Module()
    model.roi_head.semantic_head.num_classes = num_stuff
    return model


def test_label_range_hook_stuff_label_without_class_names_it():
    with pytest.raises(DataError, match=r'a\.jpg: .*label 11, but the model has 11 classes'):
        check(htc(11), model=with_stuff_branch(11))


def test_label_range_hook_stuff_labels_have_classes_of_their_own():
    # More than the three classes of objects.
    check(htc(10), model=with_stuff_branch(11))
    check(htc(10), model=model_with('roi_head.bbox_head'))
