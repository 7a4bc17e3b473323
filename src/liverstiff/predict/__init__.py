"""Stage ``predict``: the target of exams no model was trained on, with conformal intervals."""

from liverstiff.predict.stage import COLUMNS, predict_partition

__all__ = ["COLUMNS", "predict_partition"]
