# LocalMIM's recipe for Swin-B after 100 epochs of pre-training (Haoqing-Wang/LocalMIM@314a6e5,
# Swin/README.md): 5e-3, nothing accumulated.
_base_ = './finetune_swin-base_8xb128-amp-localmimpixel-100e_in1k-224px.py'
base_lr = 5e-3
optim_wrapper = dict(
    optimizer=dict(lr=base_lr * _base_.effective_batch_size / _base_.base_batch_size)
)
protocol = dict(name='in1k-ft-localmimshort-100e-swin-base')
