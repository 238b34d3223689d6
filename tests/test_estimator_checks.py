"""scikit-learn's own checks on the label models that take arrays.

The checks draw features and round them to whole numbers from 0 on, since our models say that their input is
categorical; with 30 classes those are votes. What fails, fails for a reason that is written here; a check that passes
after all fails this file (xfail is strict). SnorkelLabelModel is left out: it needs three functions, the checks mostly
have two.
"""

import warnings
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from weaklm.dawid_skene import DawidSkene
from weaklm.label_model import LabelModel
from weaklm.voter import MajorityLabelVoter

VOTES = "a vote is a whole number from -1 to cardinality - 1, anything else is refused by our own message"
LABELS = "a label is a class from 0 to cardinality - 1 or -1, anything else is refused by our own message"
OURS = "we raise weaklm's ModelError or DataError, with our words: a user catches one tree of errors"
EXPECTED = {
    "check_positive_only_tag_during_fit": VOTES + "; the check draws -3 and below",
    "check_complex_data": VOTES,
    "check_dtype_object": VOTES,
    "check_estimators_nan_inf": VOTES,
    "check_estimator_sparse_tag": "L is dense: int8 votes take less memory than indexes of the sparse ones",
    "check_estimator_sparse_array": "L is dense",
    "check_estimator_sparse_matrix": "L is dense",
    "check_estimators_unfitted": OURS,
    "check_estimators_empty_data_messages": OURS,
    "check_fit2d_predict1d": OURS,
    "check_n_features_in": "the number of columns is n_functions_: they are functions, not features",
    "check_n_features_in_after_fitting": "the number of columns is n_functions_",
    "check_classifiers_one_label": "Y does not decide the classes, cardinality does",
    "check_classifiers_classes": LABELS,
    "check_classifiers_regression_target": LABELS,
    "check_supervised_y_2d": LABELS,
    "check_classifiers_train": "votes that are rounded features do not vote for the class that Y names",
}


def expected(model: Any) -> dict[str, str]:
    return EXPECTED


MODELS = [LabelModel(cardinality=30), MajorityLabelVoter(cardinality=30), DawidSkene(cardinality=30, force=True)]


with warnings.catch_warnings():
    # They warn that ours do not inherit from BaseEstimator, whose import would make every start slower.
    warnings.simplefilter("ignore", UserWarning)
    on_our_models = parametrize_with_checks(MODELS, expected_failed_checks=expected)


@pytest.mark.filterwarnings("ignore:Estimator .* does not inherit from:UserWarning")
@on_our_models
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)
