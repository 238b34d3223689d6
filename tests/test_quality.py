"""QualityModel: it learns from probabilistic labels, keeps people's labels apart, explains, and survives the disk."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import weaklm as wl
from weaklm.calibration import Calibration
from weaklm.data import ACCEPT, COLUMNS
from weaklm.errors import ModelError
from weaklm.metrics import auc
from weaklm.quality import QualityModel, length_auc

ROOT = Path(__file__).parents[1]
PUBLIC = ROOT.parent / "shared" / "data"

FACTS = ("fee", "limit", "rate", "bonus", "deadline", "charge", "refund", "penalty", "reward", "deposit")


def responses(n_tasks: int = 60) -> tuple[pd.DataFrame, NDArray[np.float64], NDArray[np.int8]]:
    """Return (data, proba, truth): four answers a task, two from the context and two invented; some rows uncovered."""
    rng = np.random.default_rng(0)
    rows = []
    for task in range(n_tasks):
        fact, figure = FACTS[task % len(FACTS)], int(rng.integers(100, 900))
        context = f"The {fact} of account {task} is ${figure}. It is due in May and can be paid at every branch."
        good = (f"The {fact} is ${figure}.", f"The {fact} is ${figure}, due in May.")
        bad = (f"Members of gold clubs enjoy a {fact} of {figure + 7}.", "Nobody knows, ask Robert Stone for advice.")
        for number, response in enumerate((*good, *bad)):
            truth, sure = int(number < 2), float(rng.choice([0.0, 0.2, 0.35]))
            rows.append((f"How high is the {fact} of {task}?", context, response, truth, 0.5 + sure * (2 * truth - 1)))
    data = pd.DataFrame(rows, columns=["instruction", "context", "response", "truth", "score"])
    score = data.pop("score").to_numpy()
    return data, np.column_stack([1 - score, score]), data.pop("truth").to_numpy(np.int8)


DATA, PROBA, TRUTH = responses()


@pytest.fixture(scope="module")
def fitted() -> QualityModel:
    return QualityModel(n_rounds=40).fit(DATA, PROBA)


@pytest.fixture(scope="module")
def calibrated() -> QualityModel:
    rng = np.random.default_rng(1)
    Y = np.where(rng.random(len(TRUTH)) < 0.5, TRUTH & (rng.random(len(TRUTH)) < 0.4), -1)  # people accept few
    return QualityModel(n_rounds=40).fit(DATA, PROBA, Y)


def test_learns_what_the_labels_say_and_scores_rows_that_have_none(fitted: QualityModel) -> None:
    uncovered = PROBA[:, 0] == PROBA[:, 1]
    assert fitted.n_covered_ == (~uncovered).sum() < len(DATA)
    assert auc(TRUTH[uncovered], fitted.predict_proba(DATA)[uncovered, ACCEPT]) > 0.95
    assert auc(TRUTH, fitted.oof_score_) > 0.95


def test_probabilities_sum_to_one(fitted: QualityModel) -> None:
    proba = fitted.predict_proba(DATA)
    assert proba.shape == (len(DATA), 2)
    assert proba.dtype == np.float64
    np.testing.assert_allclose(proba.sum(axis=1), 1)


def test_a_column_of_human_labels_changes_nothing_unless_given_as_y(fitted: QualityModel) -> None:
    labelled = DATA.assign(human_label=np.where(TRUTH == 1, "REJECT", "ACCEPT"))
    again = QualityModel(n_rounds=40).fit(labelled, PROBA)
    np.testing.assert_array_equal(again.predict_proba(labelled), fitted.predict_proba(DATA))
    assert (again.calibrated_, again.n_human_) == (False, 0)


def test_human_labels_set_the_level_and_leave_the_ranking(fitted: QualityModel, calibrated: QualityModel) -> None:
    before, after = fitted.predict_proba(DATA)[:, ACCEPT], calibrated.predict_proba(DATA)[:, ACCEPT]
    assert calibrated.calibrated_
    assert before.mean() > 0.4
    assert 0.12 < calibrated.oof_score_.mean() < 0.28  # people accepted 0.4 of one half
    np.testing.assert_array_equal(np.argsort(before, kind="stable"), np.argsort(after, kind="stable"))


def test_too_few_human_labels_do_not_calibrate() -> None:
    Y = np.full(len(DATA), -1)
    Y[:12] = TRUTH[:12]
    model = QualityModel(n_rounds=5).fit(DATA, PROBA, Y)
    assert (model.calibrated_, model.n_human_) == (False, 12)


def test_labels_that_contradict_the_score_do_not_turn_it_around() -> None:
    line = Calibration.fit(np.linspace(-2, 2, 100), [1] * 50 + [0] * 50, min_labels=10)
    assert 0 < line.slope < 0.5


@pytest.mark.parametrize("kind", ["fitted", "calibrated"])
def test_contributions_sum_to_the_logit(kind: str, request: pytest.FixtureRequest) -> None:
    model: QualityModel = request.getfixturevalue(kind)
    score = model.predict_proba(DATA)[:, ACCEPT]
    parts = model.explain(DATA.set_index(DATA.index + 7))
    np.testing.assert_allclose(parts.sum(axis=1), np.log(score / (1 - score)), atol=1e-6)
    assert parts.index[0] == 7
    assert [*model.features(DATA).columns, "bias"] == list(parts.columns)


def test_features_of_known_direction_push_in_that_direction_only(fitted: QualityModel) -> None:
    rng = np.random.default_rng(0)
    X = fitted.features(DATA)
    before = fitted._predict(fitted._booster, fitted._filled(X))
    after = fitted._predict(fitted._booster, fitted._filled(X.assign(novel_share=X.novel_share + rng.random(len(X)))))
    assert (after <= before + 1e-12).all()
    assert (after < before).any()


def test_same_seed_gives_the_same_file_and_another_seed_does_not(fitted: QualityModel, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        QualityModel(n_rounds=40, random_state=seed).fit(DATA, PROBA).save(tmp_path / name)
    texts = [(tmp_path / name / "model.txt").read_bytes() for name in "abc"]
    assert texts[0] == texts[1] != texts[2]


def test_rows_of_a_group_share_a_fold() -> None:
    # One wording a group, its label tells all: a model that had seen the group would know it.
    assert np.isnan(QualityModel(n_rounds=5).fit(DATA, PROBA, groups=["one"] * len(DATA)).oof_score_).all()
    fold = QualityModel()._folds(DATA["context"], len(DATA))
    assert (pd.Series(fold).groupby(DATA["context"]).nunique() == 1).all()
    assert np.bincount(fold).tolist() == [48] * 5


def test_survives_the_disk(calibrated: QualityModel, tmp_path: Path) -> None:
    calibrated.save(tmp_path / "model")
    again = QualityModel.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(DATA), calibrated.predict_proba(DATA))
    assert (again.calibrated_, again.n_human_, again.n_rounds) == (True, calibrated.n_human_, 40)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["manifest.json", "model.txt"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.txt").write_bytes((folder / "model.txt").read_bytes()[:-9]), "bytes where"),
        (
            lambda folder: (folder / "model.txt").write_bytes(b"tree" * 9),
            r"model.txt has 36 bytes where \d+ were saved",
        ),
        (lambda folder: _flip(folder / "model.txt"), "model.txt was changed after it was saved"),
        (lambda folder: (folder / "model.txt").unlink(), r"there is no .*model.txt"),
        (lambda folder: (folder / "manifest.json").unlink(), r"there is no .*manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text('{"format": '), "manifest.json is damaged"),
        (lambda folder: (folder / "manifest.json").write_text('{"format": "x 9"}'), "is of format 'x 9'"),
        (lambda folder: _drop(folder / "manifest.json", "typical"), "manifest.json lacks typical"),
    ],
)
def test_a_damaged_model_is_refused_by_name(
    damage: Callable[[Path], object], message: str, fitted: QualityModel, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ModelError, match=message):
        QualityModel.load(tmp_path)


def test_a_model_of_other_features_is_refused(fitted: QualityModel, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"features": manifest["features"][::-1]}))
    with pytest.raises(ModelError, match="other features"):
        QualityModel.load(tmp_path).predict_proba(DATA)


def test_an_answer_without_the_expected_context_does_not_pass_for_a_supported_one(fitted: QualityModel) -> None:
    with_context, without = fitted.predict_proba(DATA), fitted.predict_proba(DATA.assign(context=""))
    assert (without[TRUTH == 1, ACCEPT] < with_context[TRUTH == 1, ACCEPT]).all()


@pytest.mark.parametrize(
    ("proba", "keywords", "message"),
    [
        (np.full((240, 2), 0.5), {}, "no function voted on any of the 240 rows"),
        (np.tile([0.3, 0.7], (240, 1)), {}, "all 240 rows that functions voted on have the same P.ACCEPT. of 0.7"),
        (PROBA[:5], {}, r"proba has shape \(5, 2\); \(240, 2\) is expected"),
        (PROBA * 2, {}, "proba, row 0: .* are no probabilities that sum to 1"),
        (PROBA, {"Y": [0, 1]}, r"Y has shape \(2,\)"),
        (PROBA, {"Y": [7] * 240}, "-1, 0 or 1"),
        (PROBA, {"groups": ["a"]}, "groups has 1 entries for 240 rows"),
        (PROBA, {"covered": [True]}, r"covered has shape \(1,\)"),
    ],
)
def test_says_what_is_wrong_with_the_labels(
    proba: NDArray[np.float64], keywords: dict[str, list[int]], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        QualityModel(n_rounds=2).fit(DATA, proba, **keywords)


def test_labels_that_all_lean_to_one_side_are_learned_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="all 240 rows that functions voted on lean to REJECT"):
        model = QualityModel(n_rounds=20).fit(DATA, np.column_stack([1 - 0.4 * TRUTH - 0.05, 0.4 * TRUTH + 0.05]))
    assert auc(TRUTH, model.oof_score_) > 0.95


def test_says_what_to_do_before_fit(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not fitted yet; call fit\(data, proba\)"):
        QualityModel().predict_proba(DATA)
    with pytest.raises(ModelError, match="nothing to save"):
        QualityModel().save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_length_alone_is_judged_whichever_way_round() -> None:
    data = pd.DataFrame({"response": ["a b c", "a b", "a", "a b c d"]})
    assert length_auc(data, [0, 1, 1, -1]) == length_auc(data, [1, 0, 0, -1]) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "floor"), [("mtrag", 0.83), ("begin", 0.92)])
def test_weak_only_scores_rank_held_out_public_answers(
    name: str, floor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not PUBLIC.is_dir():
        pytest.skip(f"the public data sets are not at {PUBLIC}")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delitem(sys.modules, "quality", raising=False)
    benchmark = importlib.import_module("quality")
    data = getattr(benchmark, name)(PUBLIC)
    L = wl.LFApplier(wl.load(ROOT / "lfs")).apply(data[list(COLUMNS)])
    score, _ = benchmark.held_out_scores(data, L)
    judged = (data["source"] != "reference").to_numpy()
    assert auc(wl.human_labels(data)[judged], score[judged]) >= floor


def _flip(path: Path) -> None:
    text = bytearray(path.read_bytes())
    text[len(text) // 2] ^= 1
    path.write_bytes(bytes(text))


def _drop(path: Path, key: str) -> None:
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != key}))
