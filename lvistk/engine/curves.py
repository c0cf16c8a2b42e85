"""The picture of a run: losses, learning rate and validation scores over steps."""

from pathlib import Path

from lvistk.console import read_metrics
from lvistk.whole_file import whole_file

NOT_LOSSES = {"step", "epoch", "lr", "photos_per_s", "data_share", "memory_gib", "grad_norm"}


def draw_curves(metrics: Path, picture: Path) -> None:
    """Draw ``metrics.jsonl`` into a PNG; rows that lack a quantity leave a gap in nothing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_metrics(metrics)
    training = [row for row in rows if "loss" in row]
    scores = [row for row in rows if "loss" not in row]
    figure = Figure(figsize=(10, 4 if not scores else 7), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 if scores else 1, 1, squeeze=False)[:, 0]
    _draw(panels[0], training, [*(name for name in _names(training) if name not in NOT_LOSSES)])
    panels[0].set_ylabel("loss")
    panels[0].set_yscale("log")
    rate = panels[0].twinx()
    rate.plot([r["step"] for r in training], [r["lr"] for r in training], color="0.75", zorder=0)
    rate.set_ylabel("learning rate")
    if scores:
        _draw(panels[1], scores, [name for name in _names(scores) if name not in NOT_LOSSES])
        panels[1].set_ylabel("validation")
    panels[-1].set_xlabel("step")
    with whole_file(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _names(rows: list[dict]) -> list[str]:
    return sorted({name for row in rows for name in row})


def _draw(panel, rows: list[dict], names: list[str]) -> None:
    for name in names:
        points = [(r["step"], r[name]) for r in rows if isinstance(r.get(name), int | float)]
        bold = 2.0 if name in ("loss", "AP") else 1.0
        panel.plot(*zip(*points, strict=True) if points else ([], []), label=name, linewidth=bold)
    if names:
        panel.legend(fontsize="small", ncols=4)
