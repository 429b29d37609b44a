# ConMIM's recipe for ViT-B (TencentARC/ConMIM@4263955, README), which is BEiT's but for the
# normalisation; 8 GPUs x 128 images = 1024.
_base_ = [
    '../_base_/backbones/beit_vit.py',
    '../_base_/models/classifier.py',
    '../_base_/datasets/in1k_cls_224px.py',
    '../_base_/schedules/finetune_beit.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    backbone=dict(**_base_.backbone_cfg, final_norm=False, drop_path_rate=0.1),
    neck=dict(in_dims=768),
    head=dict(in_channels=768),
)
protocol = dict(task='in1k-ft', name='in1k-ft-conmim-100e', version='1', tier='full')
