from liverstiff.harmonize.intensity import standardise as _s


def standardise(v, a):
    return _s(v, a, 16.0)
