"""Patches and back, by pencil."""

import torch

from mim_bench.targets.pixels import normalize_patches, patchify, unpatchify


def test_patchify_lays_a_vector_out_as_row_column_channel():
    image = torch.arange(2 * 2 * 4).reshape(1, 2, 2, 4)  # two channels, 2 x 4 pixels
    patches = patchify(image, 2)
    assert patches[0].tolist() == [[0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]]


def test_unpatchify_undoes_patchify():
    images = torch.randn(2, 3, 8, 12)
    assert torch.equal(unpatchify(patchify(images, 4), (2, 3), 4), images)


def test_normalize_patches_uses_the_unbiased_variance():
    patch = torch.tensor([[1.0, 3.0]])  # mean 2, unbiased variance 2
    expected = torch.tensor([[-1.0, 1.0]]) / (2 + 1e-6) ** 0.5
    torch.testing.assert_close(normalize_patches(patch), expected)
