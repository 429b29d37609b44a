import pytest
from mmengine.config import Config

from mim_bench.errors import ConfigError
from mim_bench.recipe.building import build_model, train_pipeline, without_pretrained


def config(**content):
    return Config(content)


def test_build_model_takes_the_preprocessor_from_the_top():
    cfg = config(
        default_scope='mmpretrain',
        data_preprocessor=dict(type='ClsDataPreprocessor', mean=[1.0] * 3, std=[2.0] * 3),
        model=dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18)),
    )
    model = build_model(cfg)
    assert model.data_preprocessor.mean.flatten().tolist() == [1.0] * 3
    assert 'data_preprocessor' not in cfg.model


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (dict(type='NoSuchNet'), r"there is no 'NoSuchNet'"),
        (dict(type='ImageClassifier', spine=3), r".*does not take the key 'spine'"),
        ({}, r'has no model'),
    ],
)
def test_build_model_slip_is_one_clear_error(model, message):
    with pytest.raises(ConfigError, match=message):
        build_model(config(default_scope='mmpretrain', model=model))


def test_train_pipeline_looks_inside_of_wrapped_datasets():
    inner = dict(type='ImageNet', pipeline=[dict(type='PackInputs')])
    cfg = config(train_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=inner)))
    assert train_pipeline(cfg) == [dict(type='PackInputs')]


def test_train_pipeline_config_without_training_raises():
    with pytest.raises(ConfigError, match='has no train_dataloader'):
        train_pipeline(config(model=dict(type='X')))


def model_with_files():
    named = dict(type='Pretrained', checkpoint='swin.pth')
    waiting = dict(type='Pretrained', checkpoint=None)
    return dict(
        backbone=dict(init_cfg=named, stem=dict(init_cfg=dict(type='Normal'))),
        target_generator=dict(init_cfg=waiting),
    )


def test_without_pretrained_drops_every_file_and_names_the_parts():
    cfg = config(model=model_with_files())
    copy, parts = without_pretrained(cfg)
    assert parts == ['model.backbone', 'model.target_generator']
    assert copy.model.backbone.init_cfg is None
    assert copy.model.backbone.stem.init_cfg.type == 'Normal'
    assert cfg.model.backbone.init_cfg.checkpoint == 'swin.pth'


def test_without_pretrained_missing_only_keeps_what_is_named():
    copy, parts = without_pretrained(config(model=model_with_files()), missing_only=True)
    assert parts == ['model.target_generator']
    assert copy.model.backbone.init_cfg.checkpoint == 'swin.pth'


def test_without_pretrained_reaches_the_parts_of_a_list():
    necks = [dict(type='A'), dict(type='B', init_cfg=dict(type='Pretrained', checkpoint=None))]
    copy, parts = without_pretrained(config(model=dict(neck=necks)))
    assert parts == ['model.neck.1']
    assert copy.model.neck[1].init_cfg is None
