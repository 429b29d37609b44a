# Benchmarking-ViT for MAE's kind of ViT-B, 100 epochs (hustvl/MIMDet@fb0aaa1,
# configs/benchmarking/benchmarking_mask_rcnn_base_FPN_100ep_LSJ_mae.py).
_base_ = './mask-rcnn_vit-base_32xb2-amp-benchvit-25e_coco-1024px.py'
max_epochs = 100
param_scheduler = [
    _base_.param_scheduler[0],
    {**_base_.param_scheduler[1], 'end': max_epochs, 'T_max': max_epochs},
]
train_cfg = dict(max_epochs=max_epochs)
protocol = dict(name='coco-mask-rcnn-benchvit-100e')
