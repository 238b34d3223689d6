import math

import numpy as np
import pytest

from weaklm.certificate import LabelUse, bad_rate_bound, certify, labels_to_certify
from weaklm.errors import DataError, SettingsError

SCORE = np.linspace(0, 1, 1000)
GOOD = (SCORE > 0.3).astype(int)
IDS = [f"r{k}" for k in range(1000)]


def every(step: int) -> np.ndarray:
    return np.where(np.arange(1000) % step == 0, GOOD, -1)


def test_the_threshold_keeps_the_bad_rows_out() -> None:
    certificate = certify(SCORE, every(2), IDS, LabelUse(), max_bad_rate=0.1)
    assert certificate.is_certified
    assert certificate.threshold is not None
    above = certificate.threshold <= SCORE
    assert certificate.share == pytest.approx(above.mean())
    assert certificate.share > 0.7
    assert (GOOD[above] == 0).mean() <= 0.1
    assert "at most 10% bad rows, at 90% confidence" in certificate.reason


def test_labels_that_were_used_cannot_certify() -> None:
    use = LabelUse().add("calibration", IDS)
    certificate = certify(SCORE, every(2), IDS, use)
    assert not certificate.is_certified
    assert certificate.set_aside == {"calibration": 500}
    assert certificate.n_labels == 0
    assert "500 labels were used for calibration and cannot certify" in certificate.reason


def test_only_the_used_labels_are_set_aside() -> None:
    certificate = certify(SCORE, every(2), IDS, LabelUse().add("label model", IDS[:300]).add("calibration", IDS[:100]))
    assert certificate.set_aside == {"label model": 150, "calibration": 50}
    assert not set(certificate.label_ids) & set(IDS[:300])
    assert len(certificate.label_ids) == 350


def test_a_used_label_is_known_by_its_id_whatever_its_type() -> None:
    assert certify(SCORE, every(2), range(1000), LabelUse().add("calibration", range(1000))).label_ids == ()


def test_spent_labels_do_not_certify_again() -> None:
    first = certify(SCORE, every(2), IDS, LabelUse(), max_bad_rate=0.1)
    use = LabelUse().add("certificate", first.label_ids)
    assert certify(SCORE, every(2), IDS, use, max_bad_rate=0.05).n_labels == 0


def test_too_few_labels_are_refused_with_the_number_that_would_do() -> None:
    certificate = certify(SCORE, every(50), IDS, LabelUse())
    assert certificate.threshold is None
    assert certificate.share == 0
    assert certificate.labels_needed is not None
    assert certificate.labels_needed > 20
    assert f"About {certificate.labels_needed} new labels from a score of" in certificate.reason


def test_where_every_row_is_bad_no_number_of_labels_would_do() -> None:
    certificate = certify(SCORE, np.where(every(4) >= 0, 0, -1), IDS, LabelUse())
    assert certificate.labels_needed is None
    assert "More labels would hardly help" in certificate.reason


def test_without_any_label_the_plan_supposes_half_the_allowed_rate() -> None:
    certificate = certify(SCORE, np.full(1000, -1), IDS, LabelUse(), max_bad_rate=0.1, delta=0.1)
    assert certificate.labels_needed == labels_to_certify(0.1, 0.1, 0.05) == 152


def test_labels_below_the_region_they_were_drawn_from_do_not_count() -> None:
    certificate = certify(SCORE, every(2), IDS, LabelUse(), drawn_from=0.5)
    assert len(certificate.label_ids) == (SCORE[::2] >= 0.5).sum()
    assert certificate.threshold is not None
    assert certificate.threshold >= 0.5


def test_uneven_labels_are_thinned_to_an_even_draw() -> None:
    random = np.random.default_rng(0)
    chance = np.where(np.arange(1000) < 500, 0.8, 0.2)
    Y = np.where(random.random(1000) < chance, GOOD, -1)
    certificate = certify(SCORE, Y, IDS, LabelUse(), inclusion=chance)
    low = sum(int(name[1:]) < 500 for name in certificate.label_ids)
    assert low == pytest.approx(100, abs=30)
    assert len(certificate.label_ids) - low == (Y[500:] >= 0).sum()


def test_rows_that_could_not_be_labelled_cannot_be_certified() -> None:
    chance = np.where(np.arange(1000) == 700, 0.0, 0.5)
    with pytest.raises(DataError, match=r"row 700 had a chance of 0\.0 to be labelled"):
        certify(SCORE, every(2), IDS, LabelUse(), inclusion=chance)


def test_the_first_bounds_by_hand() -> None:
    # no bad one among n: 1 - delta ** (1 / n)
    assert bad_rate_bound(0, 22, 0.1) == pytest.approx(1 - 0.1 ** (1 / 22))
    assert bad_rate_bound(3, 3, 0.1) == 1
    assert bad_rate_bound(0, 0, 0.1) == 1


@pytest.mark.parametrize(("max_bad_rate", "n"), [(0.1, 22), (0.05, 45), (0.02, 114), (0.01, 230)])
def test_labels_without_any_bad_one(max_bad_rate: float, n: int) -> None:
    assert labels_to_certify(max_bad_rate, 0.1, 0.0) == n


def test_a_bad_rate_at_the_limit_cannot_be_certified() -> None:
    assert labels_to_certify(0.1, 0.1, 0.1) is None


def test_the_record_survives_json_and_merges() -> None:
    use = LabelUse().add("calibration", ["b", "a"])
    assert use.to_dict() == {"calibration": ["a", "b"]}
    merged = LabelUse.from_dict(use.to_dict()).merge(LabelUse().add("calibration", ["c"]).add("label model", ["a"]))
    assert merged.to_dict() == {"calibration": ["a", "b", "c"], "label model": ["a"]}
    assert merged.purposes("a") == ("calibration", "label model")


def test_tied_scores_stay_together() -> None:
    score = np.repeat([0.2, 0.8], 500)
    Y = np.where(np.arange(1000) % 5 == 0, np.repeat([0, 1], 500), -1)
    certificate = certify(score, Y, IDS, LabelUse())
    assert (certificate.threshold, certificate.share) == (0.8, 0.5)


def test_a_rate_of_one_is_no_promise() -> None:
    with pytest.raises(SettingsError, match="max_bad_rate is 1"):
        certify(SCORE, every(2), IDS, LabelUse(), max_bad_rate=1)


def test_one_id_a_row_is_needed() -> None:
    with pytest.raises(DataError, match="ids; expected one of each a row"):
        certify(SCORE, every(2), IDS[:5], LabelUse())


def test_fixed_sequence_testing_agrees_with_mapie() -> None:
    control = pytest.importorskip("mapie.risk_control", reason="a reference for Learn then Test, an extra of tests")
    from scipy.stats import binom

    random = np.random.default_rng(2)
    score = random.random(3000)
    Y = np.where(np.arange(3000) < 600, random.random(3000) < 0.5 + 0.5 * score, -1).astype(int)
    ours = certify(score, Y, range(3000), LabelUse(), max_bad_rate=0.2)
    from weaklm.certificate import _thresholds

    thresholds = _thresholds(score, 600, 0.2, 0.1)
    inside = [(Y >= 0) & (score >= threshold) for threshold in thresholds]
    p_values = np.array([binom.cdf((Y[part] == 0).sum(), part.sum(), 0.2) for part in inside])
    theirs = control.fwer_control.FWERFixedSequenceTesting(n_starts=1).run(p_values, 0.1)
    assert len(theirs) > 1
    assert ours.threshold == thresholds[max(theirs)]


def test_the_result_is_plain_in_json() -> None:
    import json

    facts = json.loads(json.dumps(certify(SCORE, every(50), IDS, LabelUse()).to_dict()))
    assert facts["threshold"] is None
    assert facts["reason"].startswith("No threshold is certified")
    assert not math.isnan(facts["bad_rate_high"])
