"""Entity alignment: who of one graph is who of the other.

features       bags of relations and attributes, names      propagation   features spread over the graph
encoder        the views of entities: the seam of encoders  losses        GMI, ECIA and IIR of SNAG
pseudo_labels  seeds on probation                           fit           training on pairs
label_propagation   seeds spread over the graph, without training
"""
