"""Answers for grading by FastChat's judge.

===============  =================================================================
`questions`      what is asked: FastChat's ``question.jsonl``, or instructions
`conversation`   a model that answers, turn by turn
`answer_file`    FastChat's ``model_answer/<model>.jsonl``, written as it comes
===============  =================================================================
"""
