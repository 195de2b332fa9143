"""Whether adapters that were trained apart, on one basis, add up to a model of all their tasks.

============  ===================================================================
`changes`     what training changed, kept in folders, and sums of them on a model
`shelf`       the changes of a run's tasks and seeds, each trained once
`judgements`  sums judged on each task, as JSON lines
`tables`      the figures, task by task
============  ===================================================================
"""
