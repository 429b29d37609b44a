# The common protocol of an attentive probe on ImageNet: a learned query attends to the patches of
# the last map, AdamW at ten learning rates, chosen on a tenth of the training set
# (facebookresearch/capi@1b8c704, eval_classification.py; the idea is V-JEPA's, arXiv:2404.08471).
# Own choice: features extracted once, averaged to 7 x 7 for every backbone, since a pyramid has no
# more, and kept as float16.
_base_ = './in1k_probe.py'
test_cfg = dict(
    pooling='tokens',
    probes=dict(_delete_=True, attentive=dict(weight_decay=1e-3, epochs=10, batch_size=1024)),
    feature_dtype='float16',
)
protocol = dict(
    name='in1k-attentive',
    version='1',
    tasks=[dict(task='in1k-attentive', metrics=['attentive_top1', 'attentive_top5'])],
)
