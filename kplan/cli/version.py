"""kplan version"""

import platform

import click

from kplan.version import __version__


@click.command("version", help="Print versions of kplan, Python and the Kafka client.")
def command() -> None:
    import confluent_kafka

    librdkafka = confluent_kafka.libversion()[0]
    click.echo(f"kplan {__version__}")
    click.echo(f"Python {platform.python_version()}")
    click.echo(f"confluent-kafka {confluent_kafka.__version__}, librdkafka {librdkafka}")
