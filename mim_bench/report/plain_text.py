"""Untrusted text (names, titles, errors) made safe for terminals, Markdown and CSV.

HTML is escaped by the template engine itself.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

# Spreadsheets run a cell that starts with one of these as a formula.
_FORMULA_STARTS = ('=', '+', '-', '@', '\t', '\r')
_MARKDOWN_SPECIAL = re.compile(r'([\\`*_\[\]{}#|~$!])')
_BARE_LINK = re.compile(r'(?i)\b(https?|ftp):|\bwww\.')


def one_line(text: str) -> str:
    """One line of visible characters: line ends become spaces, control characters a mark.

    Escape sequences could rewrite a terminal, and signs for text direction a name.
    """
    if text.isprintable() and '  ' not in text and text == text.strip():
        return text
    text = ' '.join(text.split())
    return ''.join(char if char.isprintable() else '\N{REPLACEMENT CHARACTER}' for char in text)


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is: no HTML, no table border, no link, no emphasis."""
    text = one_line(text).replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')
    text = _MARKDOWN_SPECIAL.sub(r'\\\1', text)
    return _BARE_LINK.sub(lambda match: match[0].replace(':', '&#58;').replace('.', '&#46;'), text)


def csv_text(text: str) -> str:
    """Text that a spreadsheet shows as it is, by a leading apostrophe before a formula."""
    line = one_line(text)
    return f"'{line}" if line.startswith(_FORMULA_STARTS) else line


def to_csv(fields: Sequence[str], lines: Iterable[Mapping[str, object]]) -> str:
    """CSV with a line of headings; what a line does not say stays empty.

    Args:
        fields: Headings.
        lines: Values by heading; their texts come from :func:`csv_text`.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, fields, lineterminator='\n')
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()
