# ViTDet's Cascade Mask R-CNN for ViT-H (facebookresearch/detectron2@02b5c4e,
# projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_h_75ep.py). It starts from MAE's ViT-H with
# its patches resized from 14 to 16 px; this project cannot make that file. Differs: gradients are
# not compressed to half precision between GPUs.
_base_ = '../../_base_/recipes/vitdet_huge.py'
model = _base_.cascade_cfg
protocol = dict(
    task='coco-cascade-mask-rcnn',
    name='coco-cascade-mask-rcnn-vitdet-138281i-vit-huge',
    version='1',
    tier='full',
)
