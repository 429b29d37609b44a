# ViTDet's cascade (arXiv:2203.16527): as its Mask R-CNN, with boxes of no class and the losses of
# detectron2's cascade. General knowledge, not read again: all of it.
_base_ = './cascade_mask_rcnn.py'
ln_cfg = dict(type='mmpretrain.LN2d')
model = dict(
    data_preprocessor=dict(pad_size_divisor=1024),
    neck=dict(
        _delete_=True, type='mim_bench.SimpleFeaturePyramid', in_channels=768, out_channels=256
    ),
    rpn_head=dict(num_convs=2, loss_bbox=dict(_delete_=True, **_base_.bbox_loss)),
    roi_head=dict(
        bbox_head=[
            {
                **head,
                'norm_cfg': ln_cfg,
                'reg_class_agnostic': True,
                'reg_decoded_bbox': False,
                'loss_bbox': _base_.bbox_loss,
            }
            for head in _base_.model.roi_head.bbox_head
        ],
        mask_head=dict(norm_cfg=ln_cfg),
    ),
)
