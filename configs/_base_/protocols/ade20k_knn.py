# The common protocol of segmentation by patch retrieval on ADE20K ("Towards In-Context Scene
# Understanding", arXiv:2306.01667): 30 nearest patches of the training images, temperature 0.02,
# patches of rare classes first (vpariza/open-hummingbird-eval@0fd976f, hbird/hbird_eval.py). Own
# choice: a bank of 1,024,000 patches, without augmentation. A plain transformer gives its last map,
# a pyramid its last two, at the size of the finer one.
_base_ = ['../datasets/ade20k_patches_512px.py', '../default_runtime.py']
default_scope = 'mmseg'
model = dict(
    type='EncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    decode_head=dict(type='mim_bench.PatchProbeHead', num_classes=150),
    test_cfg=dict(mode='whole'),
)
test_cfg = dict(
    type='mim_bench.PatchProbeTestLoop',
    bank_dataloader=_base_.bank_dataloader,
    classifier=dict(name='knn', k=30, temperature=0.02),
    num_patches=1024000,
    sampling='rare',
)
protocol = dict(
    task='ade20k-knn',
    name='ade20k-knn-common',
    version='1',
    tier='full',
    by_backbone={
        'plain': {'model.backbone.img_size': 512, 'model.backbone.out_indices': ['1']},
        'pyramid': {'model.backbone.out_indices': [2, 3]},
        # Norms of the last map that a method has pre-trained are used.
        'ViT': {'model.backbone.final_norm': 'checkpoint'},
        'Swin': {'model.backbone.pad_small_map': True},
        'UMMAESwin': {'model.backbone.final_norm': 'checkpoint'},
        'UMMAEPvt': {'model.backbone.final_norm': 'checkpoint', 'model.backbone.img_size': 512},
    },
)
