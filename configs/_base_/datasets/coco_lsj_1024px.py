# Large-scale jitter as ViTDet and Benchmarking-ViT (arXiv:2111.11429) have it: training as
# UM-MAE's; the test fits the longer side to 1024.
_base_ = './coco_instance_1024px.py'
test_pipeline = [
    {**step, 'scale': _base_.image_size} if step['type'] == 'Resize' else step
    for step in _base_.test_pipeline
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
