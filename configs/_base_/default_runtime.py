# What every run shares. Leaves set default_scope to the library whose classes they name.
default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Two files: a run that is killed while it writes the newer one still has the older.
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
custom_hooks = [
    dict(type='mim_bench.CostLedgerHook'),
    dict(type='mim_bench.FiniteLossHook'),
    dict(type='mim_bench.LabelRangeHook'),
    dict(type='mim_bench.PredictionHook'),
    dict(type='mim_bench.IterationSeedHook'),
]
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
runner_type = 'mim_bench.BenchRunner'
randomness = dict(seed=0)
log_level = 'INFO'
load_from = None
resume = False
