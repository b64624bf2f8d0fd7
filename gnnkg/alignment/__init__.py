"""Entity alignment: who of one graph is who of the other.

encoder        the views of entities: the seam of encoders  losses        GMI, ECIA and IIR of SNAG
pseudo_labels  seeds on probation                           fit           training on pairs
training       a training as YAML says it                   propagation   features spread over the graph
origin         what a checkpoint was trained on             aligner       the pairs that come of it
label_propagation   seeds spread over the graph, without training
"""
