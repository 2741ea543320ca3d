"""What all figures look like."""

STYLE = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
MODEL, OBSERVED, TRUTH, PLAIN, DRAWN = "#1f6fb4", "#222222", "#d1495b", "#8d8d8d", "#e0a030"
BACKGROUND = "#dcdcdc"
LABELS = {
    "model": ("model", MODEL),
    "sampled_constant_velocity": ("constant velocity, sampled", DRAWN),
    "constant_velocity": ("constant velocity", PLAIN),
}
