"""kplan version"""

import platform

import click

from kplan import __version__


@click.command("version", help="Print versions of kplan, Python and the Kafka client.")
def command() -> None:
    import confluent_kafka

    click.echo(f"kplan {__version__}")
    click.echo(f"Python {platform.python_version()}, confluent-kafka {confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}")
