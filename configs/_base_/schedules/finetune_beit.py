# BEiT's fine-tuning of ViT-B (microsoft/unilm@768a3c8, beit/get_started_for_image_classification.md
# and optim_factory.py), and ConMIM's (TencentARC/ConMIM@4263955, README.md): 4e-3 for 1,024 images,
# 20 epochs of warm-up. Tables of relative positions are decayed.
_base_ = './finetune_mae.py'
base_lr = 4e-3
base_batch_size = 1024
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.effective_batch_size / base_batch_size))
param_scheduler = dict(type='mim_bench.TableCosineLR', warmup_epochs=20)
