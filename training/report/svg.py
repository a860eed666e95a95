"""Charts as inline SVG whose colours are the page's CSS variables, for light, dark and print.

Matplotlib draws in the light palette; in the SVG each colour becomes its CSS variable, and text
stays text in the page's font.
"""

import io
import re
import warnings
from typing import Any, Final
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import PercentFormatter

__all__ = [
    "BASELINE_STYLES",
    "DARK",
    "LIGHT",
    "create_axes",
    "format_percent_axis",
    "render_svg",
    "set_upper_limit",
    "to_single_line",
    "with_chart_style",
]

# Colour values are unique, because the value is looked up to find the name.
LIGHT: Final = {
    "paper": "#ffffff",
    "ink": "#1a1c20",
    "muted": "#565c66",
    "line": "#d7dae0",
    "faint": "#a9afb8",
    "panel": "#f5f6f8",
    "model": "#1f4e9c",
    "baseline-1": "#b4540a",
    "baseline-2": "#2a7a4d",
    "baseline-3": "#80498b",
}
DARK: Final = {
    "paper": "#15181d",
    "ink": "#e8eaee",
    "muted": "#a7aeb8",
    "line": "#353a43",
    "faint": "#6a717c",
    "panel": "#1d2127",
    "model": "#85b4ff",
    "baseline-1": "#f0a35e",
    "baseline-2": "#70c99a",
    "baseline-3": "#d2a0dc",
}
# Colour and dash both differ, for print and colour-blind readers.
BASELINE_STYLES: Final[tuple[dict[str, Any], ...]] = tuple(
    {"color": LIGHT[f"baseline-{number}"], "linestyle": dash, "linewidth": 1.4}
    for number, dash in enumerate(("--", "-.", (0, (1, 1))), start=1)
)
_RC_PARAMS: Final[Any] = {
    "axes.edgecolor": LIGHT["muted"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.labelsize": 12.5,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 12.5,
    "errorbar.capsize": 0,
    "font.size": 12.5,
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.7,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": LIGHT["ink"],
    "text.parse_math": False,  # names may contain a dollar sign
    "xtick.color": LIGHT["muted"],
    "xtick.labelsize": 12.5,
    "ytick.color": LIGHT["muted"],
    "ytick.labelsize": 12.5,
}
with_chart_style = matplotlib.rc_context(_RC_PARAMS)  # decorator for drawing functions
_CSS_VARIABLES: Final = {value: f"var(--{name})" for name, value in LIGHT.items()}
_COLOR: Final = re.compile(r"#[0-9a-f]{6}")
_WIDTH_PT: Final = 440
_SVG: Final = "{http://www.w3.org/2000/svg}"
_LINK: Final = "{http://www.w3.org/1999/xlink}href"
# Groups are never referenced, and the page sets the size.
_DROPPED_ATTRIBUTES: Final = {"svg": ("width", "height", "version"), "g": ("id",)}
_CONTROL_CHARACTERS: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+"
)


def create_axes(
    x: str,
    y: str,
    *,
    height_pt: float = 330,
    rows: int = 1,
    **layout: Any,  # noqa: ANN401
) -> tuple[Figure, Any]:
    """Create a figure as wide as a phone screen, with labelled axes.

    Several ``rows`` of axes are stacked on one x axis: ``x`` labels the lowest, ``y`` the topmost,
    and they are returned as a sequence. The height is for a width of 440 points; ``layout`` is
    passed to :meth:`matplotlib.figure.Figure.subplots`.
    """
    figure = Figure(figsize=(_WIDTH_PT / 72, height_pt / 72), dpi=72, layout="constrained")
    figure.patch.set_visible(False)
    subplots = figure.subplots(rows, 1, sharex=rows > 1, **layout)
    all_axes = list(subplots) if rows > 1 else [subplots]
    for axes in all_axes:
        axes.patch.set_visible(False)
    all_axes[-1].set_xlabel(x)
    all_axes[0].set_ylabel(y)
    return figure, subplots


def format_percent_axis(axis: Any, *, highest: float = 1.0) -> None:  # noqa: ANN401 - an axis of either kind
    """Format an axis of shares in per cent, with a decimal if the range is small."""
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0 if highest >= 0.05 else 1))


def set_upper_limit(chart: Axes, *, top: float, room: float = 1.08) -> None:
    """Start the y axis at zero and leave room above the highest mark."""
    chart.set_ylim(0, top * room if top > 0 else 1)


def to_single_line(text: object, max_length: int = 60) -> str:
    r"""Return a value as a single line without control characters, truncated to a maximum length.

    Examples
    --------
    >>> to_single_line("team\n\x00plan")
    'team plan'
    >>> to_single_line("enterprise", max_length=6)
    'enter…'
    """
    line = " ".join(_CONTROL_CHARACTERS.sub(" ", str(text)).split())
    return line if len(line) <= max_length else f"{line[: max_length - 1].rstrip()}…"


def render_svg(figure: Figure, *, key: str, alt: str) -> str:
    """Render a figure as one inline SVG element, deterministic and with all texts escaped.

    ``key`` is its name in the page, unique among the charts; ``alt`` is its alternative text.
    """
    file = io.StringIO()
    for text in figure.findobj(Text):
        text.set_text(_CONTROL_CHARACTERS.sub(" ", text.get_text()))
    with matplotlib.rc_context({"svg.hashsalt": key}), warnings.catch_warnings():
        # The reader's fonts draw the text; local fonts only measure it.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(file, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())  # noqa: S314 - what matplotlib wrote
    for inner in ("metadata", "defs"):  # defs holds a style that would apply to the whole page
        root.remove(root.find(f"{_SVG}{inner}"))  # type: ignore[arg-type]
    for element in root.iter():
        _rewrite_element(element, key)
    root.attrib |= {"role": "img", "aria-label": to_single_line(alt, max_length=2000)}
    return ElementTree.tostring(root, encoding="unicode")


def _rewrite_element(element: ElementTree.Element, key: str) -> None:
    """Remove namespaces, sizes and colours from an element; prefix ids with the key."""
    element.tag = element.tag.removeprefix(_SVG)
    element.tail = None
    if element.tag != "text":
        element.text = None
    attributes, element.attrib = dict(element.attrib), {}
    for name in _DROPPED_ATTRIBUTES.get(element.tag, ()):
        attributes.pop(name, None)
    for name, value in attributes.items():
        element.set(*_rewrite_attribute(name, value, key))


def _rewrite_attribute(name: str, value: str, key: str) -> tuple[str, str]:
    if name == "id":
        return name, f"{key}-{value}"
    if name == _LINK:
        return "href", f"#{key}-{value.removeprefix('#')}"
    if name == "clip-path":
        return name, value.replace("url(#", f"url(#{key}-")
    if name == "style":
        value = re.sub(r"font-family:[^;]*;?", "", value)
        return name, _COLOR.sub(lambda match: _CSS_VARIABLES.get(match[0], match[0]), value)
    return name, " ".join(value.split())
