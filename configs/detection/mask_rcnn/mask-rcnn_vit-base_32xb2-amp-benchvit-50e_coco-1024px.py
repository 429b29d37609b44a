# Benchmarking-ViT for MAE's kind of ViT-B, 50 epochs (hustvl/MIMDet@fb0aaa1,
# configs/benchmarking/benchmarking_mask_rcnn_base_FPN_50ep_LSJ_mae.py).
_base_ = './mask-rcnn_vit-base_32xb2-amp-benchvit-25e_coco-1024px.py'
train_cfg = dict(max_epochs=50)
protocol = dict(name='coco-mask-rcnn-benchvit-50e')
