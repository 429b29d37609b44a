# HTC++: HTC with global attention behind the backbone, box heads of four convolutions and one
# linear layer, and soft-NMS, as in ViT-Adapter's open implementation (arXiv:2205.08534). No norm
# layers are stated for the box heads, so they have none.
_base_ = './htc.py'
stage_dims = [96, 192, 384, 768]
soft_nms_cfg = dict(type='soft_nms', iou_threshold=0.5)
model = dict(
    neck=[
        # drop_path_rate: ViT-Adapter states 0.3 to 0.4; inferred for others.
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
# Each ingredient can be left out: --cfg-options switches.soft_nms=False
switches = dict(
    stuff=True,
    instaboost=True,
    multi_scale=True,
    conv_heads=True,
    soft_nms=True,
    global_attention=True,
    area_filter=True,
)
when_off = dict(
    stuff=dict(
        remove=[
            'model.data_preprocessor.pad_seg',
            'model.data_preprocessor.seg_pad_value',
            'model.roi_head.semantic_head',
            'model.roi_head.semantic_roi_extractor',
            'train_dataloader.dataset.data_prefix.seg',
            'train_pipeline[LoadAnnotations].with_seg',
            'train_dataloader.dataset.pipeline[LoadAnnotations].with_seg',
        ]
    ),
    instaboost=dict(
        remove=[
            'train_pipeline[mim_bench.InstaBoost]',
            'train_dataloader.dataset.pipeline[mim_bench.InstaBoost]',
        ]
    ),
    # The one size that mmdet trains and tests HTC at.
    multi_scale=dict(
        set={
            'train_pipeline[RandomResize]': dict(type='Resize', scale=(1333, 800), keep_ratio=True),
            'train_dataloader.dataset.pipeline[RandomResize]': dict(
                type='Resize', scale=(1333, 800), keep_ratio=True
            ),
            'test_pipeline[Resize].scale': (1333, 800),
            'val_dataloader.dataset.pipeline[Resize].scale': (1333, 800),
            'test_dataloader.dataset.pipeline[Resize].scale': (1333, 800),
        }
    ),
    conv_heads=dict(set={'model.roi_head.bbox_head[*].type': 'Shared2FCBBoxHead'}),
    soft_nms=dict(
        set={
            'model.test_cfg.rcnn.nms': dict(type='nms', iou_threshold=0.5),
            'tta_model.tta_cfg.nms': dict(type='nms', iou_threshold=0.5),
        }
    ),
    global_attention=dict(remove=['model.neck[mim_bench.GlobalAttention]']),
    area_filter=dict(remove=['tta_model.area_filter']),
)
