"""Judging a trained model, and putting it to use.

ranking     evaluate(): filtered ranks of a split -> Evaluation
ranks       rank_facts(): the ranks alone             metrics     MRR, MR, Hits@k, AMRI, intervals
protocol    how a figure was measured                 provenance  by which code, on what machine
results     the form of a committed result            tables      the README's tables, from the results
compare     figures side by side                      memory      how many queries are scored at once
prediction  predict(): answers to a question          explanation explain(): why that answer
paths       the heaviest paths, by beam search        explained   answers with their reasons, written out
perturbed   noise_test(): ranking under noise         noisy       vectors with noise that depends on seed and query alone
attacks     what turns a query's answer               certification  certify(): radii that no attack turns
multihop    answers to queries of several hops        export      vectors for other programs
missing     missing_test(): modalities that go missing after training
curve       metrics against the strength of a disturbance, with their pictures
fact_attacks  facts changed until an answer turns     fact_trial  attack_facts(): how many of a split's answers do
asked       which queries of a split, one by one
"""

from gnnkg.evaluation.explanation import Reason, Step, explain
from gnnkg.evaluation.perturbed import NoiseTest, noise_test
from gnnkg.evaluation.prediction import Answer, predict
from gnnkg.evaluation.protocol import Protocol
from gnnkg.evaluation.ranking import Evaluation, evaluate
from gnnkg.evaluation.ranks import Ranks, rank_facts
from gnnkg.evaluation.results import Result

__all__ = [
    "Answer",
    "Evaluation",
    "NoiseTest",
    "Protocol",
    "Ranks",
    "Reason",
    "Result",
    "Step",
    "evaluate",
    "explain",
    "noise_test",
    "predict",
    "rank_facts",
]
