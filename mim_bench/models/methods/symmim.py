"""SymMIM: two checkerboard masks, pixels for the fine one, contrast against the coarse one."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.masking.token_order import split_by_mask, take_tokens
from mim_bench.models.backbone_outputs import mask_of_last_stage, pooled_and_patches
from mim_bench.models.backbones.mask_token_vit import MaskTokenViT
from mim_bench.models.backbones.visible_vit import VisibleViT
from mim_bench.models.momentum import MomentumNetwork
from mim_bench.models.panels import Panel, denormalize, fill_hidden, hide_patches, show_normalized
from mim_bench.registry import MODELS

POOLINGS = ('cls', 'gap')


class Encoded(NamedTuple):
    """What the losses read of a masked batch that the online network encoded.

    Attributes:
        pooled: (B, C), one vector an image.
        hidden: (B, hidden, C), the tokens of the hidden patches.
        index: (B, hidden) int64, their places among the patches in raster order.
    """

    pooled: torch.Tensor
    hidden: torch.Tensor
    index: torch.Tensor


@MODELS.register_module()
class SymMIM(BaseSelfSupervisor):
    """The online network sees the fine checkerboard, the momentum network the coarse one.

    loss = pixels that the fine mask hides + weight * InfoNCE(online, momentum). Every data
    sample carries ``mask`` and ``momentum_mask`` of the transform ``CheckerboardMasks``; the
    inputs are one view, or a list of two (mmpretrain's ``MultiView``): the first for the
    online, the second for the momentum network. ``MomentumHook`` must run.

    Args:
        backbone: Config of an encoder with mask tokens: :class:`MaskTokenViT` (fixed absolute
            positions), :class:`ConMIMViT` (shared relative ones), or a pyramid such as
            :class:`MaskTokenSwin`. With a ``decoder``, one that leaves the hidden patches out:
            :class:`VisibleViT`.
        neck: Config of the projector; the momentum network has a copy.
        head: Config of :class:`HiddenPixelHead`.
        contrast_head: Config of :class:`MomentumContrastHead` (images of the batch) or
            :class:`PatchContrastHead` (patches of the image; one view only).
        decoder: Config of :class:`HiddenPatchDecoder`; None where the encoder has mask tokens.
        pooling: One vector an image is the class token ('cls') or the mean over the patch
            tokens ('gap', the only one for pyramids).
        contrast_weight: lambda.
        symmetrised: Contrast also the online network on the coarse mask (and second view)
            with the momentum network on the fine one, at the cost of a second pass of both.
        momentum: Arguments of :class:`MomentumNetwork`.
        data_preprocessor: Config of mmpretrain's ``SelfSupDataPreprocessor``.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: ``pooling`` is unknown, or ``decoder`` does not fit the rest.

    Source: SymMIM, arXiv:2408.12772, whose body was not read. SPECIFIED: missing pixels are
    estimated; the two masks need no search for a ratio. SPECIFIED-2ND (third-party summaries):
    small cells for the online network, which reconstructs, large ones for the momentum
    network; the average of weights; InfoNCE with a temperature. INFERRED: all else, each with
    its base in the recipes, so call results "SymMIM-style re-implementation (settings ours)".
    Differs from MoCo v3: the momentum network is updated after the optimiser's step, not
    before its own forward pass, which shifts its schedule by one step.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        contrast_head: dict,
        *,
        decoder: dict | None = None,
        pooling: str = 'cls',
        contrast_weight: float = 1.0,
        symmetrised: bool = False,
        momentum: Mapping[str, float] | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(
            backbone, neck, head, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        if pooling not in POOLINGS:
            raise ConfigError(f'SymMIM: pooling {pooling!r} must be one of {POOLINGS}.')
        self.contrast_head = MMPRETRAIN_MODELS.build(contrast_head)
        self.decoder = decoder and MMPRETRAIN_MODELS.build(decoder)
        self._check_decoder()
        self.pooling = pooling
        self.contrast_weight = contrast_weight
        self.symmetrised = symmetrised
        # INFERRED: MoCo v3's ViT recipe, 0.99 -> 1.
        momentum = momentum or dict(base_momentum=0.99, end_momentum=1.0)
        parts = dict(backbone=self.backbone, neck=self.neck)
        self.momentum_network = MomentumNetwork(parts, **momentum)

    def init_weights(self) -> None:
        """As the parts; the momentum network starts as a copy of the online network."""
        super().init_weights()
        self.momentum_network.synchronize(self)

    def extract_feat(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features of full, unmasked images (B, 3, H, W) by the online network."""
        return self.backbone(inputs, None)

    def loss(
        self, inputs: torch.Tensor | list, data_samples: list[DataSample], **_: object
    ) -> dict[str, torch.Tensor]:
        """``loss_mim`` and the weighted ``loss_contrast`` of a batch; training adds them."""
        view, other = self._views(inputs)
        mask, momentum_mask = _masks(data_samples, view.device)
        online = self.encode(view, mask)
        loss_mim = self.head.loss(online.hidden, view, online.index)
        contrast = self._contrast(online, other, momentum_mask)
        if self.symmetrised:
            contrast = contrast + self._contrast(self.encode(other, momentum_mask), view, mask)
        return {'loss_mim': loss_mim, 'loss_contrast': self.contrast_weight * contrast}

    def encode(self, images: torch.Tensor, mask: torch.Tensor) -> Encoded:
        """Encode masked images by the online network.

        Args:
            images: (B, 3, H, W), normalised.
            mask: (B, rows, cols) bool, True = hidden, the same number in every sample.

        Raises:
            ConfigError: The samples hide different numbers, or parts of a pyramid's tokens.
        """
        if self._reads_class_token:
            (tokens,) = self.backbone(images, mask, wanted='hidden')
            pooled, hidden = tokens[:, 0], tokens[:, 1:]
            _, index = split_by_mask(mask, mask[0].numel() - hidden.shape[1])
            return Encoded(pooled, hidden, index)
        outputs = self.backbone(images, mask)
        pooled, patches = pooled_and_patches(outputs, self.pooling)
        if self.decoder is not None:
            _, index = split_by_mask(mask, patches.shape[1])
            return Encoded(pooled, self.decoder(outputs[-1], mask), index)
        _, index = split_by_mask(mask_of_last_stage(mask, patches.shape[1]))
        return Encoded(pooled, take_tokens(patches, index), index)

    @torch.no_grad()
    def panels(
        self, inputs: torch.Tensor | list, data_samples: list[DataSample], *, predict: bool
    ) -> list[Panel]:
        """Pictures of what both networks see, the target and, with ``predict``, the result.

        Args:
            inputs: (B, 3, H, W), normalised, or a list of two views.
            data_samples: With ``mask`` and ``momentum_mask``.
            predict: Run the online network. A normalised target is put back to the true
                patch's mean and deviation.
        """
        view, other = self._views(inputs)
        mask, momentum_mask = _masks(data_samples, view.device)
        patch_size, norm_pix = self.head.patch_size, self.head.norm_pix
        image, other = (denormalize(x, self.data_preprocessor) for x in (view, other))
        panels = [
            Panel('input', image),
            Panel('online network sees', hide_patches(image, mask)),
            Panel('momentum network sees', hide_patches(other, momentum_mask)),
        ]
        if norm_pix:
            panels.append(Panel('target', show_normalized(view, patch_size)))
        if predict:
            pred = self.head(self.encode(view, mask).hidden)
            mask = mask_of_last_stage(mask, view[0, 0].numel() // patch_size**2)
            filled = fill_hidden(view, pred, mask, patch_size, norm_pix=norm_pix)
            panels.append(Panel('reconstruction', denormalize(filled, self.data_preprocessor)))
        return panels

    def _check_decoder(self) -> None:
        drops = isinstance(self.backbone, VisibleViT) and not isinstance(
            self.backbone, MaskTokenViT
        )
        if drops != (self.decoder is not None) or (drops and self.contrast_head.level == 'patch'):
            raise ConfigError(
                f'SymMIM: backbone {type(self.backbone).__name__}, decoder '
                f'{type(self.decoder).__name__}, contrast of {self.contrast_head.level} level. '
                'VisibleViT, and no other backbone, needs a decoder, and its momentum network '
                'has keys of images only.'
            )

    @property
    def _reads_class_token(self) -> bool:
        return self.pooling == 'cls' and isinstance(self.backbone, MaskTokenViT)

    def _views(self, inputs: torch.Tensor | list) -> tuple[torch.Tensor, torch.Tensor]:
        views = inputs if isinstance(inputs, list | tuple) else [inputs, inputs]
        if len(views) == 1:
            views = [*views, *views]
        is_patch_level = self.contrast_head.level == 'patch'
        if len(views) != 2 or (is_patch_level and views[0] is not views[1]):
            raise ConfigError(
                f'SymMIM: {len(views)} views with a contrast of {self.contrast_head.level} '
                'level. Give one view, or two with MomentumContrastHead: patches of two crops '
                'do not show the same.'
            )
        return views[0], views[1]

    def _contrast(self, online: Encoded, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        keys = self._keys(images, mask)
        if self.contrast_head.level == 'patch':
            queries = _project(self.neck, online.hidden)
            return self.contrast_head.loss(queries, keys, online.index)
        return self.contrast_head.loss(_project(self.neck, online.pooled), keys)

    @torch.no_grad()
    def _keys(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, D), or (B, L, D) for a contrast of patches, by the momentum network."""
        backbone, neck = self.momentum_network['backbone'], self.momentum_network['neck']
        if self.contrast_head.level == 'patch':
            features = pooled_and_patches(backbone(images, mask), self.pooling)[1]
        elif self._reads_class_token:
            features = backbone(images, mask, wanted='class')[0][:, 0]
        else:
            features = pooled_and_patches(backbone(images, mask), self.pooling)[0]
        return _project(neck, features)


def _masks(
    data_samples: list[DataSample], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.stack([sample.mask for sample in data_samples]).to(device)
    momentum_mask = torch.stack([sample.momentum_mask for sample in data_samples]).to(device)
    return mask.bool(), momentum_mask.bool()


def _project(neck: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """(..., C) -> (..., D); the neck's BatchNorm sees all vectors as one batch."""
    (projected,) = neck((features.flatten(0, -2),))
    return projected.reshape(*features.shape[:-1], -1)
