# HTC++ (Swin, arXiv:2103.14030, A2.2) as czczup/ViT-Adapter@fd64a51 implements it
# (detection/configs/htc++): HTC with global attention behind the backbone, box heads of four
# convolutions without norms and one linear layer, and soft-NMS.
_base_ = './htc.py'
stage_dims = [96, 192, 384, 768]
soft_nms_cfg = dict(type='soft_nms', iou_threshold=0.5)
model = dict(
    neck=[
        # Drop path 0.3 and 32 dimensions a head: htc++_swin_large*, htc++_beit_adapter_large*.
        dict(type='mim_bench.GlobalAttention', in_channels=stage_dims[-1], drop_path_rate=0.3),
        dict(type='FPN', in_channels=stage_dims, out_channels=256, num_outs=5),
    ],
    roi_head=dict(
        bbox_head=[
            {**head, 'type': 'Shared4Conv1FCBBoxHead'} for head in _base_.model.roi_head.bbox_head
        ],
    ),
    test_cfg=dict(rcnn=dict(nms=soft_nms_cfg)),
)
# Multi-scale test, as in the files *_ms.py of the same folder.
tta_model = dict(
    type='mim_bench.InstanceTTA',
    tta_cfg=dict(score_thr=0.001, nms=soft_nms_cfg, max_per_img=1000),
    # The sizes of objects (COCO's areas) that each short side of the image reports.
    area_filter=[
        (600, ('large',)),
        (800, ('large',)),
        (1000, ('medium', 'large')),
        (1200, ('small', 'medium')),
        (1400, ('small', 'medium')),
        (1600, ('small', 'medium')),
    ],
)
