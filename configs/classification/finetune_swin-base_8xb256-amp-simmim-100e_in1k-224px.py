# SimMIM's recipe for Swin-B after 800 epochs of pre-training (microsoft/SimMIM@d3e29bc,
# configs/swin_base__800ep/simmim_finetune__swin_base__img224_window7__800ep.yaml): windows of 7,
# layer decay 0.8; 8 GPUs x 256 images = 2048, there 16 x 128.
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
optim_wrapper = dict(
    paramwise_cfg=dict(
        layer_decay_rate=0.8,
        no_decay_names=('pos_embed', 'cls_token', 'relative_position_bias_table'),
    )
)
protocol = dict(task='in1k-ft', name='in1k-ft-simmim-100e-swin-base', version='1', tier='full')
