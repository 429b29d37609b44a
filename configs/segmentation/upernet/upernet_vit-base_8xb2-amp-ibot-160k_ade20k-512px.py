# iBOT's UPerNet for ViT-B (bytedance/ibot@da316d8, the command of evaluation/README.md: rate 8e-5,
# the norm of pre-training on each of the four maps; all else is evaluation/semantic_segmentation/
# configs/upernet/vit_base_512_ade20k_160k.py).
_base_ = './upernet_vit-base_8xb2-amp-mae-160k_ade20k-512px.py'
base_lr = 8e-5
model = dict(
    backbone=dict(rel_pos_bias='none', layer_scale=None, final_norm=True, norm_taps=True),
    test_cfg=dict(stride=(341, 341)),
)
optim_wrapper = dict(optimizer=dict(lr=base_lr))
protocol = dict(name='ade20k-upernet-ibot-160k')
