"""SQL for personal data: keyed hashes, and the phone numbers in a text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from synthflow_assets.warehouse.schema import CALL_FIELDS
from synthflow_assets.warehouse.statements import quoted
from synthflow_assets.warehouse.tables import Column, Kind

MIN_DIGITS = 7  # of a phone number with its country code
# Separators within a phone number: white space, dashes of all kinds, dots, slashes, parentheses; their JSON escapes.
_SEPARATOR = r"(?:[\s\x{A0}\x{2000}-\x{2015}\x{202F}\x{2212}\x{3000}().·/-]|\\[nrt/])"
_ESCAPED_SEPARATOR = r"\\u(?:00[aA]0|20[01][0-9a-fA-F]|202[fF]|2212|3000)"
MAX_DIGITS = 17  # 15 of E.164, after two leading zeros
HASH_PATTERN = "[0-9a-f]{64}"  # matches the result of hmac_sql
_CHUNK_GROUPS = 32  # at least MAX_DIGITS, so that a number reaches into the next chunk at most
_HMAC_BLOCK_BYTES = 64  # the block size of SHA-256


_PHONES = [column.name for column in CALL_FIELDS if column.phone]


@dataclass(frozen=True)
class SuppressionList:
    """People whose personal data must not be written.

    Attributes:
        entries: pairs of a salt and a salted hash of the digits of a phone number. Merged lists have several salts.
    """

    entries: tuple[tuple[str, str], ...] = ()

    @property
    def salt(self) -> str:
        """The salt for new entries; empty if the list is."""
        return self.entries[0][0] if self.entries else ""

    def sql(self) -> str:
        """Return an SQL condition on typed records: the record contains a listed number, in any field."""
        return self.listed_sql(f"list_concat({numbers_sql('record')}, [{', '.join(map(digits_sql, _PHONES))}])")

    def stored_sql(self) -> str:
        """Return an SQL condition on calls with their text as `record`. It also finds hashed numbers.

        A hash is on the list only if its key was set when the person was erased.
        """
        hashed = self.listed_sql(f"[{', '.join(_PHONES)}]")
        return f"({self.sql()} OR {hashed})"

    def listed_sql(self, numbers: str) -> str:
        """Return an SQL condition: a list of phone numbers, given as SQL, contains a suppressed one."""
        hashes: dict[str, list[str]] = {}
        for salt, phone_hash in self.entries:
            hashes.setdefault(salt, []).append(phone_hash)
        conditions = [
            f"list_has_any([{', '.join(map(quoted, of_salt))}], "
            f"list_transform({numbers}, lambda number: {phone_hash_sql('number', quoted(salt))}))"
            for salt, of_salt in hashes.items()
        ]
        return f"({' OR '.join(conditions)})" if conditions else "false"


EMPTY = SuppressionList()


def private_sql(column: Column, pii: str, hash_key: str) -> str:
    """Return SQL for a column after the treatment of personal data, under the column's name.

    Only the digits of a phone number are hashed, so that its hash does not depend on how it is written.

    Args:
        column: a column of `calls`.
        pii: keep, hash or drop.
        hash_key: for hash.
    """
    if not column.personal:
        return column.name
    value = column.name
    if pii == "hash" and column.sql_type == Kind.TEXT.value:
        hashed = f"coalesce(nullif({digits_sql(value)}, ''), {value})" if column.phone else value
        value = hmac_sql(hashed, hash_key)
    elif pii != "keep":
        # JSON is dropped under `hash` too: the hash of a whole object is of no use.
        value = f"NULL::{column.sql_type}"
    return f"CASE WHEN NOT is_suppressed THEN {value} END AS {column.name}"


def phone_hash_sql(digits: str, salt: str) -> str:
    """Return SQL for the salted hash of a phone number's digits."""
    return f"sha256({salt} || {digits})"


def digits_sql(value: str) -> str:
    """Return SQL for the digits of a phone number, from its country code on."""
    return f"regexp_replace(regexp_replace({value}, '[^0-9]', '', 'g'), '^00', '')"


def numbers_sql(text: str) -> str:
    """Return SQL for the digits of each possible phone number in a text or in JSON, as a list.

    A number is a group of digits, or several groups with separators between them. In `415 555 0123 (2 times)` the end
    of the number is ambiguous, so every sequence of adjacent groups is returned.
    """
    joined = f"""flatten(list_transform({_digit_groups_sql(text)}, lambda digit_groups: flatten(list_transform(
        range(least({_CHUNK_GROUPS}, len(digit_groups))),
        lambda first: list_transform(
            range(first + 1, least(first + {MAX_DIGITS}, len(digit_groups)) + 1),
            lambda last: array_to_string(digit_groups[first + 1:last], '')
        )
    ))))"""
    return f"""list_transform(
        list_filter({joined}, lambda number: len(number) BETWEEN {MIN_DIGITS} AND {MAX_DIGITS}),
        lambda number: {digits_sql("number")}
    )"""


def _digit_groups_sql(text: str) -> str:
    """Return SQL for lists of adjacent groups of digits: those of a chunk, and those of the next one.

    DuckDB copies a list for each part that is taken of it. A text of 100 kB of numbers took more than ten minutes.
    """
    # JSON escapes such as \\u00a0 contain digits themselves.
    plain = (
        rf"regexp_replace(regexp_replace({text}, '{_ESCAPED_SEPARATOR}', ' ', 'g'), '\\u[0-9a-fA-F]{{4}}', '|', 'g')"
    )
    runs = f"regexp_extract_all({plain}, '[0-9](?:{_SEPARATOR}{{0,6}}[0-9]){{{MIN_DIGITS - 1},}}')"
    chunks = f"regexp_extract_all(run, '(?:[0-9]+[^0-9]*){{1,{_CHUNK_GROUPS}}}')"
    pairs = f"list_zip({chunks}, ({chunks})[2:])"
    joined = f"list_transform({pairs}, lambda pair: pair[1] || coalesce(pair[2], ''))"
    # A longer group is cut, because it is too long for a number anyway.
    groups = f"regexp_extract_all(chunk, '([0-9]{{1,{MAX_DIGITS + 1}}})[0-9]*', 1)"
    return f"list_transform(flatten(list_transform({runs}, lambda run: {joined})), lambda chunk: {groups})"


def hmac_sql(value: str, key: str) -> str:
    """Return SQL for the HMAC-SHA-256 (RFC 2104) of a text, in hexadecimal."""
    raw = key.encode()
    block = (hashlib.sha256(raw).digest() if len(raw) > _HMAC_BLOCK_BYTES else raw).ljust(_HMAC_BLOCK_BYTES, b"\0")
    inner, outer = (f"unhex('{bytes(byte ^ pad for byte in block).hex()}')" for pad in (0x36, 0x5C))
    return f"sha256({outer} || unhex(sha256({inner} || encode({value}))))"
