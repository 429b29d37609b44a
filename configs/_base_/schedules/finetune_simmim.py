# SimMIM's fine-tuning (microsoft/SimMIM@d3e29bc, configs/*/simmim_finetune__*.yaml, config.py,
# main_finetune.py): rate, start of the warm-up and floor for 512 images, gradients clipped at 5.
# Start and floor are absolute: layer decay does not scale them. The leaves give the layer decay.
_base_ = './finetune_mae.py'
base_lr = 1.25e-3
base_batch_size = 512
effective_batch_size = 2048
optim_wrapper = dict(
    optimizer=dict(lr=base_lr * effective_batch_size / base_batch_size),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = dict(
    type='mim_bench.TimmCosineLR',
    warmup_epochs=20,
    warmup_lr=2.5e-7 * effective_batch_size / base_batch_size,
    min_lr=2.5e-7 * effective_batch_size / base_batch_size,
)
