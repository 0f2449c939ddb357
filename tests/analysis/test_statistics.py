"""Medians, ratios, quantiles, tests and trends: their laws, and their agreement with scipy."""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.analysis import statistics
from lbench.analysis.permutation import permutation_test
from lbench.analysis.statistics import (
    Estimate,
    change_point,
    coefficient_of_variation,
    holm,
    median_estimate,
    paired_p,
    paired_ratio_estimate,
    quantile,
    quantile_estimates,
    ratio_estimate,
    student_p,
    trend,
    unpaired_p,
)
from lbench.engine.measure.stop_rule import order_interval

times = st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=25)
quick = settings(max_examples=30, deadline=None)


def known(estimate: Estimate | None) -> Estimate:
    assert estimate is not None
    return estimate


def width(estimate: Estimate | None) -> float:
    low, high = known(estimate).interval or (math.nan, math.nan)
    return high - low


# medians


@quick
@given(times)
def test_the_interval_holds_the_median_and_lies_within_the_values(values: list[float]) -> None:
    found = known(median_estimate(values))
    assert found.value == pytest.approx(np.median(values)) and found.count == len(values)
    if len(values) == 1:
        assert found.interval is None
    else:
        assert found.low is not None and found.high is not None
        assert min(values) <= found.low <= found.value * (1 + 1e-12)
        assert found.value * (1 - 1e-12) <= found.high <= max(values)


@quick
@given(times, st.randoms())
def test_the_order_of_the_values_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert median_estimate(values) == median_estimate(shuffled)


@quick
@given(times, st.sampled_from([0.25, 2.0, 1024.0]))
def test_another_unit_scales_the_interval(values: list[float], scale: float) -> None:
    one, other = known(median_estimate(values)), known(median_estimate([value * scale for value in values]))
    assert other.value == one.value * scale
    if one.interval is not None:
        assert other.interval == pytest.approx([end * scale for end in one.interval])


@pytest.mark.parametrize(
    ("count", "kind", "cut"),
    [
        (2, "range", 0),
        (5, "range", 0),
        (6, "95 %", 0),
        (8, "95 %", 0),
        (9, "95 %", 1),
        (12, "95 %", 2),
        (19, "95 %", 4),
    ],
)
def test_below_20_values_the_interval_is_between_two_of_them(count: int, kind: str, cut: int) -> None:
    found = known(median_estimate(range(count)))
    assert (found.kind, found.interval) == (kind, (cut, count - 1 - cut))


@pytest.mark.parametrize("count", range(6, 20))
def test_intervals_of_order_statistics_are_the_narrowest_of_95_percent(count: int) -> None:
    cut = int(known(median_estimate(range(count))).low or 0)
    outside = scipy.stats.binom.cdf(cut, count, 0.5)
    assert 2 * outside <= 0.05 < 2 * scipy.stats.binom.cdf(cut + 1, count, 0.5)


@pytest.mark.parametrize("count", range(6, 20))
def test_rounds_stop_by_the_interval_that_the_report_shows(count: int) -> None:
    values = list(np.random.default_rng(count).normal(10, 1, count))
    assert order_interval(values) == known(median_estimate(values)).interval


def test_from_20_values_on_the_interval_is_a_bootstrap() -> None:
    found = known(median_estimate(np.random.default_rng(1).normal(10, 1, 20)))
    assert found.kind == "95 %"
    assert 0.6 < width(found) < 2.0  # 1.1 by theory


def test_equal_values_have_an_interval_without_width() -> None:
    assert known(median_estimate([2.0, 2.0, 2.0])).interval == (2.0, 2.0)


def test_values_that_are_not_finite_are_left_out() -> None:
    assert median_estimate([1.0, math.nan, math.inf]) == Estimate(1.0, count=1)


@pytest.mark.parametrize(
    "figure",
    [
        lambda values: median_estimate(values),
        lambda values: ratio_estimate(values[:15], values[15:]),
        lambda values: quantile_estimates(np.split(np.array(values), 6), (0.5,)),
        lambda values: change_point(values),
        lambda values: permutation_test(values[:15], values[15:]),
    ],
)
def test_the_same_values_give_the_same_figures(figure: Callable[[list[float]], object]) -> None:
    values = [float(value) for value in np.random.default_rng(2).lognormal(0, 0.2, 30)]
    assert len({repr(figure(values)) for _ in range(4)}) == 1


def test_no_values_have_no_estimate() -> None:
    assert median_estimate([]) is None
    assert median_estimate([math.nan]) is None
    assert ratio_estimate([], [1.0]) is None
    assert ratio_estimate([1.0], []) is None
    assert ratio_estimate([1.0], [0.0]) is None
    assert paired_ratio_estimate([], []) is None
    assert paired_ratio_estimate([1.0], [0.0]) is None
    assert quantile([], 0.5) is None
    assert quantile_estimates([], (0.5,)) == [None]
    assert coefficient_of_variation([1.0]) is None
    assert coefficient_of_variation([1.0, -1.0]) is None


# ratios


@quick
@given(times, times)
def test_a_ratio_lies_between_the_most_extreme_ones(over: list[float], under: list[float]) -> None:
    found = known(ratio_estimate(over, under))
    assert found.value == pytest.approx(np.median(over) / np.median(under))
    assert (found.interval is None) is (min(len(over), len(under)) == 1)
    if found.interval is not None:
        assert min(over) / max(under) * (1 - 1e-9) <= found.interval[0] <= found.interval[1]
        assert found.interval[1] <= max(over) / min(under) * (1 + 1e-9)


def test_one_value_on_either_side_has_no_interval() -> None:
    assert ratio_estimate([4.0, 5.0, 6.0], [2.0]) == Estimate(2.5, count=1)
    assert ratio_estimate([4.0], [1.0, 2.0, 3.0]) == Estimate(2.0, count=1)


@pytest.mark.parametrize(("count", "kind"), [(5, "range"), (6, "95 %")])
def test_the_smaller_sample_decides_between_range_and_interval(count: int, kind: str) -> None:
    small, large = np.linspace(1, 2, count), np.linspace(4, 6, 30)
    for found in (known(ratio_estimate(large, small)), known(ratio_estimate(small, large))):
        assert (found.kind, found.count) == (kind, count)
    assert (known(ratio_estimate(large, small)).interval == (2.0, 6.0)) is (kind == "range")


def test_pairs_cancel_what_both_have_in_common() -> None:
    generator = np.random.default_rng(2)
    common = np.exp(generator.normal(0, 0.05, 10))
    over, under = (2 * common * np.exp(generator.normal(0, 0.01, 10)), common)
    assert width(paired_ratio_estimate(over, under)) < width(ratio_estimate(over, under)) / 3
    assert known(paired_ratio_estimate([4.0, 9.0], [2.0, 3.0])).interval == (2.0, 3.0)


# quantiles over several repeats


def test_one_repeat_has_a_quantile_without_an_interval() -> None:
    assert quantile_estimates([[1.0, 2.0, 4.0]], (0.5,)) == [Estimate(2.0, count=1)]


def test_a_few_repeats_have_the_range_of_their_own_quantiles() -> None:
    assert quantile_estimates([[1.0, 1.0, 1.0], [5.0], []], (0.5,)) == [Estimate(1.0, 1.0, 5.0, 2, "range")]
    assert known(quantile_estimates([[1.0]] * 5, (0.5,))[0]).kind == "range"
    assert known(quantile_estimates([[1.0]] * 6, (0.5,))[0]).kind == "95 %"


@pytest.mark.parametrize(("q", "count"), [(0.99, 300), (0.999, 3000)])
def test_a_high_quantile_needs_three_values_beyond_it(q: float, count: int) -> None:
    assert quantile_estimates([range(count - 1)], (q,)) == [None]
    assert quantile_estimates([range(count)], (q,)) == [Estimate(pytest.approx(q * (count - 1)), count=1)]
    assert quantile_estimates([range(4)], (0.5,)) != [None]


def test_repeats_that_differ_widen_the_interval_of_a_quantile() -> None:
    generator = np.random.default_rng(3)
    values = generator.normal(0, 0.05, (8, 64))
    alike = quantile_estimates(np.exp(values), (0.5,))[0]
    apart = quantile_estimates(np.exp(values + generator.normal(0, 0.05, (8, 1))), (0.5,))[0]
    assert width(apart) > 2.5 * width(alike)


def test_many_values_are_thinned_out_evenly() -> None:
    found = known(quantile_estimates([np.arange(20_000.0)] * 6, (0.5,))[0])
    assert found.value == pytest.approx(9999.5)
    assert found.low == pytest.approx(10_000, rel=0.05) and found.high == pytest.approx(10_000, rel=0.05)


def test_quantiles_and_spread_are_those_of_the_textbook() -> None:
    assert quantile([1, 2, 3, 4], 0.5) == 2.5
    assert quantile(range(101), 0.99) == 99
    assert coefficient_of_variation([9, 10, 11]) == pytest.approx(0.1)


# tests


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 8, 17, 29])
@pytest.mark.parametrize("t", [0.0, 0.3, -1.0, 2.5, 9.0])
def test_students_distribution_is_that_of_scipy(degrees: int, t: float) -> None:
    assert student_p(t, degrees) == pytest.approx(2 * scipy.stats.t.sf(abs(t), degrees), abs=1e-12)


@pytest.mark.parametrize("count", [6, 8, 12, 20, 70])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_pairs_are_compared_by_the_signed_rank_test(count: int, shift: float) -> None:
    generator = np.random.default_rng(count)
    over, under = np.exp(generator.normal(shift, 1, count)), np.exp(generator.normal(0, 1, count))
    exact = scipy.stats.wilcoxon(np.log(over) - np.log(under), method="exact" if count <= 60 else "approx").pvalue
    assert paired_p(over, under) == pytest.approx(exact, abs=1e-9)
    assert paired_p(under, over) == pytest.approx(exact, abs=1e-9)


def test_tied_pairs_have_mean_ranks() -> None:
    differences = np.array([0.0, 1.0, 1.0, 1.0, -1.0, 2.0, 3.0, 3.0])
    signs = np.array(list(itertools.product((-1, 1), repeat=7)))
    ranks = scipy.stats.rankdata(np.abs(differences[1:]))
    found = abs((np.sign(differences[1:]) * ranks).sum())
    expected = (np.abs(signs @ ranks) >= found - 1e-9).mean()
    assert paired_p(np.exp(differences), np.ones(8)) == pytest.approx(expected)
    assert paired_p([1.0] * 8, [1.0] * 8) == 1.0


@pytest.mark.parametrize(("sizes", "shift"), [((6, 6), 0.5), ((5, 9), 1.0), ((20, 10), 0.3), ((40, 40), 0.2)])
def test_samples_without_pairs_are_compared_by_ranks(sizes: tuple[int, int], shift: float) -> None:
    generator = np.random.default_rng(sizes[0])
    over, under = (np.exp(generator.normal(mean, 1, size)) for mean, size in zip((shift, 0.0), sizes, strict=True))
    method = "exact" if sum(sizes) <= 60 else "asymptotic"
    expected = scipy.stats.mannwhitneyu(over, under, method=method, use_continuity=False).pvalue
    assert unpaired_p(over, under) == pytest.approx(expected, abs=1e-9)
    assert unpaired_p(under, over) == pytest.approx(expected, abs=1e-9)


def test_equal_samples_show_nothing() -> None:
    assert unpaired_p([2.0] * 6, [2.0] * 6) == 1.0
    assert unpaired_p([2.0] * 40, [2.0] * 40) == 1.0
    assert paired_p([2.0] * 3, [2.0] * 3) == 1.0
    assert unpaired_p([2.0] * 3, [2.0] * 3) == 1.0


@pytest.mark.parametrize(("count", "comparisons"), [(3, 1), (5, 1), (6, 2), (7, 4)])
def test_pairs_below_the_reach_of_ranks_take_students_test_at_a_fifth_of_the_level(
    count: int, comparisons: int
) -> None:
    generator = np.random.default_rng(count)
    over, under = np.exp(generator.normal(0.4, 0.2, count)), np.exp(generator.normal(0, 0.2, count))
    expected = 5 * scipy.stats.ttest_rel(np.log(over), np.log(under)).pvalue
    assert paired_p(over, under, comparisons) == pytest.approx(min(1.0, expected))


@pytest.mark.parametrize(("count", "comparisons"), [(6, 1), (7, 2), (8, 4), (9, 8)])
def test_ranks_decide_as_soon_as_they_can(count: int, comparisons: int) -> None:
    over, under = [2.0 + place for place in range(count)], [1.0] * count
    assert paired_p(over, under, comparisons) == pytest.approx(2 / 2**count)


def test_small_samples_without_pairs_take_welchs_test_with_the_smaller_ones_degrees() -> None:
    over, under = np.exp([1.0, 1.1, 1.3]), np.exp([0.1, 0.0, 0.3, 0.2])
    logs = np.log(over), np.log(under)
    error = math.sqrt(logs[0].var(ddof=1) / 3 + logs[1].var(ddof=1) / 4)
    t = (logs[0].mean() - logs[1].mean()) / error
    assert unpaired_p(over, under) == pytest.approx(5 * 2 * scipy.stats.t.sf(t, 2))
    assert unpaired_p([2.0] * 3, [1.0] * 3) == 0.0


def test_two_values_settle_nothing() -> None:
    assert paired_p([9.0, 9.1], [1.0, 1.1]) == 1.0
    assert unpaired_p([9.0, 9.1], [1.0, 1.1, 1.2, 1.1, 1.2, 1.1, 1.2]) == 1.0


def test_holm_multiplies_the_smallest_most() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


# order


def test_a_steady_rise_is_a_trend_and_noise_is_not() -> None:
    rising = trend([10.0, 10.2, 10.4, 10.6, 10.8, 11.0])
    assert rising is not None and rising.p == pytest.approx(2 / 720)
    assert rising.change == pytest.approx(1 / 10.5)
    noise = trend([10.0, 10.4, 9.9, 10.1, 10.3, 10.0])
    assert noise is not None and noise.p > 0.3
    assert trend([1.0, 2.0, 3.0, 4.0]) is None
    assert trend([0.0] * 5) is None


@pytest.mark.parametrize("count", [5, 7, 9])
def test_the_trend_is_exact_below_10_values(count: int) -> None:
    values = list(10 + np.random.default_rng(count).normal(0, 1, count))
    found = trend(values)
    assert found is not None
    assert found.p == pytest.approx(scipy.stats.kendalltau(range(count), values, method="exact").pvalue)


@pytest.mark.parametrize("count", [10, 30])
def test_from_10_values_on_the_trend_has_the_normal_approximation(count: int) -> None:
    values = list(range(count, 0, -1))
    rising = count * (count - 1) / 2
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    found = trend(values)
    assert found is not None and found.change < 0
    assert found.p == pytest.approx(2 * scipy.stats.norm.sf((rising - 1) / deviation))


def step(before: int, after: int, level: float = 5.0) -> Sequence[float]:
    generator = np.random.default_rng(before)
    return list(np.concatenate([generator.normal(4.0, 0.02, before), generator.normal(level, 0.02, after)]))


@pytest.mark.parametrize(("before", "after"), [(5, 5), (4, 8), (9, 4)])
def test_a_step_is_found_where_it_is(before: int, after: int) -> None:
    found = change_point(step(before, after))
    assert found is not None and abs(found.at - before) <= 1 and found.p < 0.02
    assert found.change == pytest.approx(0.25, abs=0.02)
    down = change_point(step(before, after, level=3.0))
    assert down is not None and down.change == pytest.approx(-0.25, abs=0.02)


def test_noise_has_no_step_and_few_values_are_not_asked() -> None:
    found = change_point(list(np.random.default_rng(4).normal(4, 0.1, 12)))
    assert found is not None and found.p > 0.05
    assert change_point([1.0] * 7) is None
    assert change_point([1.0] * 8) is not None
    assert change_point([0.0] * 8) is None


def test_steps_by_chance_are_as_rare_as_their_probability() -> None:
    generator = np.random.default_rng(5)
    found = [change_point(list(generator.normal(4, 0.1, 10))) for _ in range(60)]
    assert sum(one is not None and one.p <= 0.05 for one in found) <= 8  # 3 expected


def test_medians_of_resamples_in_blocks_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).normal(10, 1, 40)
    whole = known(median_estimate(values))
    monkeypatch.setattr(statistics, "_BLOCK", 40 * 700)
    assert known(median_estimate(values)).interval == pytest.approx(whole.interval, rel=0.01)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 0.25, 1.0, 1.5, 7.0, 1e9]), min_size=1, max_size=60), min_size=6, max_size=9
    )
)
def test_resamples_counted_by_rank_have_the_quantiles_of_resamples_that_are_sorted(repeats: list[list[float]]) -> None:
    samples = [np.sort(np.array(values)) for values in repeats]
    sizes = np.array([len(sample) for sample in samples])
    quantiles = [0.0, 0.5, 0.99, 1.0]
    generator = np.random.default_rng(statistics._SEED)
    expected = []
    for _ in range(40):
        chosen = generator.integers(0, len(samples), len(samples))
        owners = np.repeat(chosen, sizes[chosen])
        picks = (generator.random(len(owners)) * sizes[owners]).astype(int)
        values = sorted(samples[owner][pick] for owner, pick in zip(owners, picks, strict=True))
        row = []
        for q in quantiles:
            place = q * (len(values) - 1)
            low, high = values[int(place)], values[min(int(place) + 1, len(values) - 1)]
            row.append(low + (high - low) * (place - int(place)))
        expected.append(row)
    assert statistics._two_level(samples, quantiles)[:, :40].T.tolist() == expected


def test_one_pair_without_a_divisor_leaves_no_ratio() -> None:
    assert paired_ratio_estimate([1.0, 2.0, 3.0], [1.0, 0.0, 1.0]) is None


def test_few_values_are_resampled_as_they_are_and_many_are_thinned_out() -> None:
    few, many = np.arange(10.0), np.arange(20_000.0)
    assert statistics._thinned(few, 100) is few and statistics._thinned(few, 10) is few
    assert statistics._thinned(many, 101).tolist() == [round(place * 19_999 / 100) for place in range(101)]


@pytest.mark.parametrize(
    ("values", "at"),
    [([8.0] * 2 + [4.0] * 8, 2), ([4.0] * 8 + [8.0] * 2, 8), ([9.0] + [4.0] * 9, 2), ([4.0] * 9 + [9.0], 8)],
)
def test_two_values_lie_on_either_side_of_a_step(values: list[float], at: int) -> None:
    found = change_point(values)
    assert found is not None and found.at == at


def test_four_against_four_are_tested_exactly() -> None:
    assert unpaired_p([1.0, 1.1, 1.2, 1.3], [2.0, 2.1, 2.2, 2.3]) == pytest.approx(2 / math.comb(8, 4))
