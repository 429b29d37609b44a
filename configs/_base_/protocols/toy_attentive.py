# The attentive probe on the embedded digits.
_base_ = './toy_probe.py'
test_cfg = dict(
    pooling='tokens',
    probes=dict(
        _delete_=True,
        attentive=dict(learning_rates=[1e-3, 1e-2], epochs=4, batch_size=64),
    ),
    feature_dtype='float16',
)
protocol = dict(
    name='toy-attentive',
    version='1',
    tasks=[dict(task='in1k-attentive', metrics=['attentive_top1', 'attentive_top5'])],
)
