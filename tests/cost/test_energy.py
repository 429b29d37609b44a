import sys

import pytest

from mim_bench.cost.energy import energy_meter
from mim_bench.cost.ledger import CostLedger


class NVMLError(Exception):
    """As NVML's binding has it."""


class FakeNvml:
    """Two GPUs whose counters stand at 1 and 2 kJ; the second may have none."""

    NVMLError = NVMLError

    def __init__(self):
        self.millijoules = {'GPU-a': 1_000_000, 'GPU-b': 2_000_000}
        self.is_initialised = False

    def nvmlInit(self):
        self.is_initialised = True

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if not self.is_initialised or uuid not in self.millijoules:
            raise NVMLError
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        if self.millijoules[handle] is None:
            raise NVMLError
        return self.millijoules[handle]


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, 'pynvml', fake)
    return fake


class Counter:
    """A meter that stands where the test puts it."""

    def __init__(self):
        self.now = 0.0

    def joules(self):
        return self.now


def ledger_with(energy):
    ledger = CostLedger(energy=energy, clock=lambda: 0.0)
    ledger.start()
    return ledger


def energy_of(ledger):
    return ledger.summary()['energy_joules']


def test_energy_meter_adds_up_the_gpus_in_joules(nvml):
    meter = energy_meter(['GPU-a', 'GPU-b'])
    assert meter.joules() == 3000.0
    nvml.millijoules['GPU-b'] += 500
    assert meter.joules() == 3000.5


@pytest.mark.parametrize('lack', ['package', 'nvml', 'gpu', 'counter'])
def test_energy_meter_without_what_it_needs_is_none(nvml, monkeypatch, lack):
    if lack == 'package':
        monkeypatch.setitem(sys.modules, 'pynvml', None)
    elif lack == 'nvml':
        monkeypatch.setattr(nvml, 'nvmlInit', lambda: (_ for _ in ()).throw(NVMLError()))
    elif lack == 'gpu':
        del nvml.millijoules['GPU-b']
    else:
        nvml.millijoules['GPU-b'] = None
    assert energy_meter(['GPU-a', 'GPU-b']) is None


def test_ledger_energy_is_what_the_gpus_took_since_the_start(nvml):
    ledger = ledger_with(energy_meter(['GPU-a']))
    nvml.millijoules['GPU-a'] += 2500
    assert energy_of(ledger) == 2.5
    nvml.millijoules['GPU-a'] += 1000
    ledger.stop()
    nvml.millijoules['GPU-a'] += 9000
    assert energy_of(ledger) == 3.5


def test_ledger_energy_of_a_pause_does_not_count():
    counter = Counter()
    ledger = ledger_with(counter)
    counter.now = 10.0
    ledger.pause()
    counter.now = 100.0
    ledger.resume()
    counter.now = 103.0
    assert energy_of(ledger) == 13.0


def test_ledger_energy_adds_up_over_restarts():
    counter = Counter()
    first = ledger_with(counter)
    counter.now = 10.0
    second = CostLedger(energy=counter, clock=lambda: 0.0)
    second.load_state_dict(first.state_dict())
    counter.now = 50.0
    second.start()
    counter.now = 55.0
    assert energy_of(second) == 15.0


@pytest.mark.parametrize('has_key', [True, False])
def test_ledger_energy_after_a_part_without_a_meter_is_unknown(has_key):
    state = ledger_with(None).state_dict()
    if not has_key:
        del state['energy_joules']
    ledger = CostLedger(energy=Counter(), clock=lambda: 0.0)
    ledger.load_state_dict(state)
    ledger.start()
    assert energy_of(ledger) is None


def test_ledger_energy_without_a_meter_after_a_part_with_one_is_unknown():
    ledger = CostLedger(clock=lambda: 0.0)
    ledger.load_state_dict(ledger_with(Counter()).state_dict())
    ledger.start()
    assert energy_of(ledger) is None


@pytest.mark.parametrize('reading', [None, -1.0])
def test_ledger_energy_of_a_counter_that_fails_or_falls_is_unknown(reading):
    counter = Counter()
    ledger = ledger_with(counter)
    counter.now = reading
    ledger.pause()
    counter.now = 10.0
    ledger.resume()
    counter.now = 20.0
    assert energy_of(ledger) is None
