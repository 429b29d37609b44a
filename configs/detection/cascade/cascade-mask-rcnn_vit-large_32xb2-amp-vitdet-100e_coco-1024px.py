# ViTDet's Cascade Mask R-CNN for ViT-L (facebookresearch/detectron2@02b5c4e,
# projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_l_100ep.py). Differs as ViT-B does, so the
# 57.6 / 50.0 printed there are another network's.
_base_ = './cascade-mask-rcnn_vit-base_32xb2-amp-vitdet-100e_coco-1024px.py'
model = dict(
    backbone=dict(arch='large', global_blocks=(5, 11, 17, 23), drop_path_rate=0.4),
    neck=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
protocol = dict(name='coco-cascade-mask-rcnn-vitdet-100e-vit-large')
