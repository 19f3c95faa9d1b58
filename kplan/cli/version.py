"""kplan version"""

import json
import platform

import click

from kplan.cli.options import option
from kplan.version import __version__


@click.command("version", help="Print versions of kplan, Python and the Kafka client.")
@option("--format", type=click.Choice(["text", "json"]), default="text", help="The view on standard output.")
def command(format: str) -> None:
    import confluent_kafka

    versions = {
        "kplan": __version__,
        "python": platform.python_version(),
        "confluent_kafka": confluent_kafka.__version__,
        "librdkafka": confluent_kafka.libversion()[0],
    }
    if format == "json":
        click.echo(json.dumps(versions, indent=2))
        return
    click.echo(f"kplan {versions['kplan']}")
    click.echo(f"Python {versions['python']}")
    click.echo(f"confluent-kafka {versions['confluent_kafka']}, librdkafka {versions['librdkafka']}")
