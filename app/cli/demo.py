import json
import sys

import click

from app.settings import Settings


@click.command()
@click.option(
    "--deltas", default=100_000, show_default=True, type=click.IntRange(1), help="How many changes to record."
)
@click.option("--seed", default=1, show_default=True, help="Which made-up market.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines for a person.")
@click.pass_obj
def demo(settings: Settings, *, deltas: int, seed: int, as_json: bool) -> None:
    """Run the platform on embedded parts and prove it; exit 1 if it did not hold."""
    from app.demo import run_demo

    folder = settings.data_dir / "demo"
    findings = []
    for finding in run_demo(folder, settings.postgres_bin, seed, deltas):
        findings.append(finding)
        if not as_json:
            click.echo(f"{'proved' if finding.ok else 'FAILED'}  {finding.subject}: {finding.summary}")
    held = all(finding.ok for finding in findings)
    if as_json:
        click.echo(json.dumps({"held": held, **{finding.subject: finding.summary for finding in findings}}))
    else:
        click.echo(f"The data stays in {folder}. To look at it: {sys.argv[0]} postgres --demo")
    if not held:
        sys.exit(1)
