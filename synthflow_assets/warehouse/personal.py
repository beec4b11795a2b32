"""SQL for personal data: keyed hashes, and whose phone numbers stand in a text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from synthflow_assets.warehouse.schema import CALL_FIELDS
from synthflow_assets.warehouse.statements import quoted
from synthflow_assets.warehouse.tables import Column, Kind

FEWEST_DIGITS = 7  # of a phone number with its country code
# What may stand between the digits: white space, dashes of all kinds, dots, parentheses, and JSON's escapes of those.
_BETWEEN = r"(?:[\s\x{A0}\x{2000}-\x{2015}\x{202F}\x{2212}\x{3000}().·/-]|\\[nrt/])"
_ESCAPED_BETWEEN = r"\\u(?:00[aA]0|20[01][0-9a-fA-F]|202[fF]|2212|3000)"
_MOST_DIGITS = 17  # E.164 allows 15, and two zeros may come first
HASH_PATTERN = "[0-9a-f]{64}"  # of what was hashed here
_HMAC_BLOCK_BYTES = 64  # of SHA-256


@dataclass(frozen=True)
class SuppressionList:
    """People whose personal data is not to be written: salted hashes of the digits of their phone numbers."""

    salt: str = ""
    phone_hashes: tuple[str, ...] = ()

    def sql(self) -> str:
        """Whether the number of one of them stands anywhere in the record; for a relation of records that are typed."""
        if not self.phone_hashes:
            return "false"
        hashes = ", ".join(map(quoted, self.phone_hashes))
        phones = ", ".join(digits_sql(column.name) for column in CALL_FIELDS if column.phone)
        numbers = f"list_concat({numbers_sql('record')}, [{phones}])"
        hashed = f"list_transform({numbers}, lambda number: {phone_hash_sql('number', quoted(self.salt))})"
        return f"list_has_any([{hashes}], {hashed})"


EMPTY = SuppressionList()


def private_sql(column: Column, pii: str, hash_key: str) -> str:
    """The column after the treatment of personal data, under its own name.

    Phone numbers are hashed by their digits, so that the same number has the same hash however it is written.
    """
    if not column.personal:
        return column.name
    value = column.name
    if pii == "hash" and column.sql_type == Kind.TEXT.value:
        known = f"coalesce(nullif({digits_sql(value)}, ''), {value})" if column.phone else value
        value = hmac_sql(known, hash_key)
    elif pii != "keep":
        # A hash of a JSON tree joins with nothing, and its parts may be anything.
        value = f"NULL::{column.sql_type}"
    return f"CASE WHEN NOT is_forgotten THEN {value} END AS {column.name}"


def phone_hash_sql(digits: str, salt: str) -> str:
    """The salted hash of a phone number's digits."""
    return f"sha256({salt} || {digits})"


def digits_sql(value: str) -> str:
    """The digits of a phone number from its country code on, whatever stands between them."""
    return f"regexp_replace(regexp_replace({value}, '[^0-9]', '', 'g'), '^00', '')"


def numbers_sql(text: str) -> str:
    """The digits of all that may be a phone number in a text or in JSON: a list.

    That is a group of digits, or several with spaces, dots, dashes, slashes or parentheses between them. Where numbers
    follow each other, as in `415 555 0123 (2 times)`, nobody can tell where one ends, so whatever they may be is taken.
    """
    # An escaped character of JSON has digits of its own.
    plain = rf"regexp_replace(regexp_replace({text}, '{_ESCAPED_BETWEEN}', ' ', 'g'), '\\u[0-9a-fA-F]{{4}}', '|', 'g')"
    groups = f"""list_transform(
        regexp_extract_all({plain}, '[0-9](?:{_BETWEEN}{{0,6}}[0-9]){{{FEWEST_DIGITS - 1},}}'),
        lambda run: regexp_extract_all(run, '[0-9]+')
    )"""
    joined = f"""flatten(list_transform({groups}, lambda parts: flatten(list_transform(
        range(len(parts)),
        lambda first: list_transform(
            range(first + 1, least(first + {_MOST_DIGITS}, len(parts)) + 1),
            lambda last: array_to_string(parts[first + 1:last], '')
        )
    ))))"""
    return f"""list_transform(
        list_filter({joined}, lambda number: len(number) BETWEEN {FEWEST_DIGITS} AND {_MOST_DIGITS}),
        lambda number: {digits_sql("number")}
    )"""


def hmac_sql(value: str, key: str) -> str:
    """HMAC-SHA-256 (RFC 2104) of a text in SQL, in hexadecimal."""
    raw = key.encode()
    block = (hashlib.sha256(raw).digest() if len(raw) > _HMAC_BLOCK_BYTES else raw).ljust(_HMAC_BLOCK_BYTES, b"\0")
    inner, outer = (f"unhex('{bytes(byte ^ pad for byte in block).hex()}')" for pad in (0x36, 0x5C))
    return f"sha256({outer} || unhex(sha256({inner} || encode({value}))))"
