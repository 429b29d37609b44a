# ViTDet for ViT-L (facebookresearch/detectron2@02b5c4e, projects/ViTDet/configs/COCO/
# *mask_rcnn_vitdet_l_100ep.py).
_base_ = './vitdet.py'
model = dict(
    backbone=dict(arch='large', global_blocks=(5, 11, 17, 23), drop_path_rate=0.4),
    neck=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
