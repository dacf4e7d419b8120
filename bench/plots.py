"""The pictures of `make bench`, as SVG without a script or a font of their own."""

from __future__ import annotations

from math import log10
from xml.sax.saxutils import escape

LEFT, BAR, ROW = 200, 420, 22
WIDTH, HEIGHT, EDGE = 560, 220, 60
OURS, OTHER, BAND, LIMIT = "#1565c0", "#95a5a6", "#c8e6c9", "#c62828"
SERIES = (OURS, "#ef6c00")
NOTHING = '<svg xmlns="http://www.w3.org/2000/svg"/>\n'


def bars(title: str, values: dict[str, float], ours: set[str], *, logarithmic: bool = False, limit: float | None = None) -> str:
    """A bar for each; those of `ours` in colour, `limit` as a line. On a logarithmic scale what is not above 0 is left out."""
    shown_ = {name: value for name, value in values.items() if value > 0 or not logarithmic}
    if not shown_:
        return NOTHING
    scale = [*shown_.values(), *([] if limit is None else [limit])]
    low, high = (log10(min(scale)) - 0.3, log10(max(scale))) if logarithmic else (0.0, max(scale))

    def width(value: float) -> float:
        return BAR * ((log10(value) if logarithmic else value) - low) / max(high - low, 0.1)

    bottom = 40 + ROW * len(shown_)
    parts = [*head(title + (", logarithmic" if logarithmic else ""), LEFT + BAR + 120, bottom + 20)]
    for place, (name, value) in enumerate(shown_.items()):
        y = 40 + ROW * place
        parts.append(f'<text x="10" y="{y + 13}">{escape(name)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{width(value):.0f}" height="16" fill="{OURS if name in ours else OTHER}"/>')
        parts.append(f'<text x="{LEFT + width(value) + 6:.0f}" y="{y + 13}">{number(value)}</text>')
    if limit is not None:
        x = f"{LEFT + width(limit):.0f}"
        parts.append(f'<line x1="{x}" y1="34" x2="{x}" y2="{bottom}" stroke="{LIMIT}" stroke-dasharray="4 3"/>')
        parts.append(f'<text x="{x}" y="{bottom + 14}" text-anchor="middle" fill="{LIMIT}">{number(limit)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def shares(title: str, values: list[float], limit: float) -> str:
    """Which share of all values is not above x: a step for each value; `limit` as a line."""
    if not values:
        return NOTHING
    high = max(*values, limit) * 1.1
    parts = [*frame(title, {f"{high * part / 4:.2f}": part / 4 for part in range(5)}, {f"{part * 25} %": part / 4 for part in range(5)})]
    path = f"M {across(0):.1f} {up(0):.1f}"
    for place, value in enumerate(sorted(values), 1):
        path += f" H {across(value / high):.1f} V {up(place / len(values)):.1f}"
    x = f"{across(limit / high):.1f}"
    parts.append(f'<path d="{path} H {across(1):.1f}" fill="none" stroke="{OURS}" stroke-width="2"/>')
    parts.append(f'<line x1="{x}" y1="{up(1):.1f}" x2="{x}" y2="{up(0):.1f}" stroke="{LIMIT}" stroke-dasharray="4 3"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def curves(title: str, labels: list[str], series: dict[str, list[float]], band: tuple[float, float]) -> str:
    """Points at even distances, joined, from 0 on; the band is shaded."""
    if not labels:
        return NOTHING
    high = max(*(value for values in series.values() for value in values), band[1]) * 1.1
    places = [(place + 0.5) / len(labels) for place in range(len(labels))]
    ticks = {number(high * part / 4): part / 4 for part in range(5)}
    parts = [*frame(title, dict(zip(labels, places, strict=True)), ticks)]
    top, bottom = up(band[1] / high), up(band[0] / high)
    parts.insert(3, f'<rect x="{across(0):.1f}" y="{top:.1f}" width="{WIDTH}" height="{bottom - top:.1f}" fill="{BAND}"/>')
    for colour, (name, values) in zip(SERIES, series.items(), strict=False):
        points = [(across(place), up(value / high)) for place, value in zip(places, values, strict=True)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(f'<text x="{points[-1][0] + 8:.1f}" y="{points[-1][1] - 6:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def head(title: str, width: float, height: float) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" font-size="12">',
        f'<text x="10" y="20" font-size="14">{escape(title)}</text>',
    ]


def frame(title: str, below: dict[str, float], beside: dict[str, float]) -> list[str]:
    """Title, the field and the words along its edges, each at its share of the edge."""
    parts = head(title, EDGE + WIDTH + 80, HEIGHT + 80)
    parts.append(f'<rect x="{across(0):.1f}" y="{up(1):.1f}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bdbdbd"/>')
    parts += [f'<text x="{across(at):.1f}" y="{up(0) + 18:.1f}" text-anchor="middle">{escape(word)}</text>' for word, at in below.items()]
    parts += [f'<text x="{across(0) - 6:.1f}" y="{up(at) + 4:.1f}" text-anchor="end">{escape(word)}</text>' for word, at in beside.items()]
    return parts


def across(share: float) -> float:
    return EDGE + WIDTH * share


def up(share: float) -> float:
    return 40 + HEIGHT * (1 - share)


def number(value: float) -> str:
    """Three figures or so, thousands apart."""
    return f"{value:,.0f}".replace(",", " ") if value >= 100 or value == int(value) else f"{value:.2f}"
