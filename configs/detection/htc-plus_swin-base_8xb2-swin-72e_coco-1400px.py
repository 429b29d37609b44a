_base_ = './htc-plus_swin-tiny_8xb2-swin-72e_coco-1400px.py'
stage_dims = [128, 256, 512, 1024]
model = dict(
    # drop_path_rate inferred.
    backbone=dict(arch='base', drop_path_rate=0.3),
    neck=[
        {**_base_.model.neck[0], 'in_channels': stage_dims[-1]},
        {**_base_.model.neck[1], 'in_channels': stage_dims},
    ],
)
