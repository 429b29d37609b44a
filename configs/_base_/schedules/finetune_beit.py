# BEiT's fine-tuning of ViT-B (microsoft/unilm, beit; mmpretrain 1.2.0's BEiT config), which ConMIM
# states for its ViT-B, too (TencentARC/ConMIM@4263955, README): 4e-3 for 1,024 images, 20 epochs of
# warm-up. The tables of relative positions are decayed.
_base_ = './finetune_mae.py'
base_lr = 4e-3
base_batch_size = 1024
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.effective_batch_size / base_batch_size))
param_scheduler = dict(warmup_epochs=20)
