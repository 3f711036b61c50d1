"""Money: integers in minor units of an ISO 4217 currency."""

from __future__ import annotations

from functools import cache

from shared.errors import InvalidError
from shared.wording import shown

USUAL_MINOR_UNITS = 2
# What ISO 4217 (list one) lets differ from two decimals.
_MINOR_UNITS = dict.fromkeys(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0
) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)
# What people shop with: ISO 4217 (list one) without funds, metals and test codes.
_WITH_CENTS = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP
    CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
    KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK
    NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB
    TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
"""
CURRENCIES = frozenset(_MINOR_UNITS) | frozenset(_WITH_CENTS.split())
_SYMBOLS = {"EUR": "€", "GBP": "£", "INR": "₹", "JPY": "¥", "USD": "$"}


def minor_units(currency: str) -> int:
    """How many decimals the currency has: 2 for INR, 0 for JPY, 3 for KWD. Raises InvalidError for an unknown one."""
    if currency not in CURRENCIES:
        raise InvalidError(
            f'must be the ISO 4217 code of a currency, such as "INR" or "EUR"; got {shown(currency)}', "currency"
        )
    return _MINOR_UNITS.get(currency, USUAL_MINOR_UNITS)


def in_minor_units(major: int, currency: str) -> int:
    """A whole amount in minor units: 10 is 1000 in INR and 10 in JPY."""
    return int(major * 10 ** minor_units(currency))


def format_money(amount: int, currency: str) -> str:
    """An amount in minor units for people to read: ₹1,234.50, -$5.00, ¥900, CHF 12.00."""
    symbol, scale, decimals = _written(currency)
    whole, part = divmod(abs(amount), scale)
    digits = f"{whole:,}.{part:0{decimals}d}" if decimals else f"{whole:,}"
    return f"-{symbol}{digits}" if amount < 0 else f"{symbol}{digits}"


@cache
def _written(currency: str) -> tuple[str, int, int]:
    decimals = minor_units(currency)
    return _SYMBOLS.get(currency, f"{currency} "), 10**decimals, decimals
