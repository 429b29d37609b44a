# LocalMIM's fine-tuning of ViT-B after 1,600 epochs (Haoqing-Wang/LocalMIM@314a6e5, README): 2e-3
# for 1,024 images, stated as it is. Tables of relative positions are decayed.
_base_ = './finetune_mae.py'
base_lr = 2e-3
base_batch_size = 1024
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.effective_batch_size / base_batch_size))
param_scheduler = dict(warmup_epochs=20, min_lr=1e-5)
