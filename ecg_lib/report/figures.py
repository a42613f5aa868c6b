"""All figures by name: the paper's four, drawn afresh, and those of measured numbers."""

from ecg_lib.report.figures_accuracy import exact_match_bars, random_ecg_bars
from ecg_lib.report.figures_architecture import Dims, figure3_architecture
from ecg_lib.report.figures_case import CaseStudy, figure4_case_studies, figure4_case_study
from ecg_lib.report.figures_method import figure1_tags_v_embeddings, figure2_scm
from ecg_lib.report.figures_results import auc_dots, learning_curves, normal_ratio_bars
from ecg_lib.report.figures_starts import study_lines
from ecg_lib.report.figures_study import dose_response
from ecg_lib.report.figures_transfer import transfer_dots

__all__ = [
    "CaseStudy",
    "Dims",
    "auc_dots",
    "dose_response",
    "exact_match_bars",
    "figure1_tags_v_embeddings",
    "figure2_scm",
    "figure3_architecture",
    "figure4_case_studies",
    "figure4_case_study",
    "learning_curves",
    "normal_ratio_bars",
    "random_ecg_bars",
    "study_lines",
    "transfer_dots",
]
