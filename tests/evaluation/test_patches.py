"""Probes of patches against scikit-learn on its digits, and against label maps drawn by hand."""

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from mim_bench.errors import ConfigError, DataError, TrainingError
from mim_bench.evaluation.probes.patch_classifiers import (
    _held_out,
    check_classifier,
    fit_logistic,
    fit_retrieval,
)
from mim_bench.evaluation.probes.patches import PatchBank, extract_patches, label_shares
from mim_bench.models.heads.patch_probe import PatchProbeHead, joined_maps


def digits(count, start=0):
    data = load_digits()
    rows = slice(start, start + count)
    x = torch.tensor(data.data[rows], dtype=torch.float32)
    return x, torch.tensor(data.target[rows])


def bank_of(x, y, num_images=10):
    shares = F.one_hot(y, 10).float()
    return PatchBank(x, shares, torch.arange(len(x)) * num_images // len(x))


def test_label_shares_are_of_the_labelled_pixels():
    labels = torch.tensor([[0, 0, 1, 255], [0, 1, 255, 255], [2, 2, 255, 255], [2, 7, 255, 255]])
    shares = label_shares(labels, (2, 2), num_classes=3)
    assert shares[0].tolist() == [0.75, 0.25, 0]
    assert shares[1].tolist() == [0, 1, 0]
    assert shares[2].tolist() == [0, 0, 1]  # 7 is no class
    assert shares[3].isnan().all()


def test_label_shares_of_a_grid_that_does_not_divide_the_image():
    shares = label_shares(torch.tensor([[0, 0, 1, 1, 1]]), (1, 2), num_classes=2)
    assert shares.tolist() == [[pytest.approx(2 / 3), pytest.approx(1 / 3)], [0, 1]]


def test_retrieval_is_the_weighted_vote_of_the_nearest():
    x, y = digits(800)
    queries, _ = digits(100, start=900)
    found = fit_retrieval(bank_of(x, y), k=7, temperature=0.05).scores(queries)
    near = NearestNeighbors(n_neighbors=7, metric='cosine').fit(x.numpy())
    distances, rows = near.kneighbors(queries.numpy())
    weights = np.exp((1 - distances) / 0.05)
    weights /= weights.sum(axis=1, keepdims=True)
    wanted = np.zeros((100, 10))
    for place in range(7):
        wanted[np.arange(100), y.numpy()[rows[:, place]]] += weights[:, place]
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-4)


def test_logistic_regression_is_that_of_scikit_learn():
    x, y = digits(600)
    queries, _ = digits(200, start=900)
    bank = bank_of(x, y)
    fitted = fit_logistic(bank, strengths=[0.01, 0.1], tolerance=1e-6)
    mean, std = x.mean(dim=0), (x.var(dim=0, correction=0) + 1e-6).sqrt()
    is_held = _held_out(bank.images, 0.1, seed=0).numpy()
    assert is_held.sum() == 60
    scores = {}
    for strength in (0.01, 0.1):
        model = LogisticRegression(C=strength, max_iter=1000, tol=1e-6)
        standard = ((x - mean) / std).numpy()
        predicted = model.fit(standard[~is_held], y[~is_held]).predict(standard[is_held])
        truth = y.numpy()[is_held]
        ious = [
            ((predicted == c) & (truth == c)).sum() / ((predicted == c) | (truth == c)).sum()
            for c in range(10)
            if ((predicted == c) | (truth == c)).any()
        ]
        scores[strength] = 100 * np.mean(ious)
    best = max(scores, key=scores.get)
    assert fitted.chosen == {
        'logreg/C': best,
        'logreg/holdout_mIoU': pytest.approx(scores[best], abs=1e-6),
    }
    model = LogisticRegression(C=best, max_iter=1000, tol=1e-6).fit(standard, y)
    wanted = model.predict_proba(((queries - mean) / std).numpy())
    found = fitted.scores(queries).softmax(dim=1)
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-3)


@pytest.mark.parametrize(
    ('name', 'settings', 'message'),
    [
        ('knnn', {}, "Unknown classifier of patches 'knnn'. Did you mean 'knn'"),
        ('knn', {'K': 1}, "'knn' has no setting K. Known: k, temperature"),
    ],
)
def test_check_classifier_names_what_is_known(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        check_classifier(name, settings)


def test_retrieval_of_more_neighbours_than_patches_raises():
    with pytest.raises(ConfigError, match='k = 30 with a bank of 10'):
        fit_retrieval(bank_of(*digits(10)))


class Scenes(nn.Module):
    """A segmentor whose features are the images themselves."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def data_preprocessor(self, batch, training):
        return {
            'inputs': torch.stack([sample['inputs'] for sample in batch]),
            'data_samples': [sample['data_samples'] for sample in batch],
        }

    def extract_feat(self, inputs):
        return (F.avg_pool2d(inputs, 2),)


def scenes(count, labels=None):
    samples = []
    for image in range(count):
        pixels = torch.arange(16.0).reshape(1, 4, 4) + 100 * image
        truth = torch.arange(16).reshape(4, 4) // 8 if labels is None else labels
        sample = BaseDataElement(gt_sem_seg=PixelData(data=truth[None]))
        samples.append({'inputs': pixels, 'data_samples': sample})
    return DataLoader(samples, batch_size=2, collate_fn=lambda batch: batch)


@pytest.mark.parametrize('sampling', ['uniform', 'rare'])
def test_extract_patches_takes_as_many_of_each_image(tmp_path, sampling):
    settings = dict(num_classes=2, num_patches=10, sampling=sampling, dtype='float32')
    bank = extract_patches(Scenes(), scenes(5), tmp_path, **settings)
    assert bank.images.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    x, shares = bank.x[:], bank.shares[:]
    assert ((x[:, 0] // 100).long() == bank.images).all()
    # The upper patches (2.5 and 4.5) are of class 0, the lower ones of class 1.
    assert (shares[:, 1] == (x[:, 0] % 100 > 8)).all()
    (tmp_path / 'again').mkdir()
    again = extract_patches(Scenes(), scenes(5), tmp_path / 'again', **settings)
    assert (again.x[:] == x).all()


def test_extract_patches_leaves_out_patches_without_a_label(tmp_path):
    labels = torch.full((4, 4), 255)
    labels[3, 3] = 1
    settings = dict(num_classes=2, num_patches=12, dtype='float32')
    bank = extract_patches(Scenes(), scenes(3, labels), tmp_path, **settings)
    assert bank.images.tolist() == [0, 1, 2]
    assert bank.shares[:].tolist() == [[0, 1]] * 3


def test_extract_patches_rare_classes_come_first(tmp_path):
    labels = torch.zeros(8, 8, dtype=torch.int64)
    labels[6:, 6:] = 1  # one patch in 16
    pixels = torch.rand(40, 1, 8, 8)
    samples = [
        {'inputs': p, 'data_samples': BaseDataElement(gt_sem_seg=PixelData(data=labels[None]))}
        for p in pixels
    ]
    loader = DataLoader(samples, batch_size=8, collate_fn=lambda batch: batch)
    counts = []
    for sampling in ('uniform', 'rare'):
        folder = tmp_path / sampling
        folder.mkdir()
        bank = extract_patches(
            Scenes(), loader, folder, num_classes=2, num_patches=160, sampling=sampling
        )
        counts.append(int((bank.shares[:][:, 1] > 0).sum()))
    # Four patches of each of 40 images: evenly a quarter have it; its score is u, others' 15 u.
    assert 2 <= counts[0] <= 20
    assert 36 <= counts[1] <= 40


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ([255] * 4, 'No patch of the training images has a label'),
        ([0, 1, 255, 2], 'holds the label 2, but the model has 2 classes'),
    ],
)
def test_extract_patches_of_labels_that_teach_nothing_raises(tmp_path, row, message):
    samples = scenes(2, torch.tensor([row] * 4))
    with pytest.raises(DataError, match=message):
        extract_patches(Scenes(), samples, tmp_path, num_classes=2, num_patches=2)


def test_extract_patches_of_a_bank_below_the_images_raises(tmp_path):
    with pytest.raises(ConfigError, match='num_patches = 1 is less than the number of images, 2'):
        extract_patches(Scenes(), scenes(2), tmp_path, num_classes=2, num_patches=1)


def test_network_that_knows_places_but_no_images_is_refused(tmp_path):
    model = Scenes()
    model.extract_feat = lambda inputs: (torch.arange(4.0).reshape(1, 1, 2, 2).repeat(2, 1, 1, 1),)
    with pytest.raises(TrainingError, match='All 4 samples have the same features in float16'):
        extract_patches(model, scenes(4), tmp_path, num_classes=2, num_patches=8)


def test_feature_beyond_the_type_of_the_file_is_refused_with_its_image(tmp_path):
    model = Scenes()
    model.extract_feat = lambda inputs: (inputs[:, :, ::2, ::2] * 400,)  # over 65504 from 164 on
    with pytest.raises(TrainingError, match=r'2 of 4 .* not finite in float16, .* index 2'):
        extract_patches(model, scenes(4), tmp_path, num_classes=2, num_patches=8)


def test_joined_maps_have_the_size_of_the_first_and_length_one_each():
    maps = [torch.rand(1, 3, 4, 4), torch.rand(1, 5, 2, 2)]
    joined = joined_maps(maps)
    assert joined.shape == (1, 8, 4, 4)
    torch.testing.assert_close(joined[:, 3:].norm(dim=1), torch.ones(1, 4, 4))
    assert joined_maps(maps[:1]) is maps[0]


def test_patch_probe_head_resizes_the_scores_of_its_classifier():
    head = PatchProbeHead(num_classes=2)
    maps = (torch.tensor([[[[0.0, 1.0]]]]),)
    assert head(maps).shape == (1, 2, 1, 2)
    head.classifier = lambda x: torch.cat([x, 1 - x], dim=1)
    scores = head.predict(maps, [{'img_shape': (2, 4)}], None)
    assert scores[0, 0, 0].tolist() == [0, 0.25, 0.75, 1]
