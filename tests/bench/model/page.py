"""The figures as a page that a person can read. Imports nothing heavy: see ``run``."""

import importlib.metadata
import math
import os
import platform
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from words import WORDS

__all__ = ["markdown"]

_LIBRARIES = ("lightgbm", "polars", "scikit-learn")
_SIMPLE = (
    "seat utilisation",
    "most active users",
    "rule: utilisation at least 80 %",
    "most events",
    "days to limit",
)
_THIRDS = ("lowest", "middle", "highest")
Found = Mapping[str, Any]
Row = tuple[str, ...]


def markdown(kept: Mapping[str, Found]) -> str:
    """Write the page; every number on it comes from what the sections found.

    Parameters
    ----------
    kept : mapping of str to mapping
        Section → ``found``, when (``at``), and of which code.
    """
    parts = ["# What the model is worth\n", "Made by `make bench-model`; do not edit.\n", _head()]
    for name, (title, rows) in _SECTIONS.items():
        parts.append(f"## {title}\n")
        if name not in kept:
            parts.append("Not measured yet.\n")
            continue
        parts += _table(("figure", "target", "measured", ""), rows(kept[name]["found"]))
        parts.append(_when(kept[name]))
    return "\n".join([*parts, WORDS])


def _head() -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} CPUs, {memory:.0f} GB, Python {platform.python_version()}, {versions}."
        " In brackets 90 % intervals that draw whole accounts and, from four on, cuts."
        " Default settings throughout.\n"
    )


def _when(section: Found) -> str:
    changed = ", with changes not committed" if section["changed"] else ""
    made = section["found"].get("made")
    panels = ""
    if made and made["code"] != section["panels"]:
        panels = f" **The panels are of {made['date']}, made by other code; see `--rebuild`.**"
    return (
        f"Measured on {section['at'][:10]} at commit {section['commit']}{changed},"
        f" in {section['seconds'] / 60:.0f} minutes.{panels}\n"
    )


def _openstack(found: Found) -> Iterable[Row]:
    mine = found["figures"]["model"]
    simple = {name: each for name, each in found["figures"].items() if name != "model"}
    for figure, told, floor in (
        ("auroc", "AUROC", 0.831),
        ("average_precision", "average precision", 0.219),
    ):
        name, best = max(
            ((name, each[figure]["value"]) for name, each in simple.items()), key=lambda one: one[1]
        )
        value = mine[figure]["value"]
        yield _row(told, f"> {floor:.3f}", mine[figure], met=value > floor)
        yield _row(
            f"{told} less that of the best simple ranking ({name}, {best:.3f})",
            "> 0",
            f"{value - best:+.3f}",
            met=value > best,
        )
    for figure, told in (
        ("calibration_slope", "calibration slope"),
        ("observed_to_expected", "observed ÷ expected"),
    ):
        yield _row(told, "interval holds 1", mine[figure], met=_holds(mine[figure], 1))
    yield from _more(mine)
    yield _row(
        f"precision at capacity less that of {found['best_simple']}", "", found["over_best_simple"]
    )
    yield ("what was judged", "", _said(found["said"]), "")


def _said(evaluation: str) -> str:
    return evaluation.removeprefix("Evaluation(").removesuffix(")")


def _more(mine: Found) -> Iterable[Row]:
    for figure, told in (
        ("precision_at_capacity", "precision at capacity (20 accounts per as-of)"),
        ("log_loss_skill", "log-loss skill"),
        ("brier_skill", "Brier skill"),
        ("calibration_error", "calibration error"),
    ):
        yield _row(told, "", mine[figure])


def _simulated(found: Found) -> Iterable[Row]:
    share, precision = found["auroc_share"], found["average_precision_share"]
    yield _row(
        f"(AUROC − .5) ÷ that by the true probability ({found['auroc']['value']:.3f} beside"
        f" {found['auroc_true']['value']:.3f})",
        "≥ 92 %",
        _percent(share),
        met=share["value"] >= 0.92,
    )
    yield _row(
        f"average precision ÷ that by the true probability"
        f" ({found['average_precision']['value']:.3f} beside"
        f" {found['average_precision_true']['value']:.3f})",
        "≥ 85 %",
        _percent(precision),
        met=precision["value"] >= 0.85,
    )
    for rival, who in (
        (
            "told",
            "of a plain LightGBM on the same columns that is told the true probabilities of other"
            " accounts, in place of what became of them",
        ),
        (
            "shown",
            "of this model if the simulator's hidden state stood among its features: all there is"
            " to know, learned from as few outcomes",
        ),
    ):
        theirs = found[rival]
        yield _row(f"the former, {who}", "", _percent(theirs["auroc_share"]))
        yield _row("the latter, of the same", "", _percent(theirs["average_precision_share"]))
    yield _row(
        f"mean absolute difference from the true probability (of a constant:"
        f" {found['difference_constant']['value']:.3f})",
        "stated",
        found["difference"],
    )
    yield _row(
        f"stated 80 % interval holds the true probability (mean width"
        f" {found['width']['value']:.3f})",
        "77 to 83 %",
        _percent(found["held"]),
        met=_near_four_fifths(found["held"]),
    )
    mine = found["walk"]["figures"]["model"]
    yield _row("calibration slope", "", mine["calibration_slope"])
    yield _row("observed ÷ expected", "", mine["observed_to_expected"])
    yield from _more(mine)
    yield ("what was judged", "", f"{found['name']}: {_said(found['walk']['said'])}", "")


def _small(found: Found) -> Iterable[Row]:
    for accounts, each in found.items():
        mine, gain = each["figures"], each["gain"]
        n = f"n = {int(accounts):,}: "
        ratio = mine["observed_to_expected"]
        yield _row(
            f"{n}observed ÷ expected, pooled",
            ".85 to 1.15",
            ratio,
            met=0.85 <= ratio["value"] <= 1.15,
        )
        yield _row(
            f"{n}Brier skill", "> 0", mine["brier_skill"], met=mine["brier_skill"]["value"] > 0
        )
        below = sum((one["gain"]["high"] or 0) < 0 for one in each["by_company"])
        allowed = _by_chance(each["companies"])
        yield _row(
            f"{n}precision at capacity less that of the best simple ranking ({each['best']},"
            f" {each['best_precision']:.3f})",
            "not below 0 beyond noise",
            gain,
            met=gain["high"] >= 0 and below <= allowed,
        )
        yield (
            f"{n}companies whose own interval of that lies below 0",
            f"≤ {allowed}, as many as chance gives",
            f"{below} of {each['companies']}",
            _verdict(met=below <= allowed),
        )
        ratios = sorted(one["observed_to_expected"] for one in each["by_company"])
        yield (
            f"{n}observed ÷ expected of the single companies",
            "",
            f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
            "",
        )
        yield _row(f"{n}calibration slope", "", mine["calibration_slope"])
        yield from _dates_pooled(n, each["dates"])
        yield (
            f"{n}what was judged",
            "",
            f"{each['snapshots']:,} snapshots of {each['companies']} companies,"
            f" {each['expanded']:,} expanded; {each['skipped']} cuts without a model",
            "",
        )


def _dates_pooled(n: str, dates: Found) -> Iterable[Row]:
    yield _row(
        f"{n}dates: error saved over the best constant known before the cut"
        f" ({dates['judged']:,} expansions)",
        "",
        _percent(dates["date_gain_over_usual"]),
    )
    for third in _THIRDS:
        yield _held(f"{n}dates: ", third, dates)


def _held(where: str, third: str, dates: Found) -> Row:
    held = dates[f"date_coverage_{third}"]
    return _row(
        f"{where}80 % interval holds the date, {third} third of probability",
        "77 to 83 %",
        _percent(held),
        met=_near_four_fifths(held),
    )


def _near_four_fifths(held: Found) -> bool:
    return bool(0.77 <= held["value"] <= 0.83)


def _by_chance(companies: int) -> int:
    """The most companies of which chance alone puts the interval below 0, 19 times in 20."""
    total = 0.0
    for count in range(companies + 1):
        total += math.comb(companies, count) * 0.05**count * 0.95 ** (companies - count)
        if total >= 0.95:
            return count
    return companies


def _dates(found: Found) -> Iterable[Row]:
    for where, each in found["dates"].items():
        told, more = each["walk"], each["more"]
        error = told["date_error_days"]
        yield _row(
            f"{where}: mean absolute error of the median date, days", "stated", error, places=1
        )
        for rival, name, floor in (
            ("line", "linear days-to-limit", 0.25),
            ("usual", "the best constant known before the cut", 0.10),
        ):
            gain, theirs = told[f"date_gain_over_{rival}"], told[f"date_error_days_{rival}"]
            yield _row(
                f"{where}: error saved over {name} ({_number(theirs['value'], 1)} days)",
                f"≥ {_share(floor)}, interval above 0",
                _percent(gain),
                met=_reaches(gain, floor) and (gain["low"] or 0) > 0,
            )
        yield _row(
            f"{where}: the same, with the constant where the line reaches beyond 180 days",
            "",
            _percent(more["gain_over_line_within"]),
        )
        if where == "simulated":
            yield _row(
                f"{where}: error the true curve itself would save over the constant: no model can"
                " save more, noise apart",
                "",
                _percent(found["true"]),
            )
        for share, name in ((10, "early"), (50, "median"), (90, "late")):
            theirs = more[f"usual_pinball_{name}"]["value"]
            yield _row(
                f"{where}: pinball loss at {share} %, days (of the constant: {_number(theirs, 2)})",
                "stated",
                told[f"date_pinball_days_{share}"],
                places=2,
            )
        for third in _THIRDS:
            yield _held(f"{where}: ", third, told)
        week = found["stability"][where]
        yield _row(
            f"{where}: median absolute change of the expected calendar date in a week, days"
            f" (without the retrain {_number(week['date_change_not_retrained']['value'], 0)})",
            "stated",
            week["date_change"],
            places=0,
        )
        yield _row(
            f"{where}: accounts whose expected date receded by more than a week in that week",
            "",
            _percent(week["later_than_a_week"]),
        )
        told_dates = week["told"]
        yield _row(
            f"{where}: median absolute change of the readiness date as listed, in that week, days"
            f" ({told_dates['named']:,} accounts had one)",
            "stated and small",
            told_dates["change"],
            places=0,
        )
        yield _row(
            f"{where}: of them, accounts whose readiness date receded at all",
            "",
            _percent(told_dates["later"]),
        )
        yield _row(
            f"{where}: of them, accounts without a readiness date a week later",
            "",
            _percent(told_dates["gone"]),
        )
        yield (
            f"{where}: what was judged",
            "",
            f"{each['expanded']:,} snapshots of {each['accounts']:,} accounts that expanded within"
            f" 180 days; {each['no_limit']:,} without a known limit, {each['beyond']:,} whose line"
            f" reaches it later than that; mean width of the interval {each['width']:.0f} days",
            "",
        )


def _drivers(found: Found) -> Iterable[Row]:
    for name, told, floor in (
        ("first", "the first signal tells the cause", 0.6),
        ("three", "one of the first three tells it", 0.9),
    ):
        measured = found["measured"][name]
        yield _row(
            f"{told} (chance: {_share(found['dealt'][name])})",
            f"≥ {_share(floor)}",
            _percent(measured),
            met=measured["value"] >= floor,
        )
    yield (
        "expansions caused by people and seats: always naming them first would be right in",
        "",
        _share(found["always_people"]),
        "",
    )
    yield (
        "the pressure that was truly strongest at the as-of tells the cause of",
        "",
        _share(found["strongest_pressure"]),
        "",
    )
    for driver, (count, first, three) in sorted(found["by_driver"].items()):
        yield (
            f"{driver}: first, first three",
            "",
            f"{_share(first)}, {_share(three)} of {count}",
            "",
        )


def _explanations(found: Found) -> Iterable[Row]:
    for where, each in found["sums"].items():
        yield _row(
            f"{where}: base and contributions less the margin, at worst of"
            f" {each['predictions']:,} predictions",
            "≤ 1e-9",
            f"{each['worst']:.1e}",
            met=each["worst"] <= 1e-9,
        )
    for where, week in found["stability"].items():
        same = week["same_snapshots"]
        yield _row(
            f"{where}: agreement (Jaccard) of the first three signals of the same snapshots across"
            f" retrains a week apart, {week['accounts']:,} accounts",
            "≥ .8",
            same,
            met=same["value"] >= 0.8,
        )
        yield _row(
            f"{where}: the same from list to list, a week's news included", "", week["as_listed"]
        )


def _speed(found: Found) -> Iterable[Row]:
    ours, theirs = found["ours"], found["theirs"]
    most = max(ours, key=int)
    mine, other = ours[most], theirs[most]
    each = mine["boosters_cpu_seconds"] / mine["boosters"]
    yield _row(
        f"{int(most):,} snapshots × 120: processor time of each booster ÷ LightGBM's own `train`"
        f" ({other['rows']:,} × {other['columns']}, {other['rounds']} rounds, one thread)",
        "≤ 1.3",
        f"{each / other['cpu_seconds']:.2f} ({each:.0f} s ÷ {other['cpu_seconds']:.0f} s)",
        met=each <= 1.3 * other["cpu_seconds"],
    )
    sizes = sorted(ours, key=int)
    for smaller, larger in pairwise(sizes):
        for figure, name, scale, unit in (
            ("cpu_seconds", "processor time of a fit, regressions and all", 1, "s"),
            ("peak_bytes", "peak memory of a fit", 1e9, "GB"),
        ):
            a, b = (ours[size][figure] / scale for size in (smaller, larger))
            yield _row(
                f"{name}, {int(smaller):,} → {int(larger):,} snapshots",
                "linear: ≤ × 2.2",
                f"{a:.1f} → {b:.1f} {unit}, × {b / a:.2f}",
                met=b / a <= 2.2,
            )
    yield (
        "seconds of a whole fit on this machine",
        "",
        ", ".join(f"{int(size):,}: {ours[size]['seconds']:.0f} s" for size in sizes),
        "",
    )
    yield (f"the same as peak memory, LightGBM's own `train` of {int(most):,}", "",
           f"{other['peak_bytes'] / 1e9:.1f} GB", "")  # fmt: skip


def _shuffled(found: Found) -> Iterable[Row]:
    for figure, told in (
        ("auroc", "AUROC, mean over the shuffles"),
        ("auroc_within_as_ofs", "AUROC over pairs of one as-of only, mean over the shuffles"),
    ):
        values = [each[figure] for each in found["each"]]
        values = [one["value"] if isinstance(one, dict) else one for one in values]
        middle = sum(values) / len(values)
        spread = math.sqrt(sum((one - middle) ** 2 for one in values) / max(len(values) - 1, 1))
        reach = _T90.get(len(values), 1.83) * spread / math.sqrt(len(values))
        measured = {"value": middle, "low": middle - reach, "high": middle + reach}
        yield _row(told, "interval holds .5", measured, met=_holds(measured, 0.5))
        yield (f"{told.split(',')[0]}, single shuffles", "",
               " ".join(f"{one:.3f}" for one in sorted(values)), "")  # fmt: skip
    counts = sorted(each["expanded"] for each in found["each"])
    yield ("expansions judged in a shuffle", "", f"{counts[0]} to {counts[-1]}", "")
    outside = sum(not _holds(each["auroc"], 0.5) for each in found["each"])
    yield ("shuffles whose own interval of AUROC lacks .5", "", f"{outside} of {len(values)}", "")


_T90 = {2: 6.31, 3: 2.92, 5: 2.13, 10: 1.83}  # Student's t, 95 %, by number of shuffles

_SECTIONS = {
    "openstack": ("A real product log: OpenStack, as-ofs from 2019-11-01 on", _openstack),
    "simulated": ("A simulated company of 1,500 accounts, 36 months", _simulated),
    "small": ("Served lists of small simulated companies", _small),
    "dates": ("Dates", _dates),
    "drivers": ("The cause of an expansion, which the simulator knows", _drivers),
    "explanations": ("Explanations", _explanations),
    "speed": ("Half a million snapshots", _speed),
    "shuffled": ("OpenStack with the outcomes of other accounts", _shuffled),
}


def _row(
    name: str,
    target: str,
    measured: str | Mapping[str, float | None],
    *,
    met: bool | None = None,
    places: int = 3,
) -> Row:
    told = measured if isinstance(measured, str) else _figure(measured, places)
    return (name, target, told, "" if met is None else _verdict(met=met))


def _verdict(*, met: bool) -> str:
    return "met" if met else "**missed**"


def _figure(figure: Mapping[str, float | None], places: int) -> str:
    value, low, high = (figure[part] for part in ("value", "low", "high"))
    if value is None:
        return "n/a"
    if low is None:
        return f"{value:.{places}f}"
    return f"{value:.{places}f} ({low:.{places}f} to {high:.{places}f})"


def _percent(figure: Mapping[str, float | None]) -> str:
    value, low, high = (figure[part] for part in ("value", "low", "high"))
    if value is None:
        return "n/a"
    told = "" if low is None else f" ({100 * low:.1f} to {100 * high:.1f})"
    return f"{100 * value:.1f} %{told}"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _number(value: float | None, places: int) -> str:
    return "n/a" if value is None else f"{value:.{places}f}"


def _reaches(figure: Mapping[str, Any], floor: float) -> bool:
    return figure["value"] is not None and figure["value"] >= floor


def _holds(figure: Mapping[str, Any], value: float) -> bool:
    return figure["low"] is not None and figure["low"] <= value <= figure["high"]


def _table(head: Row, rows: Iterable[Row]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]
