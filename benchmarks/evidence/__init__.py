"""The evidence: methods on real models and tasks, fair and repeatable.

=============  =====================================================================
`tasks`        what is learned: data, model, metric, and how long
`fine_tuning`  one run: a method, a task, a learning rate, a seed
`bases`        the bases that runs need, each calibrated once through the service
`search`       the learning rate of a method on a task, by as many runs for each
`results`      runs as JSON lines, with what they were made on
`tables`       means and deviations over seeds, in Markdown
=============  =====================================================================
"""
