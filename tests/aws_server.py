"""AWS's control plane on 127.0.0.1: moto's server, what it lacks, and a place to make things go wrong.

Tests get it by the fixtures `aws` and `aws_server` (tests/conftest.py). What moto's CloudFormation does not know is made by
moto's own services where there are any, else answered by small recorded answers, which botocore's models check:

- AWS::Lambda::EventInvokeConfig and AWS::ApiGatewayV2::Api: moto's services are called. AWS::S3::BucketPolicy and the API's
  stage, routes and integrations are remembered only.
- Resources that come and go with a condition when a stack is updated.
- Tags, architecture and log group of AWS::Lambda::Function, which moto's CloudFormation leaves out.
- States that pass (`*_IN_PROGRESS`), roll-backs, a bucket that is not empty: moto does everything at once or not at all.
"""

from __future__ import annotations

import io
import json
import re
import threading
import urllib.parse
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import botocore.session
from botocore.parsers import create_parser
from botocore.validate import validate_parameters
from moto.apigatewayv2.models import apigatewayv2_backends
from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.cloudformation import parsing
from moto.cloudformation.models import Event, Stack, cloudformation_backends
from moto.core.common_models import CloudFormationModel
from moto.core.exceptions import ServiceException
from moto.iam.models import iam_backends
from moto.logs.models import logs_backends
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server

ACCOUNT = "123456789012"
REGION = "us-east-1"
_XMLNS = "http://cloudformation.amazonaws.com/doc/2010-05-15/"


class Request:
    """A request as a rule sees it."""

    def __init__(self, service: str, operation: str, params: dict[str, str], headers: dict[str, str]) -> None:
        self.service = service
        self.operation = operation  # a REST service's is "METHOD /path"
        self.params = params  # of a query service
        self.headers = headers  # by their names as in "X-Amz-Date"

    def __repr__(self) -> str:
        return f"{self.service} {self.operation}"


class Answer:
    """What a rule answers instead of moto."""

    def __init__(self, status: int, body: bytes, content_type: str = "text/xml") -> None:
        self.status = status
        self.body = body
        self.content_type = content_type


Rule = Callable[[Request], "Answer | None"]


def refusal(code: str, message: str, status: int = 400) -> Answer:
    """An error of a query service (CloudFormation, STS, IAM)."""
    text = message.replace("&", "&amp;").replace("<", "&lt;")
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"
    )
    return Answer(status, body.encode())


def s3_refusal(code: str, message: str, status: int = 403) -> Answer:
    """An error of S3."""
    return Answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())


def json_refusal(code: str, message: str, status: int = 400) -> Answer:
    """An error of a JSON service (logs, tagging)."""
    return Answer(status, json.dumps({"__type": code, "message": message}).encode(), "application/x-amz-json-1.1")


class AwsServer:
    """The server. Its state is emptied between tests by `reset`."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.calls: list[Request] = []
        self.looks = 0  # how many looks a stack's change takes to be over
        self._rules: list[Rule] = []
        self._passing: dict[str, list[Any]] = {}
        self.first: Callable[[dict[str, Any], Any], Iterable[bytes] | None] | None = None  # asked before all, at once
        parsing.get_model_list.cache_clear()
        parsing.get_model_map.cache_clear()
        parsing.get_name_type_map.cache_clear()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reset(self) -> None:
        """An empty account, and no rules."""
        moto_api_backend.reset()
        self.calls, self._rules, self._passing, self.looks = [], [], {}, 0
        self.first = None

    def forget_rules(self) -> None:
        """From now on nothing goes wrong."""
        self._rules = []

    def rule(self, rule: Rule) -> None:
        """Ask this first, at each request; what answers None lets it pass."""
        self._rules.append(rule)

    def fail(self, service: str, operation: str, answer: Answer, times: int = 1_000_000) -> None:
        """Answer an operation (a REST service's: a regular expression for "METHOD /path") so, that many times."""
        left = [times]

        def rule(request: Request) -> Answer | None:
            if request.service == service and re.fullmatch(operation, request.operation) and left[0]:
                left[0] -= 1
                return answer
            return None

        self._rules.append(rule)

    def finish(self) -> None:
        """What is being done to any stack is over at the next look."""
        self.looks = 0
        for passing in self._passing.values():
            passing[0] = 0

    def stack(self, name: str, region: str = REGION) -> Stack | None:
        """Moto's own stack, whose state a test may change; None: there is none."""
        stacks = cloudformation_backends[ACCOUNT][region].stacks.values()
        return next((stack for stack in stacks if stack.name == name), None)

    def contents(self, region: str = REGION) -> dict[str, list[str]]:
        """Everything in the account that a deployment may leave."""
        lambdas = lambda_backends[ACCOUNT][region]
        return {
            "stacks": [one.name for one in cloudformation_backends[ACCOUNT][region].stacks.values()],
            "buckets": list(s3_backends[ACCOUNT]["aws"].buckets),
            "functions": sorted(str(one.function_name) for one in lambdas.list_functions()),
            "roles": [one.name for one in iam_backends[ACCOUNT]["aws"].roles.values()],
            "logs": list(logs_backends[ACCOUNT][region].groups),
            "apis": [one.name for one in apigatewayv2_backends[ACCOUNT][region].apis.values()],
        }

    def roll_back_updates(
        self, resource: str, kind: str, reason: str, status: str = "UPDATE_ROLLBACK_COMPLETE"
    ) -> None:
        """Every update fails at this resource, and the stack is as before (moto rolls nothing back)."""

        def rule(request: Request) -> Answer | None:
            if request.operation != "UpdateStack":
                return None
            stack = cloudformation_backends[ACCOUNT][REGION].get_stack(request.params["StackName"])
            if stack.status.endswith("_IN_PROGRESS"):
                return None  # it is refused below
            stack._add_stack_event("UPDATE_IN_PROGRESS", resource_status_reason="User Initiated")
            for name, why in ((resource, reason), ("Other", "Resource creation cancelled")):
                stack.events.append(event(stack, name, kind, "CREATE_FAILED", why))
            stack.status = status
            stack._add_stack_event(status)
            result = f"<UpdateStackResult><StackId>{stack.stack_id}</StackId></UpdateStackResult>"
            return _recorded("UpdateStack", f'<UpdateStackResponse xmlns="{_XMLNS}">{result}</UpdateStackResponse>')

        self._rules.append(rule)

    def roll_back_creation(self, resource: str, kind: str, reason: str) -> None:
        """Every stack that is created fails at this resource and is deleted (OnFailure=DELETE)."""

        def rule(request: Request) -> Answer | None:
            if request.operation != "CreateStack":
                return None
            assert request.params["OnFailure"] == "DELETE"
            backend = cloudformation_backends[ACCOUNT][REGION]
            name = request.params["StackName"]
            stack = backend.create_stack(name, '{"Resources": {}}', {}, tags={})
            stack.events.append(event(stack, resource, kind, "CREATE_FAILED", reason))
            backend.delete_stack(name)
            result = f"<CreateStackResult><StackId>{stack.stack_id}</StackId></CreateStackResult>"
            return _recorded("CreateStack", f'<CreateStackResponse xmlns="{_XMLNS}">{result}</CreateStackResponse>')

        self._rules.append(rule)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if self.first is not None and (passed := self.first(environ, start_response)) is not None:
            return passed
        request = _request(environ)
        with self._lock:  # moto's models are not made for several requests at once
            self.calls.append(request)
            for rule in self._rules:
                answer = rule(request)
                if answer is not None:
                    break
            else:
                answer = self._state(request)
            if answer is None:
                body = self._forward(request, environ, start_response)
                _sign_events(request)
                return body
            _sign_events(request)
        start_response(
            f"{answer.status} -", [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
        )
        return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _state(self, request: Request) -> Answer | None:
        """CloudFormation's refusals while something is being done to a stack, which moto does not know."""
        if request.service != "cloudformation" or request.operation not in (
            "UpdateStack",
            "DeleteStack",
            "DescribeStacks",
        ):
            return None
        name = request.params.get("StackName", "")
        backend = cloudformation_backends[ACCOUNT][REGION]
        found = [one for one in backend.stacks.values() if name in (one.name, one.stack_id)]
        found += [one for one in backend.deleted_stacks.values() if name == one.stack_id]
        if not found:
            return None
        stack = found[0]
        if request.operation == "DescribeStacks":
            passing = self._passing.get(stack.stack_id)
            if passing is not None:
                passing[0] -= 1
                if passing[0] < 0:
                    stack.status = passing[1]
                    del self._passing[stack.stack_id]
            return None
        if stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS":
            if request.operation == "UpdateStack":
                return refusal(
                    "ValidationError", f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated."
                )
            return refusal(
                "ValidationError", f"Stack [{stack.stack_id}] cannot be deleted while in status {stack.status}"
            )
        if request.operation == "UpdateStack" and stack.status == "DELETE_COMPLETE":
            return refusal("ValidationError", f"Stack [{stack.stack_id}] does not exist")
        if request.operation == "UpdateStack" and stack.template == request.params["TemplateBody"]:
            have = {
                name: str(value) for name, value in stack.stack_parameters.items()
            }  # numbers, where the text was one
            if have == _parameters(request.params):
                return refusal("ValidationError", "No updates are to be performed.")
        return None

    def _forward(self, request: Request, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        started: list[Any] = []
        if request.operation == "DeleteStack":
            for one in cloudformation_backends[ACCOUNT][REGION].stacks.values():
                _ = one.outputs  # moto keeps them; read later, it would make the resources again
        app = self._app.get_application(environ)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Unable to delete .*, as it was never created")  # by its condition
            body = b"".join(app(environ, lambda *args: started.append(args)))
        status = int(started[0][0].split()[0])
        changes = {
            "CreateStack": "CREATE_IN_PROGRESS",
            "UpdateStack": "UPDATE_IN_PROGRESS",
            "DeleteStack": "DELETE_IN_PROGRESS",
        }
        if request.service == "cloudformation" and request.operation in changes:
            name = request.params["StackName"]
            backend = cloudformation_backends[ACCOUNT][REGION]
            every = [*backend.stacks.values(), *backend.deleted_stacks.values()]
            stack = next((one for one in every if name in (one.name, one.stack_id)), None)
            if request.operation == "DeleteStack" and status >= 400 and stack is not None:
                stack.status = "DELETE_FAILED"
                why = "The bucket you tried to delete is not empty (Service: S3, Status Code: 409)"
                stack.events.append(event(stack, "Bucket", "AWS::S3::Bucket", "DELETE_FAILED", why))
                start_response("200 OK", [("Content-Type", "text/xml")])
                return [f'<DeleteStackResponse xmlns="{_XMLNS}"></DeleteStackResponse>'.encode()]
            assert status < 400 or request.operation != "DeleteStack", (request.params, body)
            if status < 400 and stack is not None and self.looks:
                self._passing[stack.stack_id] = [self.looks, stack.status]
                stack.status = changes[request.operation]
        start_response(*started[0])
        return [body]


def _sign_events(request: Request) -> None:
    """An operation's events carry the token that its request has; moto's carry none."""
    token = request.params.get("ClientRequestToken")
    if token is not None:
        backend = cloudformation_backends[ACCOUNT][REGION]
        for stack in (*backend.stacks.values(), *backend.deleted_stacks.values()):
            for one in stack.events:
                one.client_request_token = one.client_request_token or token


def _request(environ: dict[str, Any]) -> Request:
    """Which service and operation; the body is read, and put back."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    service = scope[1] if scope else ""
    path = environ.get("PATH_INFO", "")
    given = {
        name[5:].replace("_", "-").title(): str(value) for name, value in environ.items() if name.startswith("HTTP_")
    }
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return Request(service, target.rpartition(".")[2], {}, given)
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        params = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        return Request(service, params.get("Action", ""), params, given)
    return Request(service, f"{environ['REQUEST_METHOD']} {path}", {}, given)


def recorded(service: str, operation: str, answer: dict[str, Any]) -> Answer:
    """An answer of a JSON service that botocore's model finds right."""
    model = botocore.session.get_session().get_service_model(service).operation_model(operation)
    validate_parameters(answer, model.output_shape)
    return Answer(200, json.dumps(answer).encode(), "application/x-amz-json-1.1")


def _parameters(params: dict[str, str]) -> dict[str, str]:
    names = {key: value for key, value in params.items() if key.endswith(".ParameterKey")}
    return {name: params.get(key.replace("ParameterKey", "ParameterValue"), "") for key, name in names.items()}


def _recorded(operation: str, body: str) -> Answer:
    """An answer of CloudFormation's that botocore's model reads and finds right."""
    model = botocore.session.get_session().get_service_model("cloudformation").operation_model(operation)
    raw = {"headers": {}, "status_code": 200, "body": body.encode()}
    parsed = create_parser("query").parse(raw, model.output_shape)
    del parsed["ResponseMetadata"]
    assert parsed
    validate_parameters(parsed, model.output_shape)
    return Answer(200, body.encode())


def event(stack: Stack, name: str, kind: str, status: str, reason: str) -> Event:
    return Event(
        stack_id=stack.stack_id,
        stack_name=stack.name,
        logical_resource_id=name,
        physical_resource_id=f"{stack.name}-{name}",
        resource_type=kind,
        resource_status=status,
        resource_status_reason=reason,
        resource_properties=None,
    )


class _Made:
    """What moto's CloudFormation lacks (it looks for direct heirs of its model): `make` on creation, `unmake` on removal."""

    kind = ""

    def __init__(self, physical: str, properties: dict[str, Any]) -> None:
        self.physical_resource_id = physical
        self.properties = properties

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.kind

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return False

    def is_created(self) -> bool:
        return True

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
    ) -> Any:
        properties = cloudformation_json["Properties"]
        return cls(cls.make(resource_name, properties, region_name), properties)

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: Any, new_resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> Any:
        return original_resource

    def delete(self, account_id: str, region: str) -> None:
        self.unmake(region)

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], region: str) -> str:
        return name

    def unmake(self, region: str) -> None:
        """Nothing was made."""


class BucketPolicy(_Made, CloudFormationModel):
    kind = "AWS::S3::BucketPolicy"  # remembered only: moto's S3 would refuse everything, for it knows no conditions


class AsyncSettings(_Made, CloudFormationModel):
    kind = "AWS::Lambda::EventInvokeConfig"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], region: str) -> str:
        backend = lambda_backends[ACCOUNT][region]
        settings = {key: value for key, value in properties.items() if key.startswith("Maximum")}
        backend.put_function_event_invoke_config(properties["FunctionName"], settings)
        return name


class HttpApi(_Made, CloudFormationModel):
    kind = "AWS::ApiGatewayV2::Api"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], region: str) -> str:
        api = apigatewayv2_backends[ACCOUNT][region].create_api(
            api_key_selection_expression="",
            cors_configuration=None,
            description="",
            disable_schema_validation="",
            disable_execute_api_endpoint="",
            name=properties["Name"],
            protocol_type=properties["ProtocolType"],
            route_selection_expression="",
            tags=properties["Tags"],
            version="",
        )
        return str(api.api_id)

    def unmake(self, region: str) -> None:
        apigatewayv2_backends[ACCOUNT][region].delete_api(self.physical_resource_id)


class HttpStage(_Made, CloudFormationModel):
    kind = "AWS::ApiGatewayV2::Stage"


class HttpIntegration(_Made, CloudFormationModel):
    kind = "AWS::ApiGatewayV2::Integration"


class HttpRoute(_Made, CloudFormationModel):
    kind = "AWS::ApiGatewayV2::Route"


_create_function = LambdaFunction.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]


def _with_the_rest(cls: Any, name: str, made: Any, account_id: str, region_name: str, **kwargs: Any) -> Any:
    function = _create_function(cls, name, made, account_id, region_name, **kwargs)
    properties = made["Properties"]
    function.architectures = properties["Architectures"]
    function.logging_config = properties["LoggingConfig"]
    tags = {tag["Key"]: tag["Value"] for tag in properties["Tags"]}
    lambda_backends[account_id][region_name].tag_resource(function.function_arn, tags)
    return function


LambdaFunction.create_from_cloudformation_json = classmethod(_with_the_rest)  # type: ignore[method-assign,assignment]


_update_resources = parsing.ResourceMap.update


def _update_by_conditions(self: Any, template: dict[str, Any], parameters: dict[str, Any] | None = None) -> None:
    """What a condition has come to let in, or to keep out; moto looks at a resource's own text only."""
    _update_resources(self, template, parameters)
    for name, resource in self._resource_json_map.items():
        if "Condition" in resource and not self.lazy_condition_map[resource["Condition"]]:
            if (gone := self._parsed_resources.pop(name, None)) is not None:
                self._delete_resource(gone, resource)
        else:
            _ = self[name]


_delete_one = parsing.ResourceMap._delete_resource


def _delete_if_there(self: Any, resource: Any, text: Any) -> None:
    """CloudFormation does not mind if what it deletes has gone already."""
    try:
        _delete_one(self, resource, text)
    except (HTTPException, ServiceException) as error:
        if not re.search(r"not exist|not found|NoSuch", f"{type(error).__name__} {error}", re.I):
            raise


Stack.parse_template = staticmethod(json.loads)  # type: ignore[method-assign,assignment]  # ours are JSON; YAML is slow
parsing.ResourceMap._delete_resource = _delete_if_there  # type: ignore[method-assign]
parsing.ResourceMap.update = _update_by_conditions  # type: ignore[method-assign]
