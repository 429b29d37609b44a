# A hundredth of the labels: as with a tenth, twice the epochs, of 25 updates each.
_base_ = './in1k_finetune_10pct.py'
train_dataloader = dict(dataset=dict(share=0.01))
protocol = dict(
    task='in1k-1pct-ft',
    name='in1k-1pct-ft-common',
    by_backbone={
        'plain': {'train_cfg.max_epochs': 200},
        'plain-large': {'train_cfg.max_epochs': 100},
        'plain-huge': {'train_cfg.max_epochs': 100},
        'pyramid': {'train_cfg.max_epochs': 200},
    },
)
