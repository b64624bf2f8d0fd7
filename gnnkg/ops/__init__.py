"""Tensors in, tensors out. One folder an op: ``reference.py`` is its definition, ``numba.py`` serves CPU, ``triton.py`` GPU.

``backends.py`` is the rule which of them serves a call; ``cpu.py`` compiles CPU kernels and shares their work among threads;
``simd.py`` gives them vector registers.
"""
