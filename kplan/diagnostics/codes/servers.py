"""Answers of Kafka and of Connect, or none."""

from kplan.diagnostics.codes.code import Code

K301 = Code(
    "K301",
    "the server refuses this request",
    level="error",
    cause="""
        Kafka or Connect understood the request and says that it is wrong; the same request would be refused again.
        The server's own words are in the message.
        """,
    remedy="""
        Usual causes: a value that this version does not know, a policy of the cluster (`create.topic.policy.class`),
        more replicas than brokers. Change the stack, then plan again.
        """,
)

K310 = Code(
    "K310",
    "a server does not answer",
    level="error",
    cause="""
        No connection, so the request was not sent and nothing has changed. kplan has tried as often as `retry:
        {attempts: 3, delay: 2s}` of the environment says, unless the server was silent for the whole
        `timeouts: {request: 30s}`. `kplan apply --wait 60s` waits for servers that are starting.
        """,
    remedy="""
        Check address and port from this very machine, and TLS: a plain connection to an encrypted port just hangs.
        A name in `advertised.listeners` that does not resolve here shows the same way.
        """,
)

K311 = Code(
    "K311",
    "no answer in time",
    level="error",
    cause="""
        The request was sent, and no answer came, so it may or may not have taken effect. kplan reads again before
        it decides, and never repeats such a request blindly.
        """,
    remedy="""
        If the run has ended, `kplan recover --list` lists steps without an outcome, and `kplan plan` shows the live
        state. Slow servers: raise `timeouts: {request: 60s}` in the environment.
        """,
)

K312 = Code(
    "K312",
    "refused for now",
    level="error",
    cause="""
        The server is in the middle of something: a rebalance of Connect, no leader or controller, a quota. The request
        has not taken effect, and the same one will probably be accepted later.
        """,
    remedy="""
        kplan has tried again with growing pauses. If it goes on, look at the health of brokers and workers, or raise
        `retry: {attempts: 10, delay: 5s}` in the environment.
        """,
)

K313 = Code(
    "K313",
    "not allowed",
    level="error",
    cause="""
        User or password are wrong, a server refuses a token, or the user lacks a right. For a right that the brokers
        miss, the message names the ACL and the line of kafka-acls.sh that grants it; docs/permissions.md lists all that
        kplan needs.
        """,
    remedy="""
        Without Describe a topic is invisible rather than refused, so kplan asks for it by name. Connect has no rights
        of its own: 401 means that it does not know the login, 403 that something before it forbids the request.
        """,
)

K314 = Code(
    "K314",
    "it is there already, or gone already",
    level="error",
    cause="""
        Another client has created or deleted the same thing since it was read. A topic that another client has
        created exactly as planned does not stop the run: the stack adopts it, and undo and `destroy` leave it. This
        error means that what is there differs from the plan; the message names the differences.
        """,
    remedy="""
        Plan again: the plan shows what it would change of a thing that is there, and one that is gone needs no
        deletion.
        """,
)

K315 = Code(
    "K315",
    "this server or client cannot do it",
    level="error",
    cause="""
        The operation needs a newer server, or one that the client library lacks: STOPPED connectors need Kafka Connect
        3.6, a changed replication factor needs a plan that was made with the servers at hand.
        """,
    remedy="""
        The message says which version or tool can. `kplan version` prints those in use.
        """,
)

K316 = Code(
    "K316",
    "the value of a secret is not known",
    level="error",
    cause="""
        A connector must be sent with a secret whose value is at hand neither in a variable nor in Connect: after a
        crash, when a changed password is put back, or a deleted connector is made again.
        """,
    remedy="""
        Set the variable that holds it (KPLAN_VAR_NAME, or the one under its `env:`) and run the same command again.
        """,
)

K317 = Code(
    "K317",
    "no secure connection",
    level="error",
    cause="""
        One side refuses the other's certificate, so nothing was sent. The message says which server it is and what is
        wrong: expired, made for another name, signed by an authority that is not trusted here, or none of yours.
        """,
    example="""
        kafka:   {ssl.ca.location: ca.pem, ssl.certificate.location: me.pem, ssl.key.location: me.key}
        connect: {ca: ca.pem, certificate: me.pem, key: me.key}
        """,
    remedy="""
        There is no setting to skip the check; a server with a certificate of its own is trusted by naming that as `ca`.
        """,
)

K332 = Code(
    "K332",
    "Connect works on another cluster",
    level="error",
    cause="""
        The workers under `connect: {url: …}` store their state in another Kafka cluster than the one that
        `kafka: {bootstrap.servers: …}` names, so the topics would be made here and the connectors would write there.
        """,
    remedy="""
        Correct one of the two in `kplan.yaml`. Cluster ids are in the message.
        """,
)

K333 = Code(
    "K333",
    "an answer is too large",
    level="error",
    cause="""
        kplan reads at most 128 MiB of an answer of Connect (2,000 connectors with 64 KiB each of settings, states and
        traces), and 64 MiB of one of GitHub or GitLab. This answer is larger, or does not end.
        """,
    remedy="""
        Look at what answers at the address of the message, with `curl`. The address is probably wrong.
        """,
)

K334 = Code(
    "K334",
    "the port belongs to something else",
    level="error",
    cause="""
        Something answers at the address, and it is not what the setting needs. `bootstrap.servers` needs a broker's
        port: not a KRaft controller's, and not Connect's, which speaks HTTP. `connect: {url: …}` needs Connect's, and
        not a broker's. Or the listener has no SASL, and `security.protocol` says that it has.
        """,
    remedy="""
        `listeners` in a broker's server.properties names its ports; those of `controller.listener.names` are the
        controller's.
        """,
)

K335 = Code(
    "K335",
    "Connect could not be read",
    level="warning",
    cause="""
        The environment has a Connect that does not answer. No connector is declared, owned, removed or moved here, so
        the plan is made without it. Which sink connectors read the topics is not known: a change that would cut readers
        off is a danger, and needs to be accepted.
        """,
    remedy="""
        Start the worker or correct `connect: {url: …}`. With a connector in the stack this is the error K310.
        """,
)

K336 = Code(
    "K336",
    "no token from the issuer",
    level="error",
    cause="""
        The token endpoint of a login by OIDC, or the library of a cloud, gives no token: the client or its secret is
        wrong, the client may not have the scope, or the address is another one. The message has the issuer's words.
        """,
    example="""
        oidc: {token_url: https://issuer/token, client_id: kplan, client_secret: "{{ env.SECRET }}"}
        """,
    remedy="""
        Ask it yourself: `curl -u ID:SECRET -d grant_type=client_credentials URL`. If it wants the secret in the body,
        write `client_authentication: client_secret_post`. An endpoint that does not answer is K310, one that is not
        trusted K317; a server that refuses the token is K313.
        """,
)

K337 = Code(
    "K337",
    "this cluster cannot hold the state",
    level="error",
    cause="""
        kplan keeps its ledger and journal in a compacted topic that it writes in transactions, and its lock is a
        consumer group. The topic is not there yet, and the brokers refuse such a topic or do not know these requests.
        """,
    example="""
        environments: {prod: {kafka: …, state: {sqlite: /shared/kplan/prod.db}}}
        """,
    remedy="""
        Keep the state in a file that all runs of the environment share.
        """,
)

K338 = Code(
    "K338",
    "the brokers lack what the plan needs",
    level="error",
    cause="""
        Some services speak only a part of Kafka's protocol, and older brokers know fewer requests: for example none to
        change a topic's settings one by one (IncrementalAlterConfigs), or to add partitions.
        """,
    remedy="""
        The message says what to do without it. `kplan doctor` prints what the servers of an environment can do.
        """,
)

K339 = Code(
    "K339",
    "an address cannot be listened on",
    level="error",
    cause="""
        `kplan agent` serves its metrics at the address of `--listen`. Another process listens there already, the host
        is not one of this machine, or the port needs more rights.
        """,
    example="""
        kplan agent --listen 0.0.0.0:80
        """,
    remedy="""
        Name another port, such as `--listen 127.0.0.1:9465`, or serve nothing with `--listen ''`.
        """,
)

K399 = Code(
    "K399",
    "kplan could not go on",
    level="error",
    cause="""
        Something failed that has no code of its own; the message says what. Nothing was changed unless it says so.
        """,
    remedy="""
        Run again with `--log-level debug` and look at the last lines. If the cause is in kplan itself, report it with
        them: secrets are never logged.
        """,
)
