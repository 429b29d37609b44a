import pytest

from mim_bench.conversion.arch_options import apply_arch, parse_arch
from mim_bench.conversion.architecture import UMMAE_PVT, VIT, Architecture
from mim_bench.errors import ConversionError

FOUND = Architecture(VIT, {'embed_dims': 32, 'num_layers': 3, 'num_heads': 1}, ['num_heads'])
PYRAMID = Architecture(UMMAE_PVT, {'embed_dims': [8, 16], 'num_heads': [1, 1]}, ['num_heads'])


def test_parse_arch_reads_numbers_lists_and_words():
    words = ['num_heads=4', 'depths=[1, 2]', 'abs_pos=none']
    assert parse_arch(words) == {'num_heads': 4, 'depths': [1, 2], 'abs_pos': 'none'}


def test_parse_arch_name_is_the_vit_of_the_papers():
    sizes = dict(embed_dims=384, num_layers=12, num_heads=6, feedforward_channels=1536)
    assert parse_arch(['small']) == sizes


def test_parse_arch_unknown_name_raises_with_a_near_one():
    with pytest.raises(ConversionError, match=r"--arch bas: is neither .*Did you mean 'base'"):
        parse_arch(['bas'])


def test_apply_arch_accepts_what_the_weights_say():
    assert apply_arch(FOUND, {'num_layers': 3}, 'a.pth').assumed == ['num_heads']


def test_apply_arch_unknown_key_raises_with_a_near_one():
    with pytest.raises(ConversionError, match=r"no 'num_head' .*Did you mean 'num_heads'"):
        apply_arch(FOUND, {'num_head': 4}, 'a.pth')


def test_apply_arch_takes_what_leaves_no_trace():
    arch = apply_arch(PYRAMID, {'sr_ratios': (8, 4), 'num_heads': (1, 2)}, 'a.pth').arch
    assert (arch['sr_ratios'], arch['num_heads']) == ([8, 4], [1, 2])


@pytest.mark.parametrize(
    ('found', 'heads'), [(FOUND, 5), (FOUND, 0), (FOUND, [4]), (PYRAMID, [3, 1]), (PYRAMID, [1])]
)
def test_apply_arch_heads_that_do_not_divide_raise(found, heads):
    with pytest.raises(ConversionError, match='does not divide the width'):
        apply_arch(found, {'num_heads': heads}, 'a.pth')
