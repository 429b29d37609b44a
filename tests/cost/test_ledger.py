import itertools

import pytest

from mim_bench.cost.ledger import CostLedger, DecimatedSeries
from mim_bench.results.record import Cost


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeMemory:
    def __init__(self) -> None:
        self.peak_bytes: int | None = None
        self.starts = 0
        self.next_peak = 0

    def start(self) -> None:
        self.starts += 1

    def sample(self) -> None:
        self.peak_bytes = max(self.peak_bytes or 0, self.next_peak)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def iterate(ledger, clock, wait_s, step_s):
    ledger.wait_for_data()
    clock.now += wait_s
    ledger.begin_step()
    clock.now += step_s
    ledger.end_step(8)


def test_ledger_speed_is_the_median_after_the_warmup(clock):
    ledger = CostLedger(warmup=2, clock=clock)
    ledger.start()
    for wait_s, step_s in [(9, 9), (9, 9), (1, 3), (1, 1), (0, 8)]:
        iterate(ledger, clock, wait_s, step_s)
    ledger.stop()
    summary = ledger.summary()
    assert summary['img_per_s'] == 2.0  # of 8/4, 8/2, 8/8
    assert summary['data_wait_share'] == pytest.approx(2 / 14)
    assert summary['wall_s'] == 50.0


def test_ledger_without_measured_iterations_says_none(clock):
    ledger = CostLedger(warmup=5, clock=clock)
    ledger.start()
    iterate(ledger, clock, 1, 1)
    summary = ledger.summary()
    assert summary['img_per_s'] is summary['data_wait_share'] is summary['peak_mem_bytes'] is None


def test_ledger_pause_counts_nowhere(clock):
    ledger = CostLedger(warmup=0, clock=clock)
    ledger.start()
    iterate(ledger, clock, 1, 1)
    ledger.wait_for_data()
    ledger.pause()
    clock.now += 100
    ledger.pause()
    clock.now += 100
    ledger.resume()
    ledger.resume()
    clock.now += 1
    ledger.begin_step()
    clock.now += 1
    ledger.end_step(8)
    ledger.stop()
    assert ledger.summary()['wall_s'] == 4.0
    assert ledger.summary()['data_wait_share'] == 0.5


def test_ledger_pause_after_stop_counts_nothing(clock):
    ledger = CostLedger(clock=clock)
    ledger.start()
    ledger.stop()
    ledger.pause()
    clock.now += 10
    ledger.resume()
    clock.now += 10
    assert ledger.summary()['wall_s'] == 0.0


@pytest.mark.parametrize(('is_gpu', 'gpu_hours'), [(True, 4.0), (False, 0.0)])
def test_ledger_hours_count_every_device(clock, is_gpu, gpu_hours):
    ledger = CostLedger(is_gpu=is_gpu, num_devices=8, clock=clock)
    ledger.start()
    clock.now += 1800
    summary = ledger.summary()
    assert (summary['device_hours'], summary['gpu_hours']) == (4.0, gpu_hours)


def test_ledger_restart_with_other_devices_adds_up(clock):
    first = CostLedger(is_gpu=True, num_devices=8, warmup=0, clock=clock)
    first.start()
    iterate(first, clock, 1, 3)
    state = first.state_dict()
    clock.now += 1000  # the machine was down
    second = CostLedger(is_gpu=True, num_devices=2, warmup=0, clock=clock)
    second.load_state_dict(state)
    second.start()
    iterate(second, clock, 0, 8)
    iterate(second, clock, 0, 8)
    second.stop()
    summary = second.summary()
    assert summary['wall_s'] == 20.0
    assert summary['gpu_hours'] == pytest.approx((4 * 8 + 16 * 2) / 3600)
    assert summary['img_per_s'] == 1.0  # of 2, 1, 1
    assert summary['data_wait_share'] == pytest.approx(1 / 20)


def test_ledger_restart_warms_up_again(clock):
    first = CostLedger(warmup=1, clock=clock)
    second = CostLedger(warmup=1, clock=clock)
    second.load_state_dict(first.state_dict())
    second.start()
    iterate(second, clock, 0, 1)
    assert second.summary()['img_per_s'] is None


def test_ledger_peak_is_the_highest_of_all_processes_and_restarts(clock):
    first = CostLedger(memory=FakeMemory(), clock=clock)
    first.start()
    first.memory.next_peak = 300
    iterate(first, clock, 0, 1)
    second = CostLedger(memory=FakeMemory(), clock=clock)
    second.load_state_dict(first.state_dict())
    second.start()
    second.memory.next_peak = 200
    iterate(second, clock, 0, 1)
    assert second.summary()['peak_mem_bytes'] == 300
    second.raise_peak(400)
    assert second.summary()['peak_mem_bytes'] == 400


def test_ledger_memory_is_measured_anew_after_a_pause(clock):
    ledger = CostLedger(memory=FakeMemory(), clock=clock)
    ledger.start()
    ledger.pause()
    ledger.resume()
    assert ledger.memory.starts == 2


def test_ledger_summary_has_the_fields_of_the_record(clock):
    ledger = CostLedger(device='cpu', num_devices=2, clock=clock)
    ledger.start()
    clock.now += 3600
    assert Cost(**ledger.summary()) == Cost.measured(
        wall_s=3600.0, device='cpu', is_gpu=False, num_devices=2
    )


def test_decimated_series_stays_short_and_even():
    series = DecimatedSeries(length=8)
    for value in range(1000):
        series.append(float(value))
    steps = {b - a for a, b in itertools.pairwise(series.values)}
    assert len(series.values) <= 8
    assert steps == {128.0}


def test_decimated_series_state_goes_on():
    whole, part = DecimatedSeries(length=8), DecimatedSeries(length=8)
    for value in range(100):
        whole.append(float(value))
        if value == 37:
            part.load_state_dict(whole.state_dict())
        elif value > 37:
            part.append(float(value))
    assert part.values == whole.values
