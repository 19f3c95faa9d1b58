"""What policies say of a plan's changes, and what is wrong in a file of them."""

from kplan.diagnostics.codes.code import Code

K290 = Code(
    "K290",
    "a policy cannot be used",
    level="error",
    cause="""
        A policy under `policies:` is not what kplan can check: its `require:` is not a JSON Schema, a regular
        expression in it is wrong or takes too long, or two policies have one name.
        """,
    example="""
        policies:
          few-partitions: {match: {kind: topic}, require: {after: {partitions: {maximum: 50}}}}
        """,
    remedy="""
        Correct the place that the message names. Until then there is no plan: a policy that is not checked would
        allow everything.
        """,
)

K470 = Code(
    "K470",
    "a policy denies a change",
    level="error",
    cause="""
        A policy in kplan.yaml matches a step of the plan and does not allow it. The message has the policy's name and
        place, and what it requires. A saved plan is judged again when it is applied, by the policies that are there.
        """,
    example="""
        policies:
          no-deletion: {match: {kind: topic, action: delete}, unless: {address: "topic/tmp.*"}}
        """,
    remedy="""
        Change the stack, or leave the step out with `--exclude ADDRESS`. `--accept` has no effect on a policy: only its
        own `unless:` exempts a change.
        """,
)

K471 = Code(
    "K471",
    "a policy warns of a change",
    level="warning",
    cause="""
        A policy with `level: warn` matches a step of the plan and does not allow it. The plan can be applied.
        """,
    remedy="""
        Change the stack, or exempt the change with `unless:` in the policy.
        """,
)
