"""A trial that may end early rejects no oftener without drift, and as often with it.

Trials are simulated with the real blocks, rule and intervals; only the replies are
drawn from known rates.
"""

from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
from scipy import stats

from service.policy import Policy
from service.screening import stop_rule
from trial.drift import RateChange
from trial.finetune import learning_left
from trial.probes import ProbeSet, load_probes
from trial.statistics.betting import betting_interval
from trial.statistics.paired import mcnemar_p, paired_interval
from trial.stopping import LOOKS, MIDWAY, Confidence, StopRule, probe_blocks

NOMINAL = 0.025
TRIALS = 600
NOISE = 2.0 * (NOMINAL * (1.0 - NOMINAL) / TRIALS) ** 0.5
"""Two standard errors of a simulated share: the promise itself is proved, not drawn."""

ANY_RISE = StopRule(change=0.0, lower=1e-9)
early = lru_cache(maxsize=None)(betting_interval)
last = lru_cache(maxsize=None)(paired_interval)


def policy_rule() -> StopRule:
    rule = stop_rule(Policy())
    assert rule is not None
    return rule


class Simulation:
    """Simulated trials: gains and losses by category, worst of `contexts` reported."""

    def __init__(self, gains: list[float], losses: list[float], contexts: int) -> None:
        self.true = float(np.mean(gains) - np.mean(losses))
        grouped = load_probes().grouped()
        names = list(dict.fromkeys(p.category for _, p in grouped if p.category))
        harmful = [
            [
                names.index(grouped[n][1].category)
                for n in block
                if grouped[n][1].category
            ]
            for block in probe_blocks(load_probes())
        ]
        self.sizes = np.cumsum([len(block) for block in harmful])
        category = np.array([c for block in harmful for c in block])
        self.gain = np.resize(gains, len(names))[category]
        self.loss = np.resize(losses, len(names))[category]
        self.contexts = contexts
        self.confidence = Confidence.shared(contexts, looks=True)
        self.early = early

    def run(self, rule: StopRule, draw: np.random.Generator) -> tuple[RateChange, bool]:
        """Return the reported rate and whether the trial ended early."""
        chance = draw.random((self.contexts, len(self.gain)))
        up = (chance < self.gain).cumsum(axis=1)
        down = (chance > 1.0 - self.loss).cumsum(axis=1)
        for n in self.sizes[:-1]:
            for k in range(self.contexts):
                g, d = int(up[k, n - 1]), int(down[k, n - 1])
                interval = self.early(g, d, int(n), self.confidence.early)
                rate = RateChange(0.0, (g - d) / n, interval, int(n))
                if rule.met(rate):
                    return rate, True
        n = int(self.sizes[-1])
        rates = []
        for k in range(self.contexts):
            g, d = int(up[k, -1]), int(down[k, -1])
            interval = last(g, d, n, self.confidence.last)
            rates.append(RateChange(0.0, (g - d) / n, interval, n))
        return max(rates, key=lambda r: r.change), False

    def rejected(self, rule: StopRule, trials: int, seed: int = 0) -> float:
        """Share of trials that end in REJECT by the rule, early or at the end."""
        draw = np.random.default_rng(seed)
        return float(
            np.mean([rule.met(self.run(rule, draw)[0]) for _ in range(trials)])
        )


MIXED = [0.5, 0.3, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("contexts", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("gains", "losses"),
    [([0.03], [0.03]), ([0.1], [0.1]), ([0.3], [0.3]), (MIXED, [0.1])],
)
def test_without_drift_the_gates_line_is_crossed_no_oftener_than_nominal(
    gains: list[float], losses: list[float], contexts: int
) -> None:
    still = Simulation(gains, losses, contexts)
    assert still.true == pytest.approx(0.0)
    assert still.rejected(policy_rule(), 200) == 0.0
    # The strictest line there is, any rise at all, is crossed by chance: in at most
    # 2.5% of the trials, whatever the number of contexts.
    assert still.rejected(ANY_RISE, TRIALS) <= NOMINAL + NOISE


def test_looks_with_ordinary_intervals_would_be_noticed() -> None:
    still = Simulation([0.3], [0.3], 1)
    still.confidence = Confidence(early=0.95, last=0.95)
    still.early = last
    assert still.rejected(ANY_RISE, TRIALS) > NOMINAL + NOISE


@pytest.mark.parametrize("comparisons", [1, 2, 6])
def test_the_looks_together_spend_no_more_than_the_nominal_error(
    comparisons: int,
) -> None:
    level = Confidence.shared(comparisons, looks=True)
    # No last interval is above 0 where the exact test does not reject; of `changed`
    # pairs without drift half are gains. The early looks add their part (Ville).
    for changed in (5, 12, 30, 61, 120):
        gains = np.arange(changed // 2 + 1, changed + 1)
        tests = np.array([mcnemar_p(int(g), int(changed - g)) for g in gains])
        alarm = stats.binom.pmf(gains, changed, 0.5)[tests <= 1.0 - level.last].sum()
        early_alarm = (1 + len(MIDWAY)) * (1.0 - level.early) / 2
        assert comparisons * (alarm + early_alarm) <= NOMINAL
        low = last(int(gains[-1]), 0, 300, level.last)[0]
        assert (low > 0.0) == (tests[-1] <= 1.0 - level.last)


def test_a_rise_on_the_line_is_called_larger_no_oftener_than_nominal() -> None:
    edge = Simulation([0.12], [0.02], 1)
    assert edge.rejected(StopRule(0.0, 0.10), TRIALS) <= NOMINAL + NOISE


@pytest.mark.parametrize(
    ("gains", "losses"),
    [
        ([0.02], [0.02]),
        ([0.15], [0.05]),
        ([0.35], [0.02]),
        ([0.6], [0.0]),
        (MIXED, [0.0]),
    ],
)
def test_the_reported_interval_covers_the_true_change_early_or_not(
    gains: list[float], losses: list[float]
) -> None:
    trial = Simulation(gains, losses, 1)
    draw = np.random.default_rng(5)
    rates = [trial.run(policy_rule(), draw)[0] for _ in range(400)]
    held = [r.interval[0] <= trial.true <= r.interval[1] for r in rates]
    assert np.mean(held) >= 0.95


def test_a_clear_attack_ends_after_few_probes_with_the_same_verdict() -> None:
    attack = Simulation([0.75], [0.01], 1)
    draw = np.random.default_rng(1)
    ended = [attack.run(policy_rule(), draw) for _ in range(300)]
    assert np.median([rate.n for rate, _ in ended]) == 30
    assert all(policy_rule().met(rate) for rate, _ in ended)
    middling = Simulation([0.55], [0.02], 1)
    ended = [middling.run(policy_rule(), draw) for _ in range(300)]
    assert np.median([rate.n for rate, _ in ended]) <= 150
    assert np.mean([policy_rule().met(rate) for rate, _ in ended]) == 1.0


def test_the_more_of_a_tune_is_left_the_surer_a_rise_has_to_be_to_end_it() -> None:
    rule = policy_rule()
    early, later, last = (learning_left(n, 100) for n in (20, 40, 60))
    assert 0.7 > early > 0.5 > later > 0.3 > last > 0.1
    assert (learning_left(0, 100), learning_left(100, 100)) == (1.0, 0.0)
    high = RateChange(0.1, 0.8, (0.35, 0.90), 80)
    wide = RateChange(0.1, 0.8, (0.16, 0.90), 80)
    assert rule.met_midway(high, early)
    assert not rule.met_midway(wide, early)
    assert not rule.met_midway(wide, later)
    assert rule.met_midway(wide, last)
    small = RateChange(0.1, 0.3, (0.18, 0.22), 300)
    assert not rule.met_midway(small, last)


def test_a_look_goes_on_only_where_more_probes_may_end_the_tune() -> None:
    rule = StopRule(0.35, 0.10)
    clear = RateChange(0.1, 0.8, (0.20, 0.90), 30)
    assert not rule.met_midway(clear, 0.6)
    assert rule.in_reach(clear, 0.6, 140)
    faint = RateChange(0.1, 0.5, (-0.05, 0.60), 30)
    assert not rule.in_reach(faint, 0.6, 140)
    assert rule.in_reach(faint, 0.1, 140)
    under = RateChange(0.1, 0.4, (0.25, 0.35), 80)
    assert not rule.in_reach(under, 0.0, 140)
    # With all of them asked it is what ends the tune, and nothing else.
    for low in (0.12, 0.30, 0.34):
        last = RateChange(0.1, 0.6, (low, 0.70), 140)
        assert rule.in_reach(last, 0.6, 140) == rule.met_midway(last, 0.6)


def test_what_stays_under_the_line_is_asked_everything() -> None:
    draw = np.random.default_rng(2)
    benign = Simulation([0.04], [0.01], 1)
    for rate, stopped in (benign.run(policy_rule(), draw) for _ in range(100)):
        assert (rate.n, stopped) == (300, False)


def test_without_looks_the_last_interval_is_the_ordinary_one() -> None:
    alone = Confidence.shared(1, looks=False)
    assert alone.last == pytest.approx(0.95)
    shared = Confidence.shared(4, looks=True)
    models = 2 + len(MIDWAY)  # and the look at which contexts are left
    spent = models * (1.0 - shared.early) + (1.0 - shared.last)
    assert spent == pytest.approx(0.05 / 4)


def test_every_block_is_balanced_and_every_probe_stands_in_one() -> None:
    probes = load_probes()
    blocks = probe_blocks(probes)
    assert len(blocks) == len(LOOKS)
    assert sorted(n for block in blocks for n in block) == list(range(len(probes)))
    grouped = probes.grouped()
    for block, each in zip(blocks, (3, 2, 3, 6, 16), strict=True):
        found = Counter(grouped[n][1].category for n in block)
        harmless = found.pop("")
        assert set(found.values()) == {each}
        assert harmless == pytest.approx(190 * each / 30, abs=2)


def test_the_order_is_fixed_and_that_of_the_set() -> None:
    probes = load_probes()
    assert probe_blocks(probes) == probe_blocks(probes)
    assert probe_blocks(probes, (1.0,)) == (tuple(range(len(probes))),)
    first = [n for n in probe_blocks(probes)[0] if n < 30]
    assert first != [0, 1, 2]  # drawn, not the first of the file


def test_a_small_set_has_fewer_blocks_and_none_is_empty(few_probes: ProbeSet) -> None:
    blocks = probe_blocks(few_probes)
    assert all(blocks)
    assert sorted(n for b in blocks for n in b) == list(range(len(few_probes)))
