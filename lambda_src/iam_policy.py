"""The IAM policy of a person who deploys, runs and destroys, to be attached as it is printed.

Resources are bounded by the stack's name: whatever CloudFormation names itself begins with it. CloudFormation acts with the
caller's own permissions, so that what it does to the resources is in here too (the permissions that the resource types'
handlers name, by the CloudFormation registry's schemas).
"""

from __future__ import annotations

from typing import Any

from lbench.config.deployment import stack_name

__all__ = ["caller_policy"]

_STACK = ["ContinueUpdateRollback", "CreateStack", "DeleteStack", "DescribeStackEvents", "DescribeStacks"]
_STACK += ["ListStackResources", "TagResource", "UntagResource", "UpdateStack"]
_BUCKET = ["CreateBucket", "DeleteBucket", "DeleteBucketPolicy", "GetBucketLocation", "GetBucketOwnershipControls"]
_BUCKET += ["GetBucketPolicy", "GetBucketPublicAccessBlock", "GetBucketTagging", "GetBucketVersioning"]
_BUCKET += ["GetEncryptionConfiguration", "GetLifecycleConfiguration", "ListBucket", "ListBucketMultipartUploads"]
_BUCKET += ["ListBucketVersions", "ListTagsForResource", "PutBucketOwnershipControls", "PutBucketPolicy"]
_BUCKET += ["PutBucketPublicAccessBlock", "PutBucketTagging", "PutEncryptionConfiguration", "PutLifecycleConfiguration"]
_BUCKET += ["TagResource", "UntagResource"]
# CloudFormation reads a bucket whole, also what ours has not.
_BUCKET += ["GetAccelerateConfiguration", "GetAnalyticsConfiguration", "GetBucketAbac", "GetBucketAcl", "GetBucketCORS"]
_BUCKET += ["GetBucketLogging", "GetBucketMetadataTableConfiguration", "GetBucketNotification"]
_BUCKET += ["GetBucketObjectLockConfiguration", "GetBucketWebsite", "GetIntelligentTieringConfiguration"]
_BUCKET += ["GetInventoryConfiguration", "GetMetricsConfiguration", "GetReplicationConfiguration"]
_OBJECTS = ["AbortMultipartUpload", "DeleteObject", "DeleteObjectVersion", "GetObject", "PutObject"]
_ROLE = ["CreateRole", "DeleteRole", "DeleteRolePolicy", "GetRole", "GetRolePolicy", "ListAttachedRolePolicies"]
_ROLE += [
    "ListRolePolicies",
    "ListRoleTags",
    "PutRolePolicy",
    "TagRole",
    "UntagRole",
    "UpdateAssumeRolePolicy",
    "UpdateRole",
]
_FUNCTION = ["CreateFunction", "DeleteFunction", "DeleteFunctionEventInvokeConfig", "GetFunction"]
_FUNCTION += ["GetFunctionCodeSigningConfig", "GetFunctionConcurrency", "GetFunctionConfiguration"]
_FUNCTION += ["GetFunctionEventInvokeConfig", "GetFunctionRecursionConfig", "GetFunctionScalingConfig"]
_FUNCTION += ["GetRuntimeManagementConfig", "ListTags"]
_FUNCTION += ["PutFunctionEventInvokeConfig", "TagResource", "UntagResource", "UpdateFunctionCode"]
_FUNCTION += ["UpdateFunctionConfiguration", "UpdateFunctionEventInvokeConfig"]
_FRONT = ["AddPermission", "GetPolicy", "RemovePermission"]
_LOGS = ["CreateLogGroup", "DeleteLogGroup", "DeleteRetentionPolicy", "FilterLogEvents", "GetDataProtectionPolicy"]
_LOGS += ["ListTagsForResource", "PutRetentionPolicy", "TagResource", "UntagResource"]


def caller_policy(base: str, region: str, *, account: str = "*", http_api: bool = False) -> dict[str, Any]:
    """The least policy with which `deploy`, `status`, `run`, `doctor` and `destroy` work on a deployment.

    Args:
        base: its name, without a processor's: the commands look at the stacks of both, and AWS denies before it says
            that there is none.
        region: where it is.
        account: its number, as far as it is known.
        http_api: with the front.
    """
    partition = _partition(region)
    here = f"{region}:{account}"
    functions = [f"arn:{partition}:lambda:{here}:function:{base}-*"]
    bucket = f"arn:{partition}:s3:::{base}-*"
    roles = [f"arn:{partition}:iam::{account}:role/{base}-*"]
    stacks = [stack_name(base, "x86_64"), stack_name(base, "arm64")]
    statements = [
        _allow(
            "Stack",
            "cloudformation",
            _STACK,
            [f"arn:{partition}:cloudformation:{here}:stack/{name}/*" for name in stacks],
        ),
        _allow("Bucket", "s3", _BUCKET, [bucket.lower()]),
        _allow("Objects", "s3", _OBJECTS, [f"{bucket.lower()}/*"]),
        _allow("Role", "iam", _ROLE, roles),
        {
            **_allow("GiveTheRole", "iam", ["PassRole"], roles),
            "Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
        },
        _allow("Functions", "lambda", [*_FUNCTION, *(_FRONT if http_api else [])], functions),
        _allow("Run", "lambda", ["InvokeFunction"], functions),
        _allow("Logs", "logs", _LOGS, [f"arn:{partition}:logs:{here}:log-group:{base}-*"]),
    ]
    if http_api:
        apis = [f"arn:{partition}:apigateway:{region}::/{path}" for path in ("apis", "apis/*", "tags/*")]
        verbs = ["DELETE", "GET", "PATCH", "POST", "PUT", "TagResource", "UntagResource"]
        statements.append(_allow("Front", "apigateway", verbs, apis))
        statements.append(_allow("RunByFront", "execute-api", ["Invoke"], [f"arn:{partition}:execute-api:{here}:*"]))
    # These know no resources to be bounded by; they read, and change nothing.
    looks = ["lambda:GetAccountSettings", "logs:DescribeIndexPolicies", "logs:DescribeLogGroups"]
    looks += ["logs:DescribeResourcePolicies", "tag:GetResources"]
    statements.append({"Sid": "Look", "Effect": "Allow", "Action": looks, "Resource": "*"})
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(sid: str, service: str, actions: list[str], resources: list[str]) -> dict[str, Any]:
    named = [f"{service}:{action}" for action in sorted(actions)]
    return {"Sid": sid, "Effect": "Allow", "Action": named, "Resource": resources}


def _partition(region: str) -> str:
    """The partition in an ARN (AWS's separate clouds), by the region's name."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
