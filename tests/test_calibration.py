import json

import numpy as np
import pytest
from scipy.special import expit

from weaklm.calibration import Calibration, Isotonic, VennAbers, calibrator, from_dict, to_dict
from weaklm.errors import ModelError

RANDOM = np.random.default_rng(0)
LOGIT = RANDOM.normal(0, 2, 400)
Y = (RANDOM.random(400) < 0.1 + 0.75 * expit(2 * LOGIT - 1)).astype(int)


def test_venn_abers_of_two_labels_by_hand() -> None:
    predictor = VennAbers.fit([0.0, 1.0], [0, 1])
    # below both: REJECT joins nothing, ACCEPT is pooled with the REJECT above it
    assert predictor.interval([-1.0, 2.0]).tolist() == [[0.0, 0.5], [0.5, 1.0]]
    assert predictor.score([-1.0]).tolist() == [pytest.approx(0.5 / (1 + 0.5))]


def test_venn_abers_agrees_with_mapie() -> None:
    mapie = pytest.importorskip("mapie._venn_abers", reason="a reference for Venn-ABERS, an extra of tests")
    score, new = expit(LOGIT[:150]), RANDOM.random(200)
    theirs = mapie.VennAbers()
    with np.errstate(invalid="ignore", divide="ignore"):
        theirs.fit(np.column_stack([1 - score, score]), Y[:150])
        _, pairs = theirs.predict_proba(np.column_stack([1 - new, new]))
    assert VennAbers.fit(score, Y[:150]).interval(new) == pytest.approx(pairs, abs=1e-9)


def test_p0_is_below_p1_and_both_rise() -> None:
    pairs = VennAbers.fit(LOGIT, Y).interval(np.linspace(-8, 8, 500))
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert (np.diff(pairs, axis=0) >= -1e-12).all()


def test_isotonic_agrees_with_sklearn() -> None:
    from sklearn.isotonic import IsotonicRegression

    new = np.linspace(-8, 8, 100)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(LOGIT, Y).predict(new)
    assert Isotonic.fit(LOGIT, Y).score(new) == pytest.approx(np.clip(theirs, 1 / 402, 401 / 402), abs=1 / 402)


def test_isotonic_is_never_certain() -> None:
    assert Isotonic.fit([0.0, 1.0], [0, 1]).score([-5.0, 5.0]).tolist() == [0.25, 0.75]


@pytest.mark.parametrize("form", [VennAbers, Isotonic])
def test_a_row_without_logit_has_no_score(form: type[VennAbers] | type[Isotonic]) -> None:
    fitted = form.fit(np.append(LOGIT, np.nan), np.append(Y, 1))
    assert fitted == form.fit(LOGIT, Y)
    assert np.isnan(fitted.score([np.nan, 0.0])).tolist() == [True, False]


@pytest.mark.parametrize("form", [VennAbers, Isotonic])
def test_nothing_to_calibrate_on_is_an_error(form: type[VennAbers] | type[Isotonic]) -> None:
    with pytest.raises(ModelError, match="nothing to calibrate on"):
        form.fit([0.0], [-1])


@pytest.mark.parametrize(
    ("n", "form"), [(30, Calibration), (999, Calibration), (1000, VennAbers), (1999, VennAbers), (2000, Isotonic)]
)
def test_the_number_of_labels_chooses_the_form(n: int, form: type) -> None:
    assert type(calibrator(np.arange(float(n)) % 50, np.arange(n) % 2)) is form


def test_labels_of_one_group_count_once() -> None:
    assert type(calibrator(LOGIT, Y, groups=np.arange(400) // 4)) is Calibration


@pytest.mark.parametrize("form", [VennAbers, Isotonic])
def test_a_weight_counts_as_so_many_labels(form: type[VennAbers] | type[Isotonic]) -> None:
    twice = form.fit(np.concatenate([LOGIT, LOGIT[:50]]), np.concatenate([Y, Y[:50]]))
    weighed = form.fit(LOGIT, Y, np.where(np.arange(400) < 50, 2.0, 1.0))
    assert weighed.score([-1.0, 0.0, 1.0]) == pytest.approx(twice.score([-1.0, 0.0, 1.0]), abs=0.002)


@pytest.mark.parametrize("form", [VennAbers, Isotonic])
def test_it_survives_json(form: type[VennAbers] | type[Isotonic]) -> None:
    fitted = form.fit(LOGIT, Y)
    assert from_dict(json.loads(json.dumps(to_dict(fitted)))) == fitted


def test_labels_that_contradict_the_score_do_not_turn_it_around() -> None:
    line = Calibration.fit(np.linspace(-2, 2, 100), [1] * 50 + [0] * 50, min_labels=10)
    assert 0 < line.slope < 0.5


def test_few_of_a_class_change_nothing() -> None:
    assert calibrator(LOGIT, np.where(np.arange(400) < 5, 0, 1)) == Calibration()


def test_venn_abers_fits_a_score_that_levels_off_better_than_a_line() -> None:
    truth = 0.1 + 0.75 * expit(2 * LOGIT - 1)
    line, pair = Calibration.fit(LOGIT, Y, 10).score(LOGIT), VennAbers.fit(LOGIT, Y).score(LOGIT)
    assert np.abs(pair - truth).mean() < np.abs(line - truth).mean()
