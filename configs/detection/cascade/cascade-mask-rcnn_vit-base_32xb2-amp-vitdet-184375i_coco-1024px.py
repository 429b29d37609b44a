# ViTDet's Cascade Mask R-CNN for ViT-B (facebookresearch/detectron2@02b5c4e,
# projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_b_100ep.py). Differs: gradients are not
# compressed to half precision between GPUs.
_base_ = '../../_base_/recipes/vitdet.py'
model = _base_.cascade_cfg
protocol = dict(
    task='coco-cascade-mask-rcnn',
    name='coco-cascade-mask-rcnn-vitdet-184375i-vit-base',
    version='1',
    tier='full',
)
