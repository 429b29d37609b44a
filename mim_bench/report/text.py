"""Untrusted text (names, titles, errors) made safe for terminals, Markdown, CSV and LaTeX.

HTML is escaped by the template engine itself.
"""

import re
from functools import cache

# Spreadsheets run a cell that starts with one of these as a formula.
_FORMULA_STARTS = ('=', '+', '-', '@', '\t', '\r')
_MARKDOWN_SPECIAL = re.compile(r'([\\`*_\[\]{}#|~$!])')
_BARE_LINK = re.compile(r'(?i)\b(https?|ftp):|\bwww\.')
_LATEX = str.maketrans(
    {char: rf'\{char}' for char in '{}$&#%_'}
    # At the begin of a row these would be read with the end of the one before.
    | {char: f'{{{char}}}' for char in '[]*'}
    | {'\\': r'\textbackslash{}', '^': r'\textasciicircum{}', '~': r'\textasciitilde{}'}
    | {'≈': r'$\approx$', '↑': r'$\uparrow$', '↓': r'$\downarrow$', '≥': r'$\ge$'}
    | {'\N{REPLACEMENT CHARACTER}': '?'}  # which fonts of pdfLaTeX lack
)
# LaTeX would print these pairs as one sign: ``models--owner`` with a dash.
_LIGATURES = re.compile(r"([-<>,`'])(?=\1)|([?!])(?=`)")


def one_line(text: str) -> str:
    """One line of visible characters: line ends become spaces, control characters a mark.

    Escape sequences could rewrite a terminal, and signs for text direction a name.
    """
    if text.isprintable() and '  ' not in text and text == text.strip():
        return text
    text = ' '.join(text.split())
    return ''.join(char if char.isprintable() else '\N{REPLACEMENT CHARACTER}' for char in text)


@cache
def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is: no HTML, no table border, no link, no emphasis."""
    text = one_line(text).replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')
    text = _MARKDOWN_SPECIAL.sub(r'\\\1', text)
    return _BARE_LINK.sub(lambda match: match[0].replace(':', '&#58;').replace('.', '&#46;'), text)


@cache
def csv_text(text: str) -> str:
    """Text that a spreadsheet shows as it is, by a leading apostrophe before a formula."""
    line = one_line(text)
    return f"'{line}" if line.startswith(_FORMULA_STARTS) else line


def latex_text(text: str) -> str:
    """Text that LaTeX prints as it is; scripts other than Latin need XeLaTeX or LuaLaTeX."""
    return _LIGATURES.sub(r'\g<0>{}', one_line(text).translate(_LATEX))
