"""Sizes for people, decimal, as the contract's list shows them: 150MB. Pure."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def human_size(size_bytes: int | None) -> str:
    """`0B`, `999B`, `1.5MB`, `150MB`; nothing known is `0B`."""
    value = float(size_bytes or 0)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f}{unit}" if value >= 10 or unit == "B" else f"{value:.1f}".removesuffix(".0") + unit
