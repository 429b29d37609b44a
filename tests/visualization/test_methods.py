from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.testing.toy_runs import ToyNet
from mim_bench.visualization.methods import panels_of


class SimMIM(BaseModel):
    """Has the name and the parts of mmpretrain's model."""

    def __init__(self):
        super().__init__()
        self.data_preprocessor = nn.Module()
        self.data_preprocessor.mean = torch.full((3, 1, 1), 100.0)
        self.data_preprocessor.std = torch.full((3, 1, 1), 50.0)

    def backbone(self, inputs, mask):
        return (torch.ones_like(inputs) * mask.shape[-1],)

    def neck(self, latent):
        return latent

    def forward(self, *_):
        pass


def show_simmim(predict):
    inputs = torch.zeros(1, 3, 4, 4)  # 100 / 255 in the picture
    mask = torch.tensor([[0, 1], [0, 0]])  # cells of 2 x 2 pixels
    return panels_of(SimMIM(), inputs, [SimpleNamespace(mask=mask)], predict=predict)


def test_panels_of_simmim_show_predictions_where_hidden():
    visible, predicted = 100 / 255, 200 / 255  # the neck gives 2
    hidden = torch.zeros(4, 4, dtype=torch.bool)
    hidden[:2, 2:] = True
    panels = show_simmim(predict=True)
    assert [panel.title for panel in panels] == ['input', 'masked input', 'reconstruction']
    for (_, images), expected in zip(panels, (visible, 0.5, predicted), strict=True):
        torch.testing.assert_close(images[0][:, hidden], torch.full((3, 4), expected))
        torch.testing.assert_close(images[0][:, ~hidden], torch.full((3, 12), visible))


def test_panels_of_simmim_without_prediction_end_with_the_mask():
    assert [panel.title for panel in show_simmim(predict=False)] == ['input', 'masked input']


def test_panels_of_model_without_adapter_raises():
    with pytest.raises(ConfigError, match='Linear cannot show its masks'):
        panels_of(nn.Linear(1, 1), torch.zeros(1, 3, 4, 4), [None], predict=False)


@pytest.mark.parametrize('fault', ['batch', 'none', 'same title'])
def test_panels_of_model_that_breaks_the_contract_raises(fault):
    class Faulty(ToyNet):
        def panels(self, inputs, data_samples, *, predict):
            inputs = inputs[:1] if fault == 'batch' else inputs
            panels = super().panels(inputs, data_samples, predict=predict)
            return panels * {'batch': 1, 'none': 0, 'same title': 2}[fault]

    with pytest.raises(ConfigError, match=r'Faulty.panels gave .* for 2 images'):
        panels_of(Faulty(), torch.zeros(2, 3, 8, 8), [None, None], predict=False)
