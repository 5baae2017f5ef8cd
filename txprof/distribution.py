"""How durations are distributed: counts in buckets whose bounds grow by a constant factor.

That is the scheme of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile
sketch with relative-error guarantees", VLDB 2019): every quantile is off by at most 1 % of itself,
and sketches merge by adding counts, exactly and in any order. The library `ddsketch` is what the
tests compare with (docs/dependencies.md says why it is not what runs).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from txprof.plain import Plain

ACCURACY = 0.01
"""Relative error of a quantile."""

_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_PER_LOG = 1 / math.log(_GAMMA)

SMALLEST = 1e-6
"""Seconds. What is shorter counts as this: a pool that need not be waited for takes longer."""

LONGEST = 1e7
"""Seconds, 115 days. What is longer counts as this; so there are at most 1,500 buckets."""


@dataclass(slots=True, repr=False, eq=False)
class Distribution(Plain):
    """Durations: `seconds` in all, the `longest`, and how many lie in each bucket.

    Bucket k holds those above g ** (k - 1) seconds and up to g ** k, with g = 1.01 / 0.99.
    """

    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    buckets: dict[int, int] = field(default_factory=dict)

    def note(self, seconds: float) -> None:
        """One more. Runs several times a checkout: 0.3 us."""
        self.count += 1
        self.seconds += seconds
        if seconds > self.longest:
            self.longest = seconds
        key = bucket_of(seconds)
        self.buckets[key] = self.buckets.get(key, 0) + 1

    def plus(self, other: Distribution) -> Distribution:
        """Both together; neither is changed."""
        counts = dict(self.buckets)
        for key, count in list(other.buckets.items()):
            counts[key] = counts.get(key, 0) + count
        return Distribution(
            self.count + other.count,
            self.seconds + other.seconds,
            max(self.longest, other.longest),
            dict(sorted(counts.items())),
        )

    def copy(self) -> Distribution:
        """One that nobody else touches."""
        return self.plus(Distribution())

    @property
    def mean(self) -> float | None:
        """Seconds; None of nothing."""
        return self.seconds / self.count if self.count else None

    def quantile(self, share: float) -> float | None:
        """The duration, in seconds, that a share (0 to 1) of them does not exceed; None of nothing.

        Within 1 % of the value whose rank among the sorted is `share * (count - 1)`, rounded down.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"a share is a number from 0 to 1, not {share!r}")
        if not self.buckets:
            return None
        rank = share * (sum(self.buckets.values()) - 1)
        if share == 1:
            return self.longest
        seen = 0
        for key in sorted(self.buckets):
            seen += self.buckets[key]
            if seen > rank:
                break
        return min(value_of(key), self.longest)

    def weighted(self) -> tuple[list[float], list[int]]:
        """The value that stands for each bucket, in seconds, and how many it has."""
        keys = sorted(self.buckets)
        return [value_of(key) for key in keys], [self.buckets[key] for key in keys]


def bucket_of(seconds: float) -> int:
    """The bucket of a duration."""
    return math.ceil(math.log(min(max(seconds, SMALLEST), LONGEST)) * _PER_LOG)


def value_of(bucket: int) -> float:
    """Seconds: no value in the bucket is further from it than the accuracy."""
    return 2 * _GAMMA**bucket / (_GAMMA + 1)
