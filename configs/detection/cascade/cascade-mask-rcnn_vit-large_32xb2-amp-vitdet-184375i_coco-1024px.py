# ViTDet's Cascade Mask R-CNN for ViT-L (facebookresearch/detectron2@02b5c4e,
# projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_l_100ep.py). Differs: gradients are not
# compressed to half precision between GPUs.
_base_ = '../../_base_/recipes/vitdet_large.py'
model = _base_.cascade_cfg
protocol = dict(
    task='coco-cascade-mask-rcnn',
    name='coco-cascade-mask-rcnn-vitdet-184375i-vit-large',
    version='1',
    tier='full',
)
