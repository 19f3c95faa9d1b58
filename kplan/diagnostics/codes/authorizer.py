"""What brokers say about access, users and quotas."""

from kplan.diagnostics.codes.code import Code

K340 = Code(
    "K340",
    "the cluster has no authorizer",
    level="error",
    cause="""
        The brokers answer SECURITY_DISABLED: no `authorizer.class.name` is set, so there are no bindings, and everybody
        may do everything.
        """,
    remedy="Set `authorizer.class.name` on the brokers and controllers, or remove `access:` for this environment.",
)

K342 = Code(
    "K342",
    "quotas need another client",
    level="error",
    cause="The usual client has no requests for quotas. kplan uses kafka-python's, which is an extra of kplan.",
    remedy="Install it: `pip install 'kplan[admin]'`.",
)

K343 = Code(
    "K343",
    "the cluster keeps no SCRAM users",
    level="error",
    cause="The brokers do not know the requests for SCRAM users (KIP-554), or their metadata version has none.",
    remedy="Upgrade to Kafka 2.7, with KRaft to `metadata.version` 3.5, or remove `users:` for this environment.",
)

K344 = Code(
    "K344",
    "live resources that this kplan does not know",
    level="note",
    cause="Bindings whose type or operation the client library does not know, such as those of delegation tokens.",
    remedy="They are never compared, imported or deleted. kafka-acls.sh --list shows them.",
)
