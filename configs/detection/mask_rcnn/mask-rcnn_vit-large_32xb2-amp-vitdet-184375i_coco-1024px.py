# ViTDet's Mask R-CNN for ViT-L (facebookresearch/detectron2@02b5c4e,
# projects/ViTDet/configs/COCO/mask_rcnn_vitdet_l_100ep.py). Differs: gradients are not compressed
# to half precision between GPUs.
_base_ = '../../_base_/recipes/vitdet_large.py'
protocol = dict(
    task='coco-mask-rcnn',
    name='coco-mask-rcnn-vitdet-184375i-vit-large',
    version='1',
    tier='full',
)
