"""Lifetime value, predicted: what a customer will spend in the months to come, by what they and all others did so far.

The model is MBG/NBD (Batislam, Denizel, Filiztekin 2007: the BG/NBD of Fader, Hardie, Lee 2005, where one may leave
after the first visit as well): while somebody is a customer they come at random at a rate of their own, and after each
visit they leave for good with a probability of their own. Rates are Gamma, probabilities Beta distributed over
customers. Three things follow of somebody's visits, and are multiplied:

- whether they still are a customer: exact, by how long they stayed away for who comes as often as they did
- how often they will come if so: by their own rate, drawn towards everybody's, the more so the fewer visits tell of it
  (posterior means stand in for the integral over both, which needs a hypergeometric function)
- what a visit brings: their average basket, drawn towards everybody's in the same way (Buehlmann's credibility)

One definition gives NumPy arrays and SQL: `Functions` are those of either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.domain.downhill import lowest

FEWEST: Final = 50
"""Customers who came again: below, there is too little to learn from."""
WEEK: Final = 7 * 86_400
YEAR: Final = 365 / 7
LARGEST: Final = 500.0  # exponents beyond are as good as this one, and PostgreSQL refuses them

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Functions:
    """Of NumPy, or of SQL."""

    exp: Callable[[Any], Any]
    ln: Callable[[Any], Any]
    least: Callable[[Any, Any], Any]


NUMPY: Final = Functions(np.exp, np.log, np.minimum)


@dataclass(frozen=True, slots=True)
class Habits:
    """Of an organization's customers; weeks and minor units."""

    rate_shape: float
    rate_weeks: float
    leaving: float
    staying: float
    basket: float
    basket_visits: float

    def still_customer(self, visits: Any, recency: Any, age: Any, of: Functions = NUMPY) -> Any:
        """The probability, by visits (one at least), weeks from the first to the last, and weeks since the first."""
        gone = of.ln(self.leaving / (self.staying + visits - 1)) + (self.rate_shape + visits - 1) * (
            of.ln(self.rate_weeks + age) - of.ln(self.rate_weeks + recency)
        )
        return 1 / (1 + of.exp(of.least(gone, LARGEST)))

    def visits_within(self, weeks: float, visits: Any, recency: Any, age: Any, of: Functions = NUMPY) -> Any:
        """How many more to expect."""
        rate = (self.rate_shape + visits - 1) / (self.rate_weeks + age)
        leaves = self.leaving / (self.leaving + self.staying + visits)
        if_customer = (1 - of.exp(-of.least(rate * leaves * weeks, LARGEST))) / leaves
        return self.still_customer(visits, recency, age, of) * if_customer

    def basket_of(self, visits: Any, spent: Any) -> Any:
        """What a visit of theirs brings."""
        return (self.basket * self.basket_visits + spent) / (self.basket_visits + visits)


def learn(visits: Floats, recency: Floats, age: Floats, spent: Floats) -> Habits | None:
    """From customers who came at least once; None where too few came again. The likelihood is the paper's."""
    if np.count_nonzero(visits > 1) < FEWEST:
        return None
    again = (visits - 1).astype(np.intp)
    steps = np.arange(again.max() + 1)

    def rising(start: float) -> Floats:
        """ln(start (start + 1) ...) of as many factors as somebody came again, and one more."""
        return np.concatenate([[0.0], np.log(start + steps).cumsum()])

    def unlikely(logs: Floats) -> float:
        shape, weeks, leaving, staying = np.exp(logs)
        rates = rising(shape)[again] + shape * np.log(weeks)
        stays = rising(staying)[again + 1] - rising(leaving + staying)[again + 1]
        now = -(shape + again) * np.log(weeks + age)
        before = np.log(leaving / (staying + again)) - (shape + again) * np.log(weeks + recency)
        return -float(np.mean(rates + stays + np.logaddexp(now, before)))

    gap = max(float(age.sum() / max(again.sum(), 1)), 1e-3)
    shape, weeks, leaving, staying = np.exp(lowest(unlikely, np.log([1.0, gap, 1.0, 10.0]))).tolist()
    basket, weight = _baskets(visits, spent / visits)
    return Habits(shape, weeks, leaving, staying, basket, weight)


def _baskets(visits: Floats, averages: Floats) -> tuple[float, float]:
    """Everybody's basket, and how many visits of one's own weigh as much as knowing it.

    An average of n baskets strays from everybody's by the variance between customers and a n-th of that within one:
    a line through the squares over 1/n gives both.
    """
    mean = float(averages.mean())
    if visits.min() == visits.max():
        return mean, 1.0
    within, between = np.polyfit(1 / visits, (averages - mean) ** 2, 1)
    if between <= 0:
        return mean, float(visits.max()) * 100
    return mean, max(float(within / between), 0.0)
