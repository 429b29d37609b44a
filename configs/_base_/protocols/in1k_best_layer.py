# k-NN and linear probe on the best of several layers, chosen for each probe on a tenth of the
# training images. Own choice: the second half of a plain transformer in sixths, the last three maps
# of a pyramid; the last layer alone has the network's last norm.
_base_ = './in1k_probe.py'
test_cfg = dict(layers='best')
protocol = dict(
    name='in1k-best-layer',
    version='1',
    tasks=[
        dict(task='in1k-knn-best-layer', metrics=['knn_top1', 'knn_top5', 'knn_layer']),
        dict(task='in1k-linear-best-layer', metrics=['linear_top1', 'linear_top5', 'linear_layer']),
    ],
    by_backbone=dict(
        plain={'model.backbone.out_indices': ['1/2', '2/3', '5/6', '1']},
        pyramid={'model.backbone.out_indices': [1, 2, 3]},
    ),
)
