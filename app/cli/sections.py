import click


class SectionedGroup(click.Group):
    """Lists its commands under headings."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self._sections: dict[str, list[click.Command]] = {}

    def add(self, command: click.Command, *, section: str) -> None:
        self.add_command(command)
        self._sections.setdefault(section, []).append(command)

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in self._sections.items():
            with formatter.section(section):
                formatter.write_dl([(command.name or "", command.get_short_help_str(100)) for command in commands])
