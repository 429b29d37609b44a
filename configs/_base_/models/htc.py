# Hybrid Task Cascade with the stuff branch: a semantic head on the pyramid, supervised by
# COCO-stuff's maps (183 classes, 255 ignored) at an eighth of the image, whose features are
# added to those of the box and mask branches. The table of UM-MAE's HTC++ has the same branch.
_base_ = './htc_no_stuff.py'
model = dict(
    # Stuff maps are padded as the images are, with what the loss ignores.
    data_preprocessor=dict(pad_seg=True, seg_pad_value=255),
    roi_head=dict(
        semantic_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[8],
        ),
        semantic_head=dict(
            type='FusedSemanticHead',
            num_ins=5,
            fusion_level=1,
            seg_scale_factor=1 / 8,
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=183,
            loss_seg=dict(type='CrossEntropyLoss', ignore_index=255, loss_weight=0.2),
        ),
    ),
)
