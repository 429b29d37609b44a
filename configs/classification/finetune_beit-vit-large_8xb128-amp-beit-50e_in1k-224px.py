# BEiT's recipe for a self-supervised ViT-L (microsoft/unilm, beit): 1e-3 for 1,024 images, 50
# epochs; images are normalised by 0.5 as for ViT-B.
_base_ = './finetune_beit-vit-large_8xb128-amp-conmim-50e_in1k-224px.py'
data_preprocessor = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
changes_cfg = {'mim_bench.RandAugment': dict(fill=(128, 128, 128))}
train_pipeline = [{**step, **changes_cfg.get(step.type, {})} for step in _base_.train_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
protocol = dict(name='in1k-ft-beit-50e')
