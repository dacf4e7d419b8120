"""Inputs made from seeds: cut, repeated, mixed with what parsers trip over."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

ODD = [
    *(
        b"\x00",
        b"\xff",
        b"\xed\xa0\x80",
        b"\x1b[",
        b"\x9b",
        b"\x1b]8;;",
        b"\x07",
        b"\r\n",
        b"\x0b",
        b"\x1c",
        b"\xe2\x80\xa8",
        b"\xe2\x80\xae",
    ),
    *(
        b"[" * 5_000,
        b'{"a":' * 2_000,
        b"9" * 5_000,
        b"1e999",
        b"-0",
        b"NaN",
        b"Infinity",
        b'\\ud800"',
        b"''' ",
        b'"""',
        b"%00",
        b"{events}",
    ),
    *("İ".encode(), "\u212a".encode(), "\U000e0041".encode(), b"agent:", b":", b"*", b"|", b"\x1f", b"${X}", b"../../etc/passwd", b"\n- "),
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["c", "agent:ops:main"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def varied(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A seed with a few changes; mostly still of its form."""
    data = draw(st.sampled_from(list(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        between = draw(st.sampled_from(ODD) | st.binary(max_size=8) | st.sampled_from(list(seeds)))
        data = data[:start] + between + data[end:]
    return data
