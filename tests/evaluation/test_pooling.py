from types import SimpleNamespace

import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.evaluation.probes.pooling import backbone_outputs, pool

TOKENS = torch.tensor([[[9.0, 9.0], [1.0, 2.0], [3.0, 6.0]]])  # (1, class token + 2, 2)


def test_pool_gap_of_a_map_is_its_mean():
    image_map = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert pool(image_map, 'gap', SimpleNamespace()).tolist() == [[1.5, 5.5]]


def test_pool_cls_of_tokens_is_the_first():
    assert pool(TOKENS, 'cls', SimpleNamespace(num_extra_tokens=1)).tolist() == [[9.0, 9.0]]


def test_pool_gap_of_tokens_leaves_the_class_token_out():
    assert pool(TOKENS, 'gap', SimpleNamespace(num_extra_tokens=1)).tolist() == [[2.0, 4.0]]


def test_pool_vector_of_the_matching_kind_is_taken_as_it_is():
    vector = torch.ones(2, 3)
    assert pool(vector, 'cls', SimpleNamespace(out_type='cls_token')) is vector


@pytest.mark.parametrize(
    ('features', 'pooling', 'backbone'),
    [
        (torch.zeros(1, 2, 4, 4), 'cls', SimpleNamespace()),
        (TOKENS, 'cls', SimpleNamespace(num_extra_tokens=0)),
        (TOKENS, 'gap', SimpleNamespace()),
        (torch.zeros(2, 3), 'gap', SimpleNamespace(out_type='cls_token')),
    ],
)
def test_pool_that_does_not_fit_raises(features, pooling, backbone):
    with pytest.raises(ConfigError, match=f"pooling='{pooling}' does not fit features of shape"):
        pool(features, pooling, backbone)


def test_pool_unknown_name_raises():
    with pytest.raises(ConfigError, match="Unknown pooling 'auto'"):
        pool(TOKENS, 'auto', SimpleNamespace())


def test_outputs_of_a_staged_model_are_those_of_the_backbone():
    class Staged:
        def extract_feat(self, inputs, stage='neck'):
            return (inputs, f'{stage} output')

    assert backbone_outputs(Staged(), torch.zeros(1))[-1] == 'backbone output'
