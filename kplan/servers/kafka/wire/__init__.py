"""Reads a cluster by a few requests of Kafka's protocol, without librdkafka: what every plan asks, and nothing else.

librdkafka asks for all configs with their synonyms and makes Python objects of each, which costs a plan of 1,000 topics
most of its time, and to import it costs a small plan a fifth. Whatever is unusual (a login, a setting, a version, a
refusal, a lost connection) raises `Unsuited`, and the caller asks again through librdkafka, which explains failures.

| file          | holds                                                                    |
|---------------|--------------------------------------------------------------------------|
| encoding.py   | the primitive types of the protocol                                      |
| connection.py | a connection to one broker: TLS, login, requests in flight               |
| login.py      | SASL PLAIN and SCRAM                                                     |
| topics.py     | metadata of topics, and their configs                                    |
| records.py    | the committed records of a partition                                     |
| groups.py     | whether a consumer group has members                                     |

The versions of the requests are the newest without tagged fields; brokers from 2.1 to 4.3 have them (the schemas of the
messages are in kafka-clients.jar under common/message).
"""
