import numpy as np
import pytest
import torch

from mim_bench.conversion.containers import TOP_LEVEL, open_container
from mim_bench.errors import ConversionError

ONE, TWO = torch.ones(1), torch.full((1,), 2.0)


@pytest.mark.parametrize(
    'state',
    [
        {'module.a.b': ONE},
        {'_orig_mod.a.b': ONE},
        {'module._orig_mod.a.b': ONE},
        {'_orig_mod.module.a.b': ONE},
        {'model.a.b': ONE},
        {'module.model.a.b': ONE},
    ],
    ids=lambda state: next(iter(state)),
)
@pytest.mark.parametrize('container', ['state_dict', 'model', 'module', TOP_LEVEL])
def test_open_container_takes_wrappers_away(state, container):
    weights = open_container(state if container == TOP_LEVEL else {container: state}, 'a.pth')
    assert (weights.state, weights.container) == ({'a.b': ONE}, container)


def test_open_container_prefix_of_some_keys_only_is_a_name():
    state = {'model.a': ONE, 'head.a': TWO}
    assert open_container(state, 'a.pth').state == state


def test_open_container_prefers_the_model_and_says_what_else_there_is():
    content = {'model_ema': {'a': TWO}, 'model': {'a': ONE}}
    weights = open_container(content, 'a.pth')
    assert (weights.state, weights.others) == ({'a': ONE}, ['model_ema'])


@pytest.mark.parametrize('name', ['model_ema', 'state_dict_ema', 'ema_state_dict'])
def test_open_container_takes_the_average_if_asked(name):
    content = {'model': {'a': ONE}, name: {'module.a': TWO, 'steps': torch.tensor(3)}}
    weights = open_container(content, 'a.pth', use_ema=True)
    assert (weights.state, weights.container, weights.others) == ({'a': TWO}, name, ['model'])


def test_open_container_without_an_average_raises():
    with pytest.raises(ConversionError, match=r'a\.pth: holds no average .*found model\)'):
        open_container({'model': {'a': ONE}}, 'a.pth', use_ema=True)


def test_open_container_with_an_average_alone_says_how_to_take_it():
    with pytest.raises(ConversionError, match=r'Take model_ema, an average, .* --use-ema'):
        open_container({'epoch': 3, 'model_ema': {'a': ONE}}, 'a.pth')


@pytest.mark.parametrize('key', ['model', 'a'])
def test_open_container_with_arrays_says_how_to_save_them(key):
    content = {'model': {'b': np.zeros(2)}} if key == 'model' else {'a': np.zeros(2)}
    with pytest.raises(ConversionError, match=r'a\.pth: holds NumPy arrays \([ab]\)'):
        open_container(content, 'a.pth')


def test_open_container_leaves_out_what_has_a_number_for_a_name():
    assert open_container({0: ONE, 'a': TWO}, 'a.pth').state == {'a': TWO}


def test_open_container_without_weights_raises_and_says_what_there_is():
    with pytest.raises(ConversionError, match=r'a\.pth: has no weights .*it has epoch, args'):
        open_container({'epoch': 3, 'args': None}, 'a.pth')
