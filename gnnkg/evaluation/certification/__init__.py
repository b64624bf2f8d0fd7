"""Certified radii by randomized smoothing: how far a query's head vector can be pushed before the smoothed answer may change.

certify      certify(): a model and a split -> Certificate      settings   Smoothing: noise, draws, confidence, event
certificate  radii, ACR, CA, the curve CA(r)                    bound      Clopper-Pearson and the radius
question     one query and its event                            reference  the definition of what is counted
counting     the same, fast                                     pruning    rivals that cannot matter, tangents
picture      the curves as figures
facts        certify_facts(): facts deleted or added            partial    what is done of an unfinished certificate
fact_certificate  how many, and why                             trial      attack(): attacks against a certificate
boundary     counting where NBFNet passes messages from noise   fact_trial attack_certified(): against one for facts
"""

from gnnkg.evaluation.certification.certificate import Certificate, Row
from gnnkg.evaluation.certification.certify import certify
from gnnkg.evaluation.certification.counting import Counted, Counter
from gnnkg.evaluation.certification.fact_certificate import FactCertificate
from gnnkg.evaluation.certification.fact_trial import CertificateTrial, attack_certified
from gnnkg.evaluation.certification.facts import certify_facts
from gnnkg.evaluation.certification.question import Question
from gnnkg.evaluation.certification.settings import Smoothing
from gnnkg.evaluation.certification.trial import Trial, attack

__all__ = [
    "Certificate",
    "CertificateTrial",
    "Counted",
    "Counter",
    "FactCertificate",
    "Question",
    "Row",
    "Smoothing",
    "Trial",
    "attack",
    "attack_certified",
    "certify",
    "certify_facts",
]
