"""Untrusted text made safe for LaTeX: it prints as it is, whatever engine compiles it."""

import re

from mim_bench.report.plain_text import one_line

_ASCII = {
    '\\': r'\textbackslash{}',
    '{': r'\{',
    '}': r'\}',
    '$': r'\$',
    '&': r'\&',
    '#': r'\#',
    '%': r'\%',
    '_': r'\_',
    '^': r'\textasciicircum{}',
    '~': r'\textasciitilde{}',
    # In the old font encodings these print as other characters.
    '<': r'\textless{}',
    '>': r'\textgreater{}',
    '|': r'\textbar{}',
    '"': r'\textquotedbl{}',
    "'": r'\textquotesingle{}',
    '`': r'\textasciigrave{}',
    # At the begin of a row these would be read with the end of the one before.
    '[': '{[}',
    ']': '{]}',
    '*': '{*}',
}
_SYMBOLS = {
    '\N{EN DASH}': r'\textendash{}',
    '—': r'\textemdash{}',
    '±': r'\ensuremath{\pm}',
    '\N{MULTIPLICATION SIGN}': r'\ensuremath{\times}',
    '·': r'\ensuremath{\cdot}',
    '≥': r'\ensuremath{\ge}',
    '≤': r'\ensuremath{\le}',
    '≈': r'\ensuremath{\approx}',
    '↑': r'\ensuremath{\uparrow}',
    '↓': r'\ensuremath{\downarrow}',
    '→': r'\ensuremath{\rightarrow}',
    '†': r'\ensuremath{\dagger}',
    '‡': r'\ensuremath{\ddagger}',
    '…': r'\dots{}',
    '\N{REPLACEMENT CHARACTER}': '?',
}
# Letters that every font encoding with accents has; pdfLaTeX stops at those of other scripts.
_LAST_LETTER = '\u00ff'
# Two hyphens would become a dash.
_HYPHENS = re.compile('-(?=-)')


def latex_text(text: str) -> str:
    """Text that LaTeX prints as it is; characters that it may lack become their code point."""
    return _HYPHENS.sub('-{}', ''.join(map(_escape, one_line(text))))


def _escape(char: str) -> str:
    if char in _ASCII:
        return _ASCII[char]
    if char in _SYMBOLS:
        return _SYMBOLS[char]
    if char.isascii() or (char.isalpha() and char <= _LAST_LETTER):
        return char
    return f'{{[}}U+{ord(char):04X}{{]}}'
