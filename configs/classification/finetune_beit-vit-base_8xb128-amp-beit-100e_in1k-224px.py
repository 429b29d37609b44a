# BEiT's recipe for ViT-B; 8 GPUs x 128 images = 1024. Its published commands leave
# --imagenet_default_mean_and_std out, so images are normalised by 0.5, and warps fill with 128
# (microsoft/unilm@768a3c8, beit/datasets.py).
# Differs from mmpretrain's: the head starts at 1e-3 of 0.02.
_base_ = './finetune_beit-vit-base_8xb128-amp-conmim-100e_in1k-224px.py'
data_preprocessor = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
changes_cfg = {'mim_bench.RandAugment': dict(fill=(128, 128, 128))}
train_pipeline = [{**step, **changes_cfg.get(step.type, {})} for step in _base_.train_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
protocol = dict(name='in1k-ft-beit-100e')
