"""Tensors in, tensors out. One folder an op: ``reference.py`` is its definition, ``numba.py`` serves CPU, ``triton.py`` GPU."""
