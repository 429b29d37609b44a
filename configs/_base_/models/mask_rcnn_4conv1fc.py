# Mask R-CNN whose box head is four convolutions with SyncBN and one linear layer (GroupNorm's
# paper, arXiv:1803.08494, section 4.2, brought in the shape; CAE and Benchmarking-ViT use it).
_base_ = './mask_rcnn.py'
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg)
    )
)
