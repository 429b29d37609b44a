"""Which checkpoint a run is of, where no canonical file says it."""

from copy import deepcopy

import pytest
import torch
from mmengine.config import Config

from mim_bench.conversion import inspection
from mim_bench.engine.checkpoint_identity import (
    UNKNOWN_START,
    input_side,
    pretraining_facts,
    record_checkpoint,
    run_facts,
    start_facts,
)
from mim_bench.engine.launch import Launch, resolve
from mim_bench.recipe.building import build_model
from mim_bench.testing.config_names import PATHS, load

START = {'method': 'mae', 'pretrain_epochs': 800, 'labels': [], 'sha256': 'ab' * 32}
BACKBONE = {'type': 'mim_bench.ViT'}


def config(backbone=BACKBONE, **more):
    return Config({'model': {'backbone': backbone}, **more})


@pytest.fixture
def model(tmp_path):
    """A whole model that was fine-tuned from START."""
    own = {'task': 'in1k-ft', 'protocol': 'p', 'version': '1', 'start': START}
    state = {'backbone.x': torch.zeros(2), 'head.fc.weight': torch.zeros(10, 2)}
    torch.save({'state_dict': state, 'meta': {'mim_bench': own}}, tmp_path / 'model.pth')
    return str(tmp_path / 'model.pth')


def test_start_facts_of_a_test_are_those_that_the_model_was_trained_from(model):
    assert start_facts(config(load_from=model), None, is_test=True) == START


def test_start_facts_of_a_training_from_a_whole_model_have_its_labels(model):
    facts = start_facts(config(load_from=model), None)
    assert (facts['method'], facts['labels']) == ('mae', ['in1k'])


@pytest.mark.parametrize(
    ('changes', 'method', 'labels'),
    [
        ({}, 'random', []),
        ({'load_from': 'iter_3.pth', 'resume': True}, 'random', []),
        ({'load_from': 'gone.pth'}, 'unknown', None),
        ({'backbone': {'init_cfg': {'type': 'Pretrained', 'checkpoint': 'x'}}}, 'unknown', None),
    ],
)
def test_start_facts_without_a_file(changes, method, labels):
    facts = start_facts(config(**changes), None)
    assert (facts['method'], facts.get('labels')) == (method, labels)


def test_pretraining_facts_have_the_labels_of_the_start_and_the_side_of_the_crop():
    pipeline = [{'type': 'RandomResizedCrop', 'scale': 192}, {'type': 'RandomFlip', 'prob': 0.5}]
    cfg = config(
        pretraining={'method': 'simmim', 'epochs': 100, 'data': 'in1k'},
        train_dataloader={'dataset': {'pipeline': pipeline}},
    )
    facts = pretraining_facts(cfg, {'labels': ['in22k']})
    assert (facts['method'], facts['pretrain_epochs'], facts['pretrain_data']) == (
        'simmim', 100, 'in1k',
    )  # fmt: skip
    assert (facts['labels'], facts['img_size']) == (['in22k'], 192)
    assert run_facts(cfg, START)['img_size'] == 192
    assert input_side(config()) is None


def test_record_checkpoint_takes_what_is_stated_first():
    stated = {'id': 'mine', 'method': 'dino', 'labels': None}
    fields = record_checkpoint(config(), stated, START)
    assert (fields['method'], fields['labels'], fields['backbone']) == ('dino', None, 'ViT')
    assert fields['known_from'] == {'method': 'stated', 'labels': 'stated'}
    unnamed = record_checkpoint(config(backbone_checkpoint='a/b.pth'), {}, UNKNOWN_START)
    assert (unnamed['id'], unnamed['method']) == ('b', 'unknown')


def test_start_is_read_once_for_the_network_the_hash_and_the_identity(tmp_path, monkeypatch):
    reads = []
    real = inspection.read_checkpoint
    monkeypatch.setattr(
        inspection, 'read_checkpoint', lambda path: (reads.append(path), real(path))[1]
    )
    config = next(path for path in PATHS if path.stem.startswith('finetune_swin-toy'))
    cfg = deepcopy(load(config))  # which the building changes
    backbone = build_model(cfg).backbone.state_dict()
    arch = dict(cfg.model.backbone.arch)
    meta = dict(
        origin_sha256='ab' * 32,
        backbone_type=cfg.model.backbone.type,
        arch=dict(arch, norms=[]),
        labels=['in1k'],
    )
    state = {f'backbone.{key}': value for key, value in backbone.items()}
    for times in (1, 2):
        torch.save({'state_dict': state, 'meta': meta}, tmp_path / 'start.pth')
        launch = Launch(
            str(config), checkpoint=str(tmp_path / 'start.pth'), fit_backbone=True,
            work_dir=str(tmp_path), results_dir=str(tmp_path / 'results'),
        )  # fmt: skip
        found = resolve(launch, is_test=False)
        assert found.protocol_start['labels'] == meta['labels']
        assert found.custom_hooks[-1].checkpoint.labels == meta['labels']
        assert len(reads) == times
        meta['labels'] = ['coco', 'in1k']  # another file: it is read again
