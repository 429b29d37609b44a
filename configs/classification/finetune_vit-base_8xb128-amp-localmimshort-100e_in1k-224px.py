# LocalMIM's recipe for ViT-B after 100 epochs of pre-training (Haoqing-Wang/LocalMIM@314a6e5,
# README): a higher rate, a lower floor, less layer decay.
_base_ = './finetune_vit-base_8xb128-amp-localmim-100e_in1k-224px.py'
base_lr = 4e-3
optim_wrapper = dict(
    optimizer=dict(lr=base_lr * _base_.effective_batch_size / _base_.base_batch_size),
    paramwise_cfg=dict(layer_decay_rate=0.75),
)
param_scheduler = dict(min_lr=1e-6)
protocol = dict(name='in1k-ft-localmimshort-100e-vit-base')
