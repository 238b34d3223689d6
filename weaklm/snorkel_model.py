"""Snorkel's label model, as one choice beside ours."""

import random
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from weaklm.data import ACCEPT, REJECT
from weaklm.errors import ModelError
from weaklm.vote_matrix import Floats, Votes, planes, softmax
from weaklm.voter import Voter


class SnorkelLabelModel(Voter):
    """Snorkel's LabelModel (matrix completion on the functions' agreements), with our manners.

    It needs torch and at least 3 functions. The class balance is given, or taken from human labels, else uniform,
    on which it is sensitive: give it where classes are unbalanced. Global random states stay as they are.

    Source: Ratner et al. 2019, "Training complex models with multi-task weak supervision", arXiv:1810.02840.

    Parameters
    ----------
    cardinality
        Number of classes.
    class_balance
        Share of each class. None: the human labels' (each class counted once more), else uniform.
    n_epochs, lr, l2
        Snorkel's training settings, with its defaults.
    random_state
        Seed.

    Attributes
    ----------
    conditionals_
        P(function votes v | class y), shape (n_lfs, cardinality, cardinality), indexed by function, v, y.
    """

    def __init__(
        self,
        *,
        cardinality: int = 2,
        class_balance: Sequence[float] | None = None,
        n_epochs: int = 100,
        lr: float = 0.01,
        l2: float = 0.0,
        random_state: int = 0,
    ) -> None:
        self.cardinality = cardinality
        self.class_balance = class_balance
        self.n_epochs = n_epochs
        self.lr = lr
        self.l2 = l2
        self.random_state = random_state

    def fit(self, L: ArrayLike, Y: ArrayLike | None = None) -> Self:
        """Learn from votes; human labels (-1 where there are none) give the class balance only."""
        votes, _, _ = self._start(L, Y)
        if self.n_functions_ < 3:
            raise ModelError(
                f"Snorkel's label model needs the votes of at least 3 functions, L has {self.n_functions_}; "
                "use LabelModel or MajorityLabelVoter"
            )
        self.conditionals_ = self._fit_theirs(votes).reshape(self.n_functions_, self.cardinality, self.cardinality)
        return self

    def contributions(self, L: ArrayLike) -> Floats:
        """Return what each vote adds to the log-odds of ACCEPT, shape (n_examples, n_lfs); 0 where it abstains.

        Two classes only.
        """
        if self.cardinality != 2:
            raise ModelError(f"contributions are log-odds of two classes; this model has {self.cardinality}")
        log = np.log(self.conditionals_)
        votes = self._fitted_votes(L)
        return sum((votes == k) * (log[:, k, ACCEPT] - log[:, k, REJECT]) for k in (REJECT, ACCEPT))

    @property
    def prior_log_odds(self) -> float:
        """Log-odds of ACCEPT before any vote counts."""
        return float(special.logit(self.class_balance_[ACCEPT]))

    def _probabilities(self, votes: Votes) -> Floats:
        evidence = np.log(self.conditionals_)
        ones = planes(votes, self.cardinality)
        scores = sum(plane @ evidence[:, k] for k, plane in enumerate(ones))
        return softmax(np.log(self.class_balance_)[:, None] + scores.T)

    def _fit_theirs(self, votes: Votes) -> Floats:
        """Fit Snorkel's model without leaving a trace in the global random states that it seeds."""
        states = random.getstate(), np.random.get_state()
        try:
            from snorkel.labeling.model import label_model as theirs  # draws a random number on import

            with theirs.torch.random.fork_rng(devices=[]):
                model = theirs.LabelModel(cardinality=self.cardinality, verbose=False)
                options = {"n_epochs": self.n_epochs, "lr": self.lr, "l2": self.l2, "seed": self.random_state}
                model.fit(votes, class_balance=self.class_balance_.tolist(), progress_bar=False, **options)
            return model.mu.detach().numpy().astype(np.float64)
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
