# SimMIM's recipe for ViT-B with relative positions in every block (microsoft/SimMIM@d3e29bc,
# configs/vit_base__800ep/simmim_finetune__vit_base__img224__800ep.yaml); 8 GPUs x 256 images =
# 2048, there 16 x 128. Tables are decayed: the network names no keyword that exempts them.
# Inferred: the start of the head, as BEiT's.
_base_ = [
    '../_base_/backbones/beit_vit.py',
    '../_base_/models/classifier.py',
    '../_base_/datasets/in1k_cls_224px.py',
    '../_base_/schedules/finetune_simmim.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    backbone=dict(**_base_.backbone_cfg, final_norm=False, drop_path_rate=0.1),
    neck=dict(in_dims=768),
    head=dict(in_channels=768),
)
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.65))
protocol = dict(task='in1k-ft', name='in1k-ft-simmim-100e-beit-vit-base', version='1', tier='full')
