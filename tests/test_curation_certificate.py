"""Curation by a certified bad rate: what it keeps, what it refuses, and how often it is wrong."""

import numpy as np
import pandas as pd
import pytest

from weaklm.certificate import LabelUse
from weaklm.curation import QualityDataset, curate
from weaklm.errors import DataError, SettingsError


def labelled(n: int = 1000, every: int = 2) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows of which those that score above 0.3 are good, and every other one has a label."""
    score = np.linspace(0, 1, n)
    names = pd.Series(np.where(score > 0.3, "ACCEPT", "REJECT"))
    data = pd.DataFrame({"id": [f"r{k}" for k in range(n)], "instruction": "Why?", "response": "So."})
    return data.assign(human_label=names.where(np.arange(n) % every == 0)), score


def test_rows_below_the_certified_score_leave_and_the_certificate_is_printed() -> None:
    dataset = QualityDataset(*labelled()).filter(max_bad_rate=0.1, label_use=LabelUse())
    certificate = dataset.certificate
    assert certificate is not None
    assert certificate.threshold is not None
    assert dataset.to_frame()["score"].min() >= certificate.threshold > 0.2
    assert (dataset.to_frame()["score"] < 0.3).mean() <= 0.1
    assert certificate.reason in dataset.summary()["notes"]
    assert dataset.funnel()["reason"].iloc[0] == (
        f"score below {certificate.threshold:.3f}, certified for at most 10% bad rows"
    )


def test_too_few_labels_leave_no_row_and_the_number_that_would_do() -> None:
    dataset = QualityDataset(*labelled(every=100)).filter(max_bad_rate=0.1, label_use=LabelUse())
    assert len(dataset) == 0
    assert dataset.funnel()["reason"].tolist() == ["no threshold is certified for at most 10% bad rows"]
    assert dataset.certificate is not None
    assert f"About {dataset.certificate.labels_needed} new labels from a score of" in repr(dataset).replace("\n  ", " ")


def test_labels_that_calibrated_the_score_do_not_certify_it() -> None:
    data, score = labelled()
    use = LabelUse().add("calibration", data["id"])
    dataset = QualityDataset(data, score).filter(max_bad_rate=0.1, label_use=use)
    assert dataset.certificate is not None
    assert dataset.certificate.set_aside == {"calibration": 500}
    assert len(dataset) == 0


def test_labels_of_one_certificate_are_spent_for_the_next() -> None:
    first = QualityDataset(*labelled()).filter(max_bad_rate=0.1, label_use=LabelUse())
    second = first.filter(max_bad_rate=0.05, label_use=LabelUse())
    assert second.certificate is not None
    assert second.certificate.n_labels == 0
    assert set(second.certificate.set_aside) == {"an earlier certificate"}


def test_the_certificate_is_about_the_rows_that_fulfil_the_other_conditions() -> None:
    data, score = labelled()
    data["source"] = np.where(np.arange(1000) < 500, "base", "tuned")
    dataset = QualityDataset(data, score).filter(max_bad_rate=0.1, label_use=LabelUse(), sources=["tuned"])
    assert len(dataset) == 500
    assert dataset.certificate is not None
    assert dataset.certificate.share == 1


def test_labels_drawn_with_unequal_chances_are_evened_out() -> None:
    data, score = labelled(every=1)
    inclusion = np.where(score > 0.5, 1.0, 0.1)
    chosen = np.random.default_rng(0).random(1000) < inclusion
    Y = np.where(chosen, (score > 0.3).astype(int), -1)
    dataset = QualityDataset(data, score).filter(max_bad_rate=0.1, label_use=LabelUse(), Y=Y, inclusion=inclusion)
    assert dataset.certificate is not None
    assert len(dataset.certificate.label_ids) < 0.2 * chosen.sum()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"needs label_use: the LabelUse of what labels were used for"),
        ({"label_use": LabelUse(), "Y": [1, 0]}, r"Y has shape \(2,\); one label a row, \(1000,\)"),
        ({"label_use": LabelUse(), "inclusion": [1.0]}, r"inclusion has shape \(1,\)"),
        ({"label_use": LabelUse(), "delta": 1.0}, "delta is 1.0; a number between 0 and 1"),
    ],
)
def test_what_a_certificate_needs_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises((DataError, SettingsError), match=message):
        QualityDataset(*labelled()).filter(max_bad_rate=0.1, **options)  # type: ignore[arg-type]


def test_curate_sets_no_other_bar_beside_a_bad_rate() -> None:
    assert len(curate(*labelled())) == 100
    assert len(curate(*labelled(), max_bad_rate=0.1, label_use=LabelUse())) == 500  # all that count as ACCEPT


def simulated(seed: int, biased: bool) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return 2,000 rows whose score sees the truth through noise or takes length for quality; 200 labels; the truth."""
    generator = np.random.default_rng(seed)
    n = 2000
    quality, length = generator.normal(size=n), generator.normal(size=n)
    seen = quality + 0.8 * generator.normal(size=n) + (1.5 * length if biased else 0)
    good = quality > -0.3
    labels = np.full(n, None, dtype=object)
    drawn = generator.choice(n, 200, replace=False)
    labels[drawn] = np.where(good[drawn], "ACCEPT", "REJECT")
    data = pd.DataFrame({"id": np.arange(n).astype(str), "instruction": "Why?", "response": "So."})
    return data.assign(human_label=labels), 1 / (1 + np.exp(-2 * seen)), good


@pytest.mark.slow
@pytest.mark.parametrize(
    ("biased", "max_bad_rate", "least_granted"), [(False, 0.1, 0.5), (True, 0.1, 0.0), (True, 0.3, 0.5)]
)
def test_a_bad_rate_is_broken_in_at_most_delta_of_the_runs(
    biased: bool, max_bad_rate: float, least_granted: float
) -> None:
    runs, broken, granted = 200, 0, 0
    for seed in range(runs):
        data, score, good = simulated(seed, biased)
        dataset = QualityDataset(data, score).filter(max_bad_rate=max_bad_rate, delta=0.1, label_use=LabelUse())
        kept = dataset.rows["kept"].to_numpy()
        granted += kept.any()
        broken += bool(kept.any() and 1 - good[kept].mean() > max_bad_rate)
    assert broken / runs <= 0.1
    assert granted / runs >= least_granted
