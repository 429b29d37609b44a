# CAE's Mask R-CNN on a plain ViT (Atten4Vis/CAE@a7fd162, derived from iBOT's): 4conv1fc box head
# with SyncBN, GIoU loss of weight 10 on decoded boxes. Inferred: taps and
# pyramid are BEiT's, as that code has them for segmentation.
_base_ = './mask_rcnn_4conv1fc.py'
model = dict(
    neck=[
        dict(type='mim_bench.ViTPyramid', embed_dims=768, norm_cfg=_base_.norm_cfg),
        dict(type='FPN', in_channels=[768] * 4, out_channels=256, num_outs=5),
    ],
    roi_head=dict(
        bbox_head=dict(
            reg_decoded_bbox=True,
            loss_bbox=dict(_delete_=True, type='GIoULoss', loss_weight=10.0),
        )
    ),
)
