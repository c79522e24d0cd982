"""Numbers in the prose of the book, checked against the records.

A page `book/NN_name.md` has a file `book/claims/NN.yml`; another page, such as `book/data/w300.md`, has
`book/claims/data-w300.yml`. It lists fragments of the page and says where their numbers come from::

    page: 07_beyond.md
    define: |                       # optional Python, imports from facelight and facelight_lab only
      lit = main.loc["linear, lit"]
    claims:
      - text: stays 7 % behind the plain network
        records: versus(lit["x1"], main.loc["linear"]["x1"], relative=True).mean
      - text: "gains 3.9 % [3.1, 4.7] under a shadow"
        records: gain("shadow")     # a paired difference is three numbers: mean and interval
      - text: from 1.6 to 1.8 times as high, in all six seeds
        records: ratio.min(), ratio.max(), len(ratio)
      - text: the order of the two stays
        holds: (a < b).all()        # a statement without a number of its own
      - text: an NME of 0.0419 is a Wing loss of about 0.13
        printed: an NME of 0.0419 is a Wing loss of about 0.13
      - text: within 4.3 % of a straight line
        computed: 100 * bend(1.0)   # from no record: mathematics, or the library itself
    allowed:
      - text: a fixed size of 64 pixels
        why: a setting

**Text** is copied from the page, captions included, emphasis marks and all; line breaks do not matter. It stands
once on the page. Its numbers, in order, must be the values in order, written with the decimals of the text:

- digits: exactly the rounded value. `+0.3` and `-2` want the sign, a number without a sign wants a value >= 0. After
  "more than", "over", "above", "at least", "up from", "less than", "fewer than", "under", "below", "at most", "within"
  the value is on that side (of "within", its size); after "about", "nearly", "almost", "some", "roughly", "around" it
  is within a tenth of the number;
- words: "a third", "two fifths", "half of", "half as", "twice", "three times", "one in sixteen" are true to within a
  tenth of themselves ("a third" is 0.333, not 33); "two per cent", "six seeds", "three pairs" are the rounded value.

A page that begins with `lang: uk` is Ukrainian: it has decimal commas, no words for numbers, and "понад", "менш ніж",
"близько" for the words above.

What is code, a formula, a link's address, a citation or an option of a directive is not looked at, nor a number inside
of a word (`ResNet-18`, `conv4`, `64x64`, `S4`). Per cent are values of a hundred: 7 % is 7.

**Expressions** are Python, several with commas between them, without brackets around (YAML would read a list of its
own). They know `lab` and what it offers (`frame`, `wide`, `versus`, `recorded`, `measured`, `rates`, `spread`), `np`,
`pd`, `math`, the names in `define`, and *every name that the cells of the page define*: `main` above is the `main` of
chapter 07, computed as in its cells. A name to which cells give several values, each without use of the one before, is
refused, and one that cells change later, as by `append`: define it. Values may be nested in lists, tuples and series; a
paired difference is its mean and interval, a text of a table (`2.20±0.02`) its numbers.

`printed` is a part of an output that the page's notebook stores (cells tagged `nbval-check-output`); its numbers are
rounded as the text has them. `allowed` are numbers that nothing has to prove: definitions, settings, what a paper
printed; `book/claims/allowed.yml` has patterns for all pages. `why` says why.

`python -m facelight_lab.claims 07` tells what is wrong on a page, with the values, and which numbers have no entry yet.
`tests/test_claims.py` does the same for all pages: no claim may be wrong, and no number without an entry.
"""

from facelight_lab.claims.check import Claim, Page, check, pages, read, unclaimed
from facelight_lab.claims.prose import Number, numbers, prose

__all__ = ["Claim", "Number", "Page", "check", "numbers", "pages", "prose", "read", "unclaimed"]
