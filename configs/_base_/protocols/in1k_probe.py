# The common protocol of k-NN and linear probe: frozen features of the last map, averaged, extracted
# once at 224 px. k-NN as DINO (facebookresearch/dino@7c446df, eval_knn.py: 20 neighbours,
# temperature 0.07); a linear classifier at several learning rates, chosen on a held-out part of the
# training set (the sweep of facebookresearch/dinov2@b8931f7, eval/linear.py). Own choice: the
# average of the patches for every backbone, since pyramids have no class token.
_base_ = ['../datasets/in1k_probe_224px.py', '../default_runtime.py']
default_scope = 'mmpretrain'
model = dict(type='ImageClassifier')
protocol = dict(
    name='in1k-probe',
    version='2',
    # Norms of the last map that a method has pre-trained are used.
    by_backbone=dict(
        plain={'model.backbone.out_indices': ['1']},
        pyramid={'model.backbone.out_indices': ['1']},
        ViT={'model.backbone.final_norm': 'checkpoint'},
        Swin={'model.backbone.out_norms': 'checkpoint'},
        UMMAESwin={
            'model.backbone.final_norm': 'checkpoint',
            # The largest windows that divide the maps of 224 px.
            'model.backbone.window_size': 14,
        },
        UMMAEPvt={'model.backbone.final_norm': 'checkpoint', 'model.backbone.img_size': 224},
    ),
)
