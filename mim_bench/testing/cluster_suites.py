"""Suites of stub steps on the fake Slurm, in virtual time.

A stub does units of work. Each unit is a line of its ledger, every second one is saved, and its
record says what the ledger holds; two at once leave a trace. ``stop`` in its folder makes it wait
for a signal after so many units, ``fail`` makes it fail.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mim_bench.results.record import Cost
from mim_bench.results.store import write_record
from mim_bench.suite.cluster import ClusterLauncher
from mim_bench.suite.execute import Listener, Patience, execute
from mim_bench.suite.job_book import JobBook
from mim_bench.suite.launching import LocalLauncher
from mim_bench.suite.resources import Cluster, Resources
from mim_bench.suite.schedulers import Scheduler, SlurmScheduler
from mim_bench.suite.steps import Outcome, Step
from mim_bench.testing.records import make_record
from mim_bench.testing.slurm_controller import FakeSlurm

UNITS = 6
_SPENT = 424242
# Arguments: its folder, its record's folder, its template.
_STUB = f"""
dir=$1; mkdir -p $dir/work; cd $dir
mkdir running || echo "two at once" >> double
done=$(cat work/saved.pth 2>/dev/null || echo 0)
save() {{ echo $done > work/new; mv work/new work/saved.pth; }}
trap 'rmdir running' EXIT
trap 'save; exit 75' TERM USR1
units=0
while [ $done -lt {UNITS} ]; do
  if [ -e stop ] && [ $units -ge $(cat stop) ]; then
    touch waiting; while :; do sleep 0.02; done
  fi
  echo unit >> ledger; done=$((done+1)); units=$((units+1))
  [ $((done % 2)) = 0 ] && save
  if [ -e fail ]; then rm fail; exit 1; fi
done
spent=$(wc -l < ledger)
mkdir -p $2; sed "s/{_SPENT}/$spent/g" $3 > $2/new; mv $2/new $2/record.json
echo done >> finished
"""


class KilledSuite(BaseException):
    """The suite ends as by SIGKILL: nothing is tidied up."""


class World:
    """A bench folder, a cluster and a clock.

    Args:
        folder: For everything.
        slots: Jobs that run at a time.
        start: Starts a job of the fake Slurm.
    """

    def __init__(self, folder: Path, start: Callable, slots: int = 4) -> None:
        self.folder, self.now = folder, 1000.0
        self.slurm = FakeSlurm(folder / 'slurm', slots=slots, start=start)
        self.out = folder / 'out'
        self.book = JobBook(self.out)
        self.on_sleep: Callable[[], None] = lambda: None
        (folder / 'stub.sh').write_text(_STUB)
        self.launcher: ClusterLauncher | None = None

    def step(self, name: str, *needs: str, gpus: int = 1, **resources: object) -> Step:
        """A stub training."""
        home, results = self.folder / 'runs' / name, self.out / 'results' / name
        home.mkdir(parents=True, exist_ok=True)
        cost = Cost.measured(wall_s=float(_SPENT), device='cpu', is_gpu=False, num_devices=1)
        record = replace(make_record(), run_id=name, cost=cost)
        template = write_record(record, self.folder / 'templates' / name)
        text = template.read_text().replace(f'{_SPENT}.0', f'{_SPENT}')
        shared = json.loads(text)
        shared['cost'].update(device_hours=0, gpu_hours=0)
        template.write_text(json.dumps(shared))
        script = f'bash {self.folder / "stub.sh"} {home} {results} {template}'
        return Step(
            name,
            ('train', script),
            records=(results / 'record.json',),
            work_dir=home / 'work',
            needs=needs,
            identity=(name,),
            gpus=gpus,
            resources=Resources(hours=1.0, **resources),
        )

    def bury(self) -> None:
        """A killed suite manages nothing any more."""
        if self.launcher._manager is not None:
            self.launcher._manager.end()

    def home(self, name: str) -> Path:
        """Folder of a stub."""
        return self.folder / 'runs' / name

    def open(self, plan: Sequence[Step], scheduler: Scheduler | None = None) -> ClusterLauncher:
        """A new suite on the folder."""
        scheduler = scheduler or SlurmScheduler(self.out / 'slurm')
        self.launcher = ClusterLauncher(
            self.out / 'steps',
            LocalLauncher(workers=1),
            scheduler,
            self.book,
            clock=lambda: self.now,
            sleep=self.sleep,
        )
        self.launcher.open(plan, Cluster())
        return self.launcher

    def run(
        self, plan: Sequence[Step], retries: int = 0, scheduler: Scheduler | None = None
    ) -> Outcome:
        """Follow a plan to its end."""
        launcher = self.open(plan, scheduler)
        try:
            outcome = execute(
                plan,
                self.out / 'steps',
                launcher=launcher,
                listener=Listener(),
                patience=Patience(retries),
            )
        except KilledSuite:
            raise
        except BaseException:
            launcher.close()
            raise
        launcher.close()
        return outcome

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.now += seconds
        self.on_sleep()
        self.slurm.tick()
        self.settle()

    def settle(self) -> None:
        """Wait in real time until every running job has ended or waits for a signal."""
        for id_, job in list(self.slurm.running.items()):
            name = self.step_of(id_)
            while job.poll() is None and not (name and (self.home(name) / 'waiting').exists()):
                job.wait(0.005)

    def step_of(self, id_: str) -> str | None:
        """The step that a job runs; None: its submission failed after Slurm had taken it."""
        for path in (self.out / 'slurm').glob(f'{id_}_submitted.pkl'):
            import cloudpickle

            return Path(cloudpickle.loads(path.read_bytes()).function.path).parts[-3]
        return None

    def let_go(self, name: str) -> None:
        """A job of a step has ended: nothing of it waits or runs."""
        for file in ('waiting', 'stop'):
            (self.home(name) / file).unlink(missing_ok=True)
        running = self.home(name) / 'running'
        if running.exists():
            running.rmdir()
