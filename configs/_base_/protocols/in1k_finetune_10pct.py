# A tenth of the labels: the common fine-tuning in batches of 8 GPUs x 64 images = 512. Own choice,
# since no source of the methods states a recipe; the rates are scaled with the batch.
_base_ = './in1k_finetune.py'
effective_batch_size = 512
train_dataloader = dict(batch_size=64, dataset=dict(type='mim_bench.LabelFraction', share=0.1))
protocol = dict(
    task='in1k-10pct-ft',
    name='in1k-10pct-ft-common',
    by_backbone={
        'plain': {'optim_wrapper.optimizer.lr': 1e-3},
        'plain-large': {'optim_wrapper.optimizer.lr': 2e-3},
        'plain-huge': {'optim_wrapper.optimizer.lr': 2e-3},
        'pyramid': {'optim_wrapper.optimizer.lr': 1e-3},
    },
)
