"""What both programs are to the person, or the script, at the terminal.

====================  ====================================================================
`commands`            `Commands`: an application whose commands all take ``--quiet``,
                      ``--json`` and ``--debug``, before or after the subcommand
`results`             `Result`: what a command returns; printed as words, data or in brief
`tables`              `Table` and `Listing`: what a result shows
`progress`            `Phases`: bars on a terminal, now and then a plain line elsewhere
`questions`           `confirm`: before anything that cannot be undone
`running`             `run`: errors in one line, Ctrl-C, exit codes
`exits`               the exit codes and what they mean
====================  ====================================================================

A command is a function that returns a `Result` and prints nothing::

    app = Commands(name="bases", help="…", epilog="Example: …")

    @app.command()
    def show(reference: ReferenceArgument) -> Result:
        ...
        return Result(
            data=version,                     # for --json: anything that pydantic can write
            shown=["basis  team/x@1", Table(("group", "rank"), rows)],
            brief=["team/x@1"],               # for --quiet
        )

Long work is told to `Phases`, which knows by itself whether to draw bars, write lines or say
nothing. An error is an exception of `sparsegrad_shared.errors`; nothing else is needed to have it
printed in one line, or as a problem (RFC 9457) under ``--json``.

Standard output holds the result alone; questions, progress, warnings and errors go to standard
error. Nothing here imports more than typer and rich, so that ``--help`` is quick.
"""
