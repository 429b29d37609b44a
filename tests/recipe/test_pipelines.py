"""A child config that overrides a pipeline reaches the loaders."""

import pytest

from mim_bench.recipe.config import load_config

BASE = """
train_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
test_pipeline = [dict(type='LoadImageFromFile')]
train_dataloader = dict(
    dataset=dict(type='Wrapper', dataset=dict(type='ImageNet', pipeline=train_pipeline))
)
val_dataloader = dict(dataset=dict(type='ImageNet', pipeline=test_pipeline))
test_dataloader = val_dataloader
"""
OTHER = "[dict(type='Other')]"
LOADER = f'train_dataloader = dict(dataset=dict(dataset=dict(pipeline={OTHER})))'


@pytest.fixture
def types(tmp_path):
    """The transforms that each loader of a chain of configs reads."""

    def of(*children):
        path = tmp_path / 'base.py'
        path.write_text(BASE)
        for number, text in enumerate(children):
            child = tmp_path / f'child{number}.py'
            child.write_text(f'_base_ = ["./{path.name}"]\n{text}\n')
            path = child
        cfg = load_config(path)
        pipelines = (
            cfg.train_dataloader.dataset.dataset.pipeline,
            cfg.val_dataloader.dataset.pipeline,
            cfg.test_dataloader.dataset.pipeline,
        )
        return tuple([step.type for step in pipeline] for pipeline in pipelines)

    return of


TRAIN, TEST, CHANGED = ['mim_bench.LoadImage', 'PackInputs'], ['mim_bench.LoadImage'], ['Other']


def test_pipelines_without_an_override_stay(types):
    assert types('') == (TRAIN, TEST, TEST)


def test_pipelines_overridden_in_a_child_reach_every_loader(types):
    assert types(f'train_pipeline = {OTHER}') == (CHANGED, TEST, TEST)
    assert types(f'test_pipeline = {OTHER}') == (TRAIN, CHANGED, CHANGED)


def test_pipelines_overridden_in_a_grandparent_still_count(types):
    assert types(f'train_pipeline = {OTHER}', '', 'train_dataloader = dict(batch_size=3)') == (
        CHANGED,
        TEST,
        TEST,
    )


def test_pipelines_written_into_the_loader_count_against_an_older_variable(types):
    assert types(LOADER)[0] == CHANGED
    assert types("train_pipeline = [dict(type='Third')]", LOADER)[0] == CHANGED


def test_pipelines_written_into_the_loader_give_way_to_a_newer_variable(types):
    assert types(LOADER, "train_pipeline = [dict(type='Third')]")[0] == ['Third']
