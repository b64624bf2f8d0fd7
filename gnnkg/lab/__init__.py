"""The negative-sampling laboratory: data sets x models x methods x seeds at an equal budget, measured alike.

grid.py       what is compared: a YAML file          budget.py     minutes or steps, and what a step costs
tuning.py     an equal number of trials for each     laboratory.py does the work, cell by cell
measures.py   what a trained model and its negatives are like; drawn.py gives it what the losses see
suspects.py   how well DeMix finds false negatives that were planted
recording.py  a run becomes a result file            report.py     table and figures of what is there
"""
