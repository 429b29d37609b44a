# Large-scale jitter with detectron2's arithmetic (facebookresearch/detectron2@02b5c4e,
# projects/ViTDet/configs/common/coco_loader_lsj.py, data/dataset_mapper.py): images are resized by
# PIL, which smooths where it shrinks them, and masks are cut as polygons. Crowds are left out, and
# an image that loses all of its objects is kept.
_base_ = './coco_lsj_1024px.py'
changes_cfg = dict(
    LoadAnnotations=dict(poly2mask=False),
    RandomResize=dict(backend='pillow'),
    Resize=dict(backend='pillow'),
    FilterAnnotations=dict(keep_empty=False),
)
train_pipeline = [{**step, **changes_cfg.get(step['type'], {})} for step in _base_.train_pipeline]
test_pipeline = [
    {**step, 'backend': 'pillow'} if step['type'] == 'Resize' else step
    for step in _base_.test_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
