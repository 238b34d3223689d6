"""QualityModel: it learns from probabilistic labels, keeps people's labels apart, explains, and survives the disk."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import weaklm as wl
from weaklm.certificate import LabelUse, certify
from weaklm.data import ACCEPT, COLUMNS
from weaklm.errors import ModelError, WeaklmError
from weaklm.features import DIRECTIONS
from weaklm.metrics import auc, brier, ece
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


def middling() -> tuple[pd.DataFrame, NDArray[np.float64], NDArray[np.bool_]]:
    """Return (data, proba, good): weak labels that want answers neither short nor long, which no line can say."""
    words = np.random.default_rng(0).integers(1, 30, len(DATA))
    good = np.abs(words - 15) < 7
    data = DATA.assign(response=[f"{text} " * 9 for text in DATA["response"]])
    data["response"] = [" ".join(text.split()[:n]) for text, n in zip(data["response"], words, strict=True)]
    return data, np.column_stack([0.9 - 0.8 * good, 0.1 + 0.8 * good]), good


MIDDLING, MIDDLING_PROBA, GOOD = middling()
LABELS = np.random.default_rng(1)
HUMAN = np.where(LABELS.random(len(TRUTH)) < 0.5, TRUTH & (LABELS.random(len(TRUTH)) < 0.4), -1)  # people accept few


@pytest.fixture(scope="module")
def calibrated() -> QualityModel:
    return QualityModel(n_rounds=40).fit(DATA, PROBA, HUMAN)


@pytest.fixture(scope="module")
def with_trees() -> QualityModel:
    return QualityModel().fit(MIDDLING, MIDDLING_PROBA, HUMAN)


@pytest.fixture(scope="module")
def contradicted() -> QualityModel:
    """A model whose human labels say the opposite of the weak ones."""
    return QualityModel(n_rounds=10).fit(DATA, PROBA, np.where(np.arange(len(DATA)) % 3 == 0, 1 - TRUTH, -1))


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


def test_human_labels_set_the_level(fitted: QualityModel, calibrated: QualityModel) -> None:
    before, after = fitted.predict_proba(DATA)[:, ACCEPT], calibrated.oof_score_
    assert calibrated.calibrated_
    assert before.mean() > 0.4
    assert 0.12 < after.mean() < 0.28  # people accepted 0.4 of one half


def test_too_few_human_labels_do_not_calibrate() -> None:
    Y = np.full(len(DATA), -1)
    Y[:12] = TRUTH[:12]
    model = QualityModel(n_rounds=5).fit(DATA, PROBA, Y)
    assert (model.calibrated_, model.n_human_) == (False, 12)


@pytest.mark.parametrize("kind", ["fitted", "calibrated", "with_trees"])
def test_contributions_sum_to_the_logit(kind: str, request: pytest.FixtureRequest) -> None:
    model: QualityModel = request.getfixturevalue(kind)
    score = model.predict_proba(DATA)[:, ACCEPT]
    parts = model.explain(DATA.set_index(DATA.index + 7))
    np.testing.assert_allclose(parts.sum(axis=1), np.log(score / (1 - score)), atol=1e-6)
    assert parts.index[0] == 7
    assert [*model.features(DATA).columns, "bias"] == list(parts.columns)


@pytest.mark.parametrize("kind", ["fitted", "contradicted", "with_trees"])
def test_features_of_known_direction_push_in_that_direction_only(kind: str, request: pytest.FixtureRequest) -> None:
    model: QualityModel = request.getfixturevalue(kind)
    X = model.features(DATA)
    random = np.random.default_rng(0)

    def score(table: pd.DataFrame) -> NDArray[np.float64]:
        model.features = lambda _: table  # type: ignore[method-assign, assignment]
        try:
            return model.predict_proba(DATA)[:, ACCEPT]
        finally:
            del model.features

    before, n_moved = score(X), 0
    for name, direction in DIRECTIONS.items():
        change = direction * (score(X.assign(**{name: X[name] + random.random(len(X))})) - before)
        assert (change >= -1e-12).all(), name
        n_moved += bool((change > 1e-6).any())
    assert n_moved > 5 or kind == "contradicted"  # people who contradict a direction leave nothing of it


def test_same_seed_gives_the_same_file_and_another_seed_does_not(with_trees: QualityModel, tmp_path: Path) -> None:
    with_trees.save(tmp_path / "a")
    for name, seed in (("b", 0), ("c", 1)):
        QualityModel(random_state=seed).fit(MIDDLING, MIDDLING_PROBA, HUMAN).save(tmp_path / name)
    for file in ("model.txt", "manifest.json"):
        texts = [(tmp_path / name / file).read_bytes() for name in "abc"]
        assert texts[0] == texts[1] != texts[2]


def test_rows_of_a_group_share_a_fold() -> None:
    for one in ("one", None):
        assert np.isnan(QualityModel(n_rounds=5).fit(DATA, PROBA, groups=[one] * len(DATA)).oof_score_).all()
    _, fold = QualityModel()._folds(DATA["context"], len(DATA))
    assert (pd.Series(fold).groupby(DATA["context"]).nunique() == 1).all()
    assert np.bincount(fold).tolist() == [48] * 5


def test_survives_the_disk(with_trees: QualityModel, tmp_path: Path) -> None:
    with_trees.save(tmp_path / "model")
    again = QualityModel.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(DATA), with_trees.predict_proba(DATA))
    assert (again.calibrated_, again.n_human_, again.n_rounds_) == (True, with_trees.n_human_, with_trees.n_rounds_)
    assert again.label_use_ == with_trees.label_use_
    assert again.shortcut_ == with_trees.shortcut_
    pd.testing.assert_frame_equal(again.explain(DATA), with_trees.explain(DATA))
    pd.testing.assert_frame_equal(again.drift(DATA), with_trees.drift(DATA))
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
        (
            lambda folder: (folder / "manifest.json").write_text('{"format": "weaklm QualityModel 1"}'),
            "is of format 'weaklm QualityModel 1', this weaklm reads 'weaklm QualityModel 2'; fit and save",
        ),
        (lambda folder: _escape(folder / "manifest.json"), "names a file outside its folder, '../model.txt'"),
        (lambda folder: _drop(folder / "manifest.json", "scale"), "manifest.json lacks scale"),
        (lambda folder: _empty(folder / "manifest.json", "scale"), "manifest.json is damaged .KeyError..knots"),
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
    manifest["seen"]["names"].reverse()
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="other features"):
        QualityModel.load(tmp_path).predict_proba(DATA)


def test_a_label_does_not_reach_the_out_of_fold_score_of_its_group(calibrated: QualityModel) -> None:
    """Turning one group's labels around leaves its out-of-fold scores as they are, and moves those of other folds."""
    flipped = HUMAN.copy()
    one = (DATA["context"] == DATA["context"].iloc[0]).to_numpy()
    flipped[one] = 1
    again = QualityModel(n_rounds=40).fit(DATA, PROBA, flipped)
    np.testing.assert_array_equal(again.oof_score_[one], calibrated.oof_score_[one])
    assert np.abs(again.oof_score_ - calibrated.oof_score_).max() > 1e-3


def test_what_people_say_beyond_the_weak_labels_is_learned() -> None:
    # People want short answers, whatever they say; the weak labels never heard of that.
    taste = (DATA["response"].str.split().str.len() < 7).to_numpy().astype(np.int8)
    Y = np.where(np.random.default_rng(2).random(len(DATA)) < 0.5, taste, -1)
    before, after = QualityModel().fit(DATA, PROBA), QualityModel().fit(DATA, PROBA, Y)
    assert auc(taste, before.oof_score_) < 0.75
    assert auc(taste, after.oof_score_) > 0.95


def test_labels_without_meaning_do_little_harm() -> None:
    random = np.random.default_rng(3)
    scores = [QualityModel().fit(DATA, PROBA).oof_score_]
    for _ in range(3):  # what people say has nothing to do with anything but the weak score
        weak = scores[0]
        Y = np.where(random.random(len(DATA)) < 0.2, random.random(len(DATA)) < weak, -1)
        scores.append(QualityModel().fit(DATA, PROBA, Y).oof_score_)
    found = [brier(random.random(len(DATA)) < scores[0], score) for score in scores]
    assert max(found[1:]) < found[0] + 0.03


def test_a_label_weighs_as_many_rows_as_it_stands_for() -> None:
    # Rejected answers were drawn three times as often: taken as they are, they make people look strict.
    random = np.random.default_rng(4)
    chance = np.where(TRUTH == 1, 0.2, 0.6)
    Y = np.where(random.random(len(DATA)) < chance, TRUTH & (random.random(len(DATA)) < 0.8), -1)
    blind, weighed = (QualityModel().fit(DATA, PROBA, Y, inclusion=pi).oof_score_.mean() for pi in (None, chance))
    assert weighed > blind
    uniform = QualityModel().fit(DATA, PROBA, Y, inclusion=np.full(len(DATA), 0.3))
    np.testing.assert_allclose(uniform.oof_score_, QualityModel().fit(DATA, PROBA, Y).oof_score_, atol=1e-5)


def test_labels_that_were_used_cannot_certify(fitted: QualityModel, calibrated: QualityModel) -> None:
    from weaklm.data import complete

    ids = complete(DATA)["id"]
    assert fitted.label_use_ == LabelUse()
    assert calibrated.label_use_ == LabelUse().add("quality model", ids[HUMAN != -1])
    certificate = certify(calibrated.oof_score_, HUMAN, ids, calibrated.label_use_)
    assert certificate.set_aside == {"quality model": (HUMAN != -1).sum()}


def test_the_thread_count_of_linear_algebra_changes_nothing(with_trees: QualityModel, tmp_path: Path) -> None:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(2):
        QualityModel().fit(MIDDLING, MIDDLING_PROBA, HUMAN).save(tmp_path / "two")
    with_trees.save(tmp_path / "one")
    texts = [(tmp_path / name / "manifest.json").read_bytes() for name in ("one", "two")]
    assert texts[0] == texts[1]


def test_trees_grow_where_a_line_does_not_do() -> None:
    line, model = (QualityModel(n_rounds=n).fit(MIDDLING, MIDDLING_PROBA) for n in (0, 200))
    assert line.n_rounds_ == 0
    assert model.n_rounds_ > 20
    assert auc(GOOD, line.oof_score_) < 0.9
    assert auc(GOOD, model.oof_score_) > 0.95


def test_trees_that_add_nothing_are_not_grown(tmp_path: Path) -> None:
    noise = np.clip(0.5 + np.random.default_rng(0).normal(0, 0.2, len(DATA)), 0.05, 0.95)
    model = QualityModel().fit(DATA, np.column_stack([1 - noise, noise]))
    assert model.n_rounds_ == 0
    model.save(tmp_path)
    np.testing.assert_array_equal(QualityModel.load(tmp_path).predict_proba(DATA), model.predict_proba(DATA))


def test_from_a_thousand_labels_on_the_calibration_has_a_column_of_its_own(tmp_path: Path) -> None:
    data, proba, truth = responses(260)
    Y = np.where(np.arange(1040) % 7 == 0, 1 - truth, truth)
    model = QualityModel(n_rounds=10).fit(data, proba, Y, range(1040))
    score = model.predict_proba(data)[:, ACCEPT]
    parts = model.explain(data)
    assert parts.columns[-1] == "calibration"
    np.testing.assert_allclose(parts.sum(axis=1), np.log(score / (1 - score)), atol=1e-6)
    model.save(tmp_path)
    np.testing.assert_array_equal(QualityModel.load(tmp_path).predict_proba(data)[:, ACCEPT], score)


def test_new_answers_like_the_old_do_not_drift(fitted: QualityModel) -> None:
    fresh, *_ = responses(61)
    assert set(fitted.drift(fresh)["verdict"]) <= {"stable", "moderate drift", "too few rows"}
    assert fitted.alarms(fresh) == []


def test_answers_of_another_kind_raise_an_alarm(fitted: QualityModel) -> None:
    longer = DATA.assign(
        response=DATA["response"] + " By the way, the moon is made of cheese and of 17 other things." * 9
    )
    table = fitted.drift(longer)
    assert table.loc["words", "verdict"] == "large drift"
    assert table.loc["words", "outside"] == 1.0
    assert list(table.columns) == ["outside", "psi", "by_chance", "verdict"]
    (alarm,) = fitted.alarms(longer)
    assert alarm.startswith("Drift alarm: ")


def test_a_score_that_counts_words_raises_an_alarm() -> None:
    long = DATA["response"].str.split().str.len().to_numpy() > 7
    model = QualityModel(n_rounds=10).fit(DATA, np.column_stack([0.9 - 0.8 * long, 0.1 + 0.8 * long]))
    assert model.shortcut_.is_alarm
    assert model.alarms() == [str(model.shortcut_)]
    assert str(model.shortcut_).startswith("Shortcut alarm: on 240 weak labels, length alone has an AUC of 1.000")


def test_a_sound_score_raises_none(calibrated: QualityModel) -> None:
    assert calibrated.shortcut_.judge == "human labels"
    assert calibrated.alarms() == []


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
        (PROBA, {"inclusion": [1.0]}, r"inclusion has shape \(1,\); the chance of each row, \(240,\)"),
        (PROBA, {"Y": [1] * 240, "inclusion": [0.5, 0.0] * 120}, "the labelled row 1 had a chance of 0.0 to be drawn"),
    ],
)
def test_says_what_is_wrong_with_the_labels(proba: NDArray[np.float64], keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(WeaklmError, match=message):
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
@pytest.mark.parametrize(
    ("name", "floor", "worst_ece", "worst_brier"), [("mtrag", 0.86, 0.09, 0.13), ("begin", 0.93, 0.06, 0.105)]
)
def test_scores_of_held_out_public_answers_rank_and_with_labels_mean_what_they_say(
    name: str, floor: float, worst_ece: float, worst_brier: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not PUBLIC.is_dir():
        pytest.skip(f"the public data sets are not at {PUBLIC}")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delitem(sys.modules, "quality", raising=False)
    benchmark = importlib.import_module("quality")
    data = getattr(benchmark, name)(PUBLIC)
    L = wl.LFApplier(wl.load(ROOT / "lfs")).apply(data[list(COLUMNS)])
    judged, Y = (data["source"] != "reference").to_numpy(), wl.human_labels(data)
    weak, _ = benchmark.held_out_scores(data, L)
    assert auc(Y[judged], weak[judged]) >= floor
    found = []
    for seed in range(3):  # one draw of labels alone says little
        drawn = np.random.default_rng(seed).permutation(np.flatnonzero(judged))[:125]  # about 100 in each training part
        known = np.full(len(Y), -1, dtype=np.int8)
        known[drawn] = Y[drawn]
        score, _ = benchmark.held_out_scores(data, L, Y=known, random_state=seed)
        found.append([measure(Y[judged], score[judged]) for measure in (auc, ece, brier)])
    mean_auc, mean_ece, mean_brier = np.mean(found, axis=0)
    assert mean_auc >= floor
    assert mean_ece <= worst_ece
    assert mean_brier <= worst_brier


def _flip(path: Path) -> None:
    text = bytearray(path.read_bytes())
    text[len(text) // 2] ^= 1
    path.write_bytes(bytes(text))


def _escape(path: Path) -> None:
    manifest = json.loads(path.read_text())
    manifest["files"] = {"../model.txt": manifest["files"]["model.txt"], **manifest["files"]}
    path.write_text(json.dumps(manifest))


def _empty(path: Path, key: str) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), key: {}}))


def _drop(path: Path, key: str) -> None:
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != key}))
