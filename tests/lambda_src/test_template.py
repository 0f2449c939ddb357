"""The CloudFormation template and the caller's policy: right by cfn-lint's schemas, and as tight as they say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from lbench.config import deployment
from lbench.config.limits import limits
from lbench.lambda_src.deploy import MOST_SIZES
from lbench.lambda_src.iam_policy import caller_policy
from lbench.lambda_src.template import body, render

HERE = Path(__file__).resolve().parents[2] / "lambda_src" / "template.yaml"


def _lint(text: str) -> list[str]:
    return [str(found) for found in lint(text, config=ManualArgs(regions=["us-east-1"]))]


@pytest.fixture(scope="module")
def template() -> Any:
    return render([3008, 1769])


def test_the_file_is_a_template_without_a_finding() -> None:
    assert _lint(HERE.read_text(encoding="utf-8")) == []


def test_what_is_sent_is_one_too(template: Any) -> None:
    assert _lint(json.dumps(template, indent=1)) == []


def test_each_memory_size_has_a_function_and_what_belongs_to_it(template: Any) -> None:
    resources = template["Resources"]
    for size in (1769, 3008):
        function = resources[f"Function{size}"]["Properties"]
        assert function["MemorySize"] == size and function["FunctionName"] == {"Fn::Sub": f"${{AWS::StackName}}-{size}"}
        assert resources[f"Async{size}"]["Properties"]["FunctionName"] == {"Ref": f"Function{size}"}
        assert resources[f"Async{size}"]["Properties"]["MaximumRetryAttempts"] == 0
        assert resources[f"Async{size}"]["Properties"]["MaximumEventAgeInSeconds"] == 300
        assert resources[f"Route{size}"]["Properties"]["RouteKey"] == f"POST /{size}"
        assert resources[f"Route{size}"]["Properties"]["AuthorizationType"] == "AWS_IAM"
        assert resources[f"Integration{size}"]["Properties"]["IntegrationUri"] == {
            "Fn::GetAtt": [f"Function{size}", "Arn"]
        }
        assert resources[f"FromApi{size}"]["Properties"]["SourceArn"]["Fn::Sub"].endswith(f"${{Api}}/*/POST/{size}")
    assert [name for name in resources if not name[-1].isdigit()] == [
        "Bucket",
        "BucketPolicy",
        "LogGroup",
        "Role",
        "Api",
        "ApiStage",
    ]
    assert template["Outputs"]["Memory"]["Value"] == "1769,3008"
    assert "Memory" not in template["Parameters"] and "Memory}" not in body(template)


def test_the_names_that_both_sides_know_are_the_same(template: Any) -> None:
    assert template["Outputs"]["Format"]["Value"] == deployment.FORMAT
    assert deployment.function_name("${AWS::StackName}", 1769) == "${AWS::StackName}-1769"
    rules = template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [rule["Prefix"] for rule in rules if "Prefix" in rule] == [deployment.TEMPORARY]
    assert template["Parameters"]["Timeout"]["Default"] == limits().timeout_max_s


def test_all_that_can_have_tags_has_ours(template: Any) -> None:
    untagged = {"BucketPolicy", "EventInvokeConfig", "Integration", "Route", "Permission"}
    for name, resource in template["Resources"].items():
        if resource["Type"].rpartition(":")[2] in untagged:
            continue
        tags = resource["Properties"]["Tags"]
        tags = tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}
        assert tags == {deployment.TAG: {"Ref": "AWS::StackName"}}, name


def test_the_role_may_do_what_the_handler_does_and_no_more(template: Any) -> None:
    role = template["Resources"]["Role"]["Properties"]
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    allowed = {
        action: statement["Resource"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in statement["Action"]
    }
    conditions = [statement.get("Condition") for statement in policy["PolicyDocument"]["Statement"]]
    assert conditions[0] == {"StringEquals": {"s3:ResourceAccount": {"Ref": "AWS::AccountId"}}}
    objects, logs = {"Fn::Sub": "${Bucket.Arn}/tmp/*"}, {"Fn::GetAtt": ["LogGroup", "Arn"]}
    assert allowed == {
        "s3:GetObject": objects,
        "s3:PutObject": objects,
        "logs:CreateLogStream": logs,
        "logs:PutLogEvents": logs,
    }


def test_the_bucket_is_private_encrypted_and_reached_over_tls_only(template: Any) -> None:
    bucket = template["Resources"]["Bucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert "BucketName" not in bucket  # a name of CloudFormation's is never taken
    encryption = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (deny,) = template["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "s3:*")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_as_many_sizes_as_are_allowed_fit_into_a_request() -> None:
    assert len(body(render(range(10_000, 10_000 + MOST_SIZES)))) < 51_200


def test_the_callers_policy_names_actions_that_exist() -> None:
    policy = caller_policy("lbench", "us-east-1", account="123456789012", http_api=True)
    wrapped = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}}
    misspelt = json.dumps({"Resources": {"Policy": wrapped}}).replace('s3:ListBucket"', 's3:ListBuket"')
    assert any("listbuket" in found for found in _lint(misspelt))
    found = _lint(json.dumps({"Resources": {"Policy": wrapped}}, indent=1))
    assert [one for one in found if not UNLISTED.search(one)] == []


# What CloudFormation's handlers can do besides, for what the template does not ask for.
UNUSED = {
    "AWS::IAM::Role": r"iam:(Attach|Detach)RolePolicy",  # managed policies
    "AWS::Lambda::Function": r"(ec2|elasticfilesystem|kms|s3files):\w+"  # networks, file systems, keys of one's own
    r"|lambda:(AssociateRuntimeAlias|GetCodeSigningConfig|GetLayerVersion|PassCapacityProvider)"
    r"|lambda:Put(FunctionConcurrency|FunctionRecursionConfig|FunctionScalingConfig|RuntimeManagementConfig)"
    r"|s3:GetObjectVersion",  # packages have no versions
    "AWS::Logs::LogGroup": r"firehose:TagDeliveryStream|s3:REST\.PUT\.OBJECT"  # other deliveries
    r"|logs:(CreateLogDelivery|(Put|Delete)(BearerTokenAuthentication|DataProtectionPolicy|IndexPolicy|ResourcePolicy))",
    "AWS::S3::Bucket": r"s3tables:\w+|s3:Put(BucketAbac|ObjectAcl|ObjectLockConfiguration|ReplicationConfiguration)"
    r"|s3:CreateBucketMetadataTableConfiguration"
    r"|s3:PutBucket(CORS|Logging|Notification|ObjectLockConfiguration|Replication|Versioning|Website)"
    r"|s3:Put(Accelerate|Analytics|IntelligentTiering|Inventory|Metrics)Configuration"
    r"|s3:DeleteBucketTagging",  # IAM's action for it is PutBucketTagging
}


# What the handlers of resources ask for, and IAM's own list of actions (of the linter) does not know.
UNLISTED = re.compile(r"\('(un)?tagresource' is not one of \['addcertificatetodomain'")  # apigateway's


@pytest.mark.parametrize("verb", ["create", "read", "delete"])
def test_the_callers_policy_has_what_the_handlers_of_the_registry_ask_for(template: Any, verb: str) -> None:
    policy = caller_policy("lbench", "us-east-1", http_api=True)
    allowed = {action.lower() for statement in policy["Statement"] for action in statement["Action"]}
    for kind in {resource["Type"] for resource in template["Resources"].values()}:
        schema: Any = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        named = [*schema["handlers"][verb]["permissions"], *schema.get("tagging", {}).get("permissions", [])]
        asked = {action for action in named if action.lower() not in allowed}
        assert {action for action in asked if not re.fullmatch(UNUSED.get(kind, ""), action)} == set(), kind


def test_the_callers_policy_is_bounded_by_the_stacks_name() -> None:
    policy = caller_policy("mine", "eu-west-1", account="123456789012")
    for statement in policy["Statement"]:
        if statement["Sid"] == "Look":
            assert all(re.match(r"\w+:(Get|Describe)", action) for action in statement["Action"])
            continue
        assert all(re.search(r"\bmine-|stack/mine/", resource) for resource in statement["Resource"]), statement
        assert not [action for action in statement["Action"] if "*" in action]
    assert "apigateway" not in json.dumps(policy)
    assert "arn:aws-cn:s3:::mine-*" in json.dumps(caller_policy("mine", "cn-north-1"))


@pytest.mark.parametrize("front", [False, True])
def test_the_callers_policy_fits_into_a_managed_one(front: bool) -> None:
    policy = caller_policy("a" * 36, "ap-southeast-2", account="123456789012", http_api=front)
    assert len(json.dumps(policy, separators=(",", ":"))) < 6_144
