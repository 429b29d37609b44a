import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch.nn import functional as F

pytestmark = pytest.mark.stack


@pytest.mark.parametrize('avg_non_ignore', [True, False])
def test_cross_entropy_with_class_weights_and_ignored_pixels_is_torchs(avg_non_ignore):
    torch.manual_seed(0)
    scores, labels = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    labels[0, 0] = 255
    weights = [0.1, 1.0, 2.0]
    with DefaultScope.overwrite_default_scope('mmseg'):
        loss = MODELS.build(
            dict(type='CrossEntropyLoss', class_weight=weights, avg_non_ignore=avg_non_ignore)
        )
    expected = F.cross_entropy(scores, labels, torch.tensor(weights), ignore_index=255)
    torch.testing.assert_close(loss(scores, labels, ignore_index=255), expected)


def test_accuracy_leaves_ignored_pixels_out():
    from mmseg.models.decode_heads.decode_head import accuracy

    scores = torch.eye(3)[torch.tensor([[0, 1], [2, 2]])].permute(2, 0, 1)[None]
    labels = torch.tensor([[[0, 2], [2, 255]]])
    # Two of three; the fourth pixel is ignored.
    torch.testing.assert_close(accuracy(scores, labels, ignore_index=255), torch.tensor([200 / 3]))
    others = accuracy(scores, labels, topk=(1,), ignore_index=255)  # mmsegmentation's own
    torch.testing.assert_close(accuracy(scores, labels, ignore_index=255), others[0])
    nothing = accuracy(scores, torch.full_like(labels, 255), ignore_index=255)
    torch.testing.assert_close(nothing, torch.tensor([100.0]))
