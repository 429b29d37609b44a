# SimMIM's recipe for Swin-B with windows of 7; 8 GPUs x 256 images = 2048.
_base_ = [
    '../_base_/models/classifier_of_normed_maps.py',
    '../_base_/datasets/in1k_cls_224px.py',
    '../_base_/schedules/finetune_simmim.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    backbone=dict(
        type='mim_bench.Swin', arch='base', window_size=7, out_norms=True, drop_path_rate=0.1
    ),
    head=dict(in_channels=1024),
)
train_dataloader = dict(batch_size=256)
protocol = dict(task='in1k-ft', name='in1k-ft-simmim-100e', version='1', tier='full')
