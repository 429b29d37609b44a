# Bilinear crops and warps: LocalMIM's ViT (Haoqing-Wang/LocalMIM@314a6e5, ViT/util/datasets.py:38)
# asks for bicubic with an object that timm does not know, and gets bilinear. Its test is bicubic.
_base_ = './in1k_cls_224px.py'
bilinear_cfg = dict(interpolation='bilinear')
changes_cfg = {'RandomResizedCrop': bilinear_cfg, 'mim_bench.RandAugment': bilinear_cfg}
train_pipeline = [{**step, **changes_cfg.get(step.type, {})} for step in _base_.train_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
