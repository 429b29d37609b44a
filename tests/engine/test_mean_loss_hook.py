"""The losses of a run on several processes are those of all its images."""

import torch
from mmengine.dist import get_rank
from mmengine.registry import MODELS
from torch import distributed

from mim_bench.engine.runner import BenchRunner
from mim_bench.engine.scalars import collect_curves
from mim_bench.testing.processes import start_together
from mim_bench.testing.toy_runs import ToyNet, loader, make_runner, run_config


@MODELS.register_module()
class RankNet(ToyNet):
    """Its loss says the process and grows by 1 each time; so does one that only process 1 has."""

    step = 0

    def forward(self, inputs, data_samples=None, mode='tensor'):
        """The losses."""
        self.step += 1
        loss = 0 * self.backbone(inputs).sum() + self.step + 10 * get_rank()
        return {'loss_toy': loss, **({'loss_more': 0 * loss} if get_rank() else {})}


def work(rank, folder):
    distributed.init_process_group('gloo', f'file://{folder}/place', rank=rank, world_size=2)
    cfg = run_config(
        f'{folder}/run',
        model=dict(type='RankNet'),
        train_dataloader=loader(shuffle=True, length=18),  # 3 iterations for each process
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=2),
            checkpoint=dict(type='CheckpointHook', interval=1),
        ),
    )
    runner = make_runner(cfg, BenchRunner)
    runner.train()
    wanted = [step + 5.0 for step in range(1, 7)]
    assert runner.message_hub.get_scalar('train/loss').data[0].tolist() == wanted
    assert runner.message_hub.get_scalar('train/loss_toy').data[0].tolist() == wanted
    if rank == 0:
        content = torch.load(f'{folder}/run/epoch_1.pth', weights_only=False)
        assert content['message_hub']['log_scalars']['train/loss'].data[0].tolist() == wanted[:3]
        (curve,) = collect_curves(runner.work_dir)
        # A log is the mean of the last ten iterations.
        assert curve.points == [[2, 6.5], [5, 8.0]]
    distributed.destroy_process_group()


def test_losses_of_a_run_are_means_over_its_processes(tmp_path):
    start_together(work, (str(tmp_path),), limit_s=120)
