"""What a stack says about access, and what a change of access takes from somebody."""

from kplan.diagnostics.codes.code import Code

K260 = Code(
    "K260",
    "this is not a principal",
    level="error",
    cause="""
        A key under `access:` is a principal as Kafka's authorizer compares it: its type, a colon and its name. The type
        is `User` unless brokers have a principal builder of their own. For a client with a certificate the name is the
        certificate's subject, as `ssl.principal.mapping.rules` leaves it.
        """,
    example="""
        access:
          User:orders-service: {produce: shop.orders}
        """,
    remedy="Write the type before the name.",
)

K261 = Code(
    "K261",
    "this is not a host of a binding",
    level="error",
    cause="""
        Kafka compares the host of a binding with the client's IP address as text. It knows no names and no ranges, so
        a binding with one of these would never match, without an error.
        """,
    remedy="Write each IP address, or `*` for every host.",
)

K262 = Code(
    "K262",
    "an operation that is never checked on this type of resource",
    level="error",
    cause="""
        Brokers store any operation for any type of resource. One that the authorizer never asks about, such as
        `ClusterAction` on a topic, grants and denies nothing.
        """,
    remedy="Write one of the operations that the message lists.",
)

K263 = Code(
    "K263",
    "an empty name",
    level="error",
    cause="A binding names a resource, or the beginning of names. A template may have given nothing.",
    remedy='Write the name. `"shop.*"` is every name that begins with `shop.`, `"*"` every name.',
)

K264 = Code(
    "K264",
    "an exclusive block without bindings",
    level="error",
    cause="""
        `exclusive: true` deletes each binding of the principal that its block does not ask for. This block asks for
        none, so the principal would lose all of them.
        """,
    remedy="List what is to go under `removed:`, or write the lines that stay.",
)

K265 = Code(
    "K265",
    "a connector that this stack does not declare",
    level="error",
    cause="""
        `connectors:` grants what a connector needs, which kplan knows from the connector's own block: the topics that
        it feeds and reads, its schema history and its signals.
        """,
    remedy="Declare the connector in the same stack, or write `produce` and `consume` instead.",
)

K266 = Code(
    "K266",
    "an allow that a deny makes void",
    level="warning",
    cause="A DENY wins over every ALLOW, whichever was there before. This ALLOW has no effect.",
    remedy="Remove one of them.",
)

K267 = Code(
    "K267",
    "a binding that another one covers",
    level="warning",
    cause="""
        The same principal has a binding for a prefix, or for every name, that allows the same and more. Deleting this
        one takes nothing away.
        """,
    remedy="Remove the line, or narrow the other binding.",
)

K269 = Code(
    "K269",
    "nothing can have this name",
    level="error",
    cause="""
        An entry under `removed:` names a binding, a user or a quota by the name that its address has, as a plan and
        `kplan list` show it: parts with slashes between them, in which all but letters, digits and `._-:=,+@` is
        percent-encoded.
        """,
    example="""
        removed:
          - {acl: "User:alice/allow/Read/topic/shop.orders"}
          - {access: User:bob}   # all bindings of bob that this stack owns
        """,
    remedy="Copy the name from `kplan list`, without the kind.",
)

K272 = Code(
    "K272",
    "a connector that logs in as somebody else",
    level="error",
    cause="""
        The connector has logins of its own (`producer.override.sasl.jaas.config`, `consumer.override.sasl.jaas.config`
        and so on), so brokers see it as the user in them, and not as the workers' user. The principal whose block names
        the connector is not one of them.
        """,
    example="""
        access:
          User:cdc: {connectors: [shop]}   # shop has producer.override.sasl.jaas.config with username="cdc"
        """,
    remedy="Write the line at the principal of that user. Where two users share the work, write it at both.",
)

K273 = Code(
    "K273",
    "the topics of a connector are not known",
    level="error",
    cause="""
        `connectors:` grants rights on the topics that the connector reads or writes. The stack names none: a source
        without a template has no `topics:`, or a sink reads by a regular expression that no topic of the stack matches.
        """,
    example="""
        connectors:
          lines:
            class: org.apache.kafka.connect.file.FileStreamSourceConnector
            topics: {shop.lines: }
            config: {topic: shop.lines, file: /data/lines}
        """,
    remedy="Name the topics at the connector, or write `produce` or `consume` instead of `connectors`.",
)

K274 = Code(
    "K274",
    "the group of Connect's workers is not known",
    level="error",
    cause="""
        The connector must write exactly once (`exactly.once.support: required`), so it needs a right on transactional
        ids. They begin with the workers' `group.id`, which Connect does not show.
        """,
    example="""
        environments:
          prod:
            connect: {url: "https://connect:8083", group_id: connect-cluster}
        """,
    remedy="Write the group into the environment.",
)

K440 = Code(
    "K440",
    "kplan's own access would be lost",
    level="danger",
    cause="""
        After the change, kplan's own user could no longer do what this plan, its undo or a later plan of this stack
        needs. docs/permissions.md lists what is needed. Losing Alter or Describe on the cluster, or a right on kplan's
        state, is an error: kplan could not undo that, or even end its run.
        """,
    remedy="""
        Keep the binding, or let another binding or a super user's rights replace it. Accept the loss with
        `accept: [own-access]` at the principal, or with `--accept` and the exact address; a pattern does not accept it.
        """,
)

K441 = Code(
    "K441",
    "everyone else would be shut out",
    level="danger",
    cause="""
        No binding matches this resource now, and brokers with `allow.everyone.if.no.acl.found=true` let everybody use
        it. The first binding refuses who has none of their own. Brokers list the setting without its value, and only
        for DescribeConfigs on the cluster. kplan then expects `true`, unless the environment says otherwise.
        """,
    example="""
        environments:
          prod:
            authorizer: {allow_everyone_if_no_acl: false}
        """,
    remedy="""
        Say in the environment what the brokers do, or grant the others their rights first; then accept it with
        `accept: [shut-out]`, or for one run with `--accept`.
        """,
)

K442 = Code(
    "K442",
    "readers or writers may lose access",
    level="danger",
    cause="""
        A right is taken away while somebody seems to use it: a consumer group has members that read the topic, or
        records were written within the last 7 days. Kafka shows no principals of clients, so the message names
        groups, and clients with their hosts. No other binding gives the principal the same right.
        """,
    remedy="""
        Look at who uses the resource. Accept it with `accept: [access]` at the principal or its entry under `removed:`,
        or for one run with `--accept`.
        """,
)

K443 = Code(
    "K443",
    "a right is taken away",
    level="caution",
    cause="""
        The principal has no other binding that gives the right. No client was seen that uses it. This is a caution and
        does not block.
        """,
    remedy="Keep the line if the right is still needed.",
)

K444 = Code(
    "K444",
    "a binding goes that has no effect",
    level="note",
    cause="""
        Another binding of the same principal, or of everybody, allows the same, so no right is lost. This is a note
        and does not block.
        """,
    remedy="Nothing is to be done.",
)

K445 = Code(
    "K445",
    "a deny makes a binding of another stack void",
    level="caution",
    cause="""
        A DENY wins over every ALLOW. The message names the binding that loses its effect, and its stack. This is a
        caution and does not block.
        """,
    remedy="Ask those who own that stack.",
)

K446 = Code(
    "K446",
    "kplan could not undo a change of access",
    level="error",
    cause="""
        After the change, kplan's own user could no longer change bindings, or write its own state: it could not undo
        the change, or even end its run. The message names the rights.
        """,
    remedy="""
        Keep the binding. To change what kplan's own user may do, give it the right in another way first, or let an
        administrator make this change. A super user loses nothing; kplan cannot see that it is one where everybody may
        do everything, so kplan.yaml says it: `authorizer: {super_user: true}`.
        """,
)
