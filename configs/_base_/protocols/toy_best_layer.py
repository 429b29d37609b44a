# k-NN and linear probe on the best layer, on the embedded digits.
_base_ = './toy_probe.py'
test_cfg = dict(layers='best')
protocol = dict(
    name='toy-best-layer',
    version='1',
    tasks=[
        dict(task='in1k-knn-best-layer', metrics=['knn_top1', 'knn_top5', 'knn_layer']),
        dict(task='in1k-linear-best-layer', metrics=['linear_top1', 'linear_top5', 'linear_layer']),
    ],
    by_backbone=dict(
        plain={'model.backbone.out_indices': ['1/2', '3/4', '1']},
        pyramid={'model.backbone.out_indices': [0, 1, 2]},
    ),
)
