"""ConMIM: hidden patches find themselves among the patches of a slowly progressing teacher."""

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.masking.token_order import split_by_mask, take_tokens
from mim_bench.models.momentum import MomentumNetwork
from mim_bench.models.panels import Panel, denormalize, fill_hidden, hide_patches
from mim_bench.registry import MODELS
from mim_bench.targets.pixels import patchify


@MODELS.register_module()
class ConMIM(BaseSelfSupervisor):
    """The student sees a masked, plain view; the teacher the full, strongly distorted one.

    Both views are of one crop, so a patch has the same place in both. The inputs are a list:
    the student's view first (mmpretrain's ``MultiView``). Every data sample carries ``mask``,
    which hides the same number of patches in each. ``MomentumHook`` must run.

    Args:
        backbone: Config of :class:`ConMIMViT`.
        neck: Config of :class:`ConMIMProjector`.
        head: Config of :class:`PatchContrastHead`.
        momentum: Arguments of :class:`MomentumNetwork`; 0.996 rising to 1 if None.
        data_preprocessor: Config of mmpretrain's ``SelfSupDataPreprocessor``.
        init_cfg: Initialisation of mmengine.

    Attributes:
        teacher: The momentum network. It, not the student, is what ConMIM fine-tunes.

    Source: ConMIM, arXiv:2205.09616, TencentARC/ConMIM@4263955.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        *,
        momentum: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(
            backbone, neck, head, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        parts = dict(backbone=self.backbone, neck=self.neck)
        # Not in evaluation mode ever: its projector normalises by its own batch.
        self.teacher = MomentumNetwork(parts, train_mode=True, **(momentum or {}))

    @property
    def momentum_network(self) -> MomentumNetwork:
        """What ``MomentumHook`` updates."""
        return self.teacher

    def init_weights(self) -> None:
        """As the parts; the teacher starts as a copy of the student."""
        super().init_weights()
        self.teacher.synchronize(self)

    def extract_feat(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The teacher's features of full images (B, 3, H, W); see ``ConMIMViT.forward``."""
        return self.teacher['backbone'](inputs)

    def loss(
        self, inputs: list[torch.Tensor], data_samples: list[DataSample], **_: object
    ) -> dict[str, torch.Tensor]:
        """The denoising contrast of a batch, ``{'loss': scalar}``.

        Of K patches the student knows nothing about, it is at least about ln K (5.278 for
        196) in the first step.
        """
        plain, distorted = _views(inputs)
        mask = _mask(data_samples, plain.device)
        # First, so that nothing of the student's waits in memory meanwhile.
        keys = self.keys(distorted)
        _, index = split_by_mask(mask)
        queries = take_tokens(self.queries(plain, mask), index)
        return {'loss': self.head.loss(queries, keys, index)}

    def queries(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The student's projection of all patches of masked images: (B, L, D)."""
        return self.neck(self.backbone(images, mask)[0])

    @torch.no_grad()
    def keys(self, images: torch.Tensor) -> torch.Tensor:
        """The teacher's projection of all patches of full images: (B, L, D)."""
        return self.teacher['neck'](self.teacher['backbone'](images)[0])

    @torch.no_grad()
    def panels(
        self, inputs: list[torch.Tensor], data_samples: list[DataSample], *, predict: bool
    ) -> list[Panel]:
        """Pictures of both views and, with ``predict``, of what the student takes for what.

        Args:
            inputs: Both views (B, 3, H, W), normalised.
            data_samples: With ``mask``.
            predict: Put into each hidden place the patch of the image whose key is nearest
                to the student's query there; a perfect student gives the image back.
        """
        plain, distorted = _views(inputs)
        mask = _mask(data_samples, plain.device)
        image = denormalize(plain, self.data_preprocessor)
        panels = [
            Panel('input', image),
            Panel('student sees', hide_patches(image, mask)),
            Panel('teacher sees', denormalize(distorted, self.data_preprocessor)),
        ]
        if predict:
            _, index = split_by_mask(mask)
            queries = take_tokens(self.queries(plain, mask), index)
            keys = F.normalize(self.keys(distorted), dim=-1)
            nearest = (queries @ keys.transpose(1, 2)).argmax(dim=-1)  # (B, hidden)
            patch_size = plain.shape[2] // mask.shape[1]
            found = take_tokens(patchify(plain, patch_size), nearest)
            filled = fill_hidden(plain, found, mask, patch_size, norm_pix=False)
            panels.append(Panel('nearest patches', denormalize(filled, self.data_preprocessor)))
        return panels

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """A file of one network, as the official ones are, fills both."""
        teacher = f'{prefix}teacher.'
        if not any(key.startswith(teacher) for key in state_dict):
            parts = tuple(f'{prefix}{name}.' for name in self.teacher.module)
            found = [key for key in state_dict if key.startswith(parts)]
            for key in found:
                state_dict[f'{teacher}module.{key.removeprefix(prefix)}'] = state_dict[key]
            if found:
                state_dict[f'{teacher}steps'] = torch.zeros_like(self.teacher.steps)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _views(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    if not isinstance(inputs, list | tuple) or len(inputs) != 2:
        found = len(inputs) if isinstance(inputs, list | tuple) else 1
        raise ConfigError(
            f'ConMIM: {found} view of an image instead of 2. Make the plain and the distorted '
            'one in the pipeline with MultiView(num_views=[1, 1], transforms=[[], [...]]).'
        )
    return list(inputs)


def _mask(data_samples: list[DataSample], device: torch.device) -> torch.Tensor:
    return torch.stack([sample.mask for sample in data_samples]).to(device).bool()
