"""Stage ``train``: one model per fold, with everything that is fitted in that fold."""

from liverstiff.train.fold import train_fold

__all__ = ["train_fold"]
