"""The tables and figures of Ronchi et al., BMVC 2018 (PAPER.md 7), each one command: ``nearfar reproduce``.

An experiment plans the measurements it needs (`runs.Measurement`: which training run, tested how) and draws them;
runs that several experiments share are trained once.
"""

from nearfar.reproduce.experiment import Experiment
from nearfar.reproduce.fig1d import FIG1D
from nearfar.reproduce.fig4 import FIG4A, FIG4B, FIG4C, FIG4D
from nearfar.reproduce.fig5 import FIG5
from nearfar.reproduce.sequence import SEQUENCE
from nearfar.reproduce.tables import TABLE1, TABLE2

__all__ = ["EXPERIMENTS"]

EXPERIMENTS: tuple[Experiment, ...] = (TABLE1, TABLE2, FIG1D, FIG4A, FIG4B, FIG4C, FIG4D, FIG5, SEQUENCE)
"""The experiments that train; figures 2 and 3 are about people's answers alone (`fig2`, `fig3`)."""
