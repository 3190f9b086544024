"""Kubernetes' quantities (`100m`, `1.5Gi`, `2e3`) as numbers; apimachinery's `resource.Quantity` sets the grammar."""

import re
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

_QUANTITY = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d{1,2})|([KMGTPE]i|[numkMGTPE]))?$", re.ASCII)
_BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {
    letter: Decimal(10) ** power for letter, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)
}
_FACTORS = {**_BINARY, **_DECIMAL}


@lru_cache(maxsize=4096)
def parse(text: str) -> Decimal:
    """The number; ValueError for what is none."""
    found = _QUANTITY.match(text.strip()[:64])
    if found is None:
        raise ValueError(f"{text[:64]!r} is no quantity")
    digits, exponent, suffix = found.groups()
    return Decimal(digits + (exponent or "")) * _FACTORS.get(suffix or "", Decimal(1))


def whole(text: str) -> int:
    """The number rounded up, as Kubernetes' `Value` does; 0 for what is none."""
    return _rounded(text, 1)


def milli(text: str) -> int:
    """The number of thousandths, rounded up, as Kubernetes' `MilliValue` does; 0 for what is none."""
    return _rounded(text, 1000)


@lru_cache(maxsize=4096)
def _rounded(text: str, factor: int) -> int:
    try:
        return int((parse(text) * factor).to_integral_value(ROUND_CEILING))
    except ValueError:
        return 0
