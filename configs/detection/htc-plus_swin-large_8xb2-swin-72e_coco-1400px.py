_base_ = './htc-plus_swin-base_8xb2-swin-72e_coco-1400px.py'
stage_dims = [192, 384, 768, 1536]
model = dict(
    # with_cp: same numbers, less memory.
    backbone=dict(arch='large', with_cp=True),
    neck=[
        {**_base_.model.neck[0], 'in_channels': stage_dims[-1]},
        {**_base_.model.neck[1], 'in_channels': stage_dims},
    ],
)
