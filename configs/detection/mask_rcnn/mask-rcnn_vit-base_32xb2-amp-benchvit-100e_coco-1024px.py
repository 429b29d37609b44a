# Benchmarking-ViT for MAE's kind of ViT-B, 100 epochs (hustvl/MIMDet@fb0aaa1,
# configs/benchmarking/benchmarking_mask_rcnn_base_FPN_100ep_LSJ_mae.py).
_base_ = './mask-rcnn_vit-base_32xb2-amp-benchvit-25e_coco-1024px.py'
train_cfg = dict(max_epochs=100)
protocol = dict(name='coco-mask-rcnn-benchvit-100e')
