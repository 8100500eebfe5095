"""What the template promises, held to what it rests on: settings, metrics, log events, times that belong together."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any, Final

import pytest

from csv_transcode import metrics
from csv_transcode.settings import Settings, variables
from infra.package.building import NAME
from infra.package.target import Target
from tests.infra.template import FARGATE, ROOT, STACK, TEMPLATE, Template, read, walk

NAMES: Final = {"InputBucketName": "landing", "OutputBucketName": "lake"}
PLATFORM: Final = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE"}
TIMEOUTS: Final = read(TEMPLATE)["Parameters"]["TimeoutSeconds"]["AllowedValues"]

# alarm → what it watches, when it is raised, and of how many periods: the list that was asked for
ALARMS: Final[dict[str, tuple[set[str], float, int]]] = {
    "FilesFailedAlarm": ({metrics.FILES_FAILED}, 0, 1),
    "FilesDeferredAlarm": ({metrics.FILES_DEFERRED}, 0, 4),
    "RecordsRejectedAlarm": ({metrics.RECORDS_REJECTED}, 0, 1),
    "ProcessingFailuresAlarm": ({metrics.FILES_FAILED, metrics.FILES_CONVERTED}, 5, 1),
    "ErrorsAlarm": ({"Errors", "Invocations"}, 1, 1),
    "DurationAlarm": ({"Duration"}, 240_000, 1),
    "ThrottlesAlarm": ({"Throttles"}, 0, 1),
    "OldestMessageAlarm": ({"ApproximateAgeOfOldestMessage"}, 3600, 1),
    "DeadLettersAlarm": ({"ApproximateNumberOfMessagesVisible"}, 0, 1),
}


@pytest.fixture(scope="module")
def template() -> Template:
    return Template(**NAMES)


# ------------------------------------------------------------------ settings


def environment(template: Template) -> dict[str, str]:
    found = template.properties("Converter")["Environment"]["Variables"]
    return {name: str(value) for name, value in found.items()}


def test_every_setting_is_a_parameter_and_nothing_else_is_set(template: Template) -> None:
    assert environment(template).keys() == {*variables()} | PLATFORM


def test_what_is_not_chosen_is_the_programs_own_default(template: Template) -> None:
    """But for what the template has to decide: places, and a folder for each format."""
    told = Settings.from_mapping(environment(template))
    assert told == Settings.of("landing", "lake", prefix="in/", key_template="{output_prefix}{format}/{stem}.{format}")


def test_each_parameter_reaches_its_own_setting() -> None:
    """Every text is another one, so that no two can be crossed."""
    texts = {name for name, spec in read(TEMPLATE)["Parameters"].items() if spec.get("Default") == ""}
    plain = {name for name in texts if "AllowedPattern" not in read(TEMPLATE)["Parameters"][name]} - {"AlarmEmail"}
    told = environment(Template(**NAMES, **{name: f"<{name}>" for name in plain}))
    for name in plain:
        variable = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()
        assert told[variable] == f"<{name}>"


OF_THE_COMMAND: Final = {"INPUT_BUCKET", "OUTPUT_BUCKET", "PREFIX", "OUTPUT_PREFIX"}
OF_LAMBDA: Final = {"MEMORY_BUDGET_MB", "DEADLINE_MARGIN_SECONDS", "TRACES"}  # a task has its cgroup, no end, no layer


def of_the_task(**parameters: str) -> dict[str, str]:
    """Return the environment of the task on Fargate."""
    (container,) = Template(FARGATE, **parameters).properties("Task")["ContainerDefinitions"]
    return {one["Name"]: str(one["Value"]) for one in container["Environment"]}


def test_a_task_has_every_setting_of_the_function() -> None:
    """With others that decide bytes, function and task would convert each other's outputs again, and again."""
    assert of_the_task().keys() == {*variables()} - OF_THE_COMMAND - OF_LAMBDA


def test_what_is_given_to_function_and_task_is_the_same_for_both() -> None:
    function, task = read(TEMPLATE)["Parameters"], read(FARGATE)["Parameters"]
    shared = function.keys() & task.keys() - {"Architecture", "Prefix", "OutputPrefix"}
    for name in shared:
        for word in ("Type", "Default", "AllowedPattern", "AllowedValues"):
            assert function[name].get(word) == task[name].get(word), name
    given = {name: f"<{name}>" for name in shared}
    told = environment(Template(**given))
    assert all(told[name] == value for name, value in of_the_task(**given).items())
    assert [one for one in of_the_task(**NAMES).items() if one not in environment(Template(**NAMES)).items()] == []


def test_spans_come_with_the_layer_that_sends_them(template: Template) -> None:
    arn = "arn:aws:lambda:eu-central-1:901920570463:layer:aws-otel-python-arm64-ver-1-25-0:1"
    traced = Template(**NAMES, TracingLayerArn=arn)
    assert traced.properties("Converter")["Layers"] == ["<DependenciesForArm>", arn]
    assert environment(traced)["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/otel-instrument"
    assert Settings.from_mapping(environment(traced)).traces
    assert template.properties("Converter")["Layers"] == ["<DependenciesForArm>"]


def test_column_types_may_be_an_object() -> None:
    told = environment(Template(**NAMES, ColumnTypes="ignored", ColumnTypesObject="types/orders.json"))
    assert told["COLUMN_TYPES"] == "s3://types/orders.json"


def test_the_function_is_as_documented(template: Template) -> None:
    function = template.properties("Converter")
    assert (function["MemorySize"], function["Timeout"]) == (2048, "300")
    assert (function["Runtime"], function["Architectures"]) == ("python3.13", ["arm64"])
    assert function["Handler"] == "lambda_handler.lambda_handler"
    assert function["Tracing"] == "Active"
    assert function["LoggingConfig"]["LogGroup"] == "<ConverterLog>"
    assert template.properties("ConverterLog")["RetentionInDays"] == 30
    assert function["ReservedConcurrentExecutions"] == 50
    assert "ProvisionedConcurrencyConfig" not in function


@pytest.mark.parametrize("architecture", read(TEMPLATE)["Parameters"]["Architecture"]["AllowedValues"])
def test_runtime_and_zips_are_of_the_python_that_the_package_is_built_for(architecture: str) -> None:
    """A zip for another Python has another name, which the template does not know."""
    target = Target(architecture)
    template = Template(**NAMES, Architecture=architecture)
    function = template.properties("Converter")
    (layer,) = template.of_type("AWS::Serverless::LayerVersion").values()
    assert function["CodeUri"] == f"../dist/{NAME}-code{target.python_suffix}.zip"
    assert layer["ContentUri"] == f"../dist/{NAME}-layer-{target.suffix}.zip"
    assert template.written["Parameters"]["Runtime"]["AllowedValues"] == [f"python{target.python}"]
    assert function["Runtime"] == f"python{target.python}"
    assert layer["CompatibleRuntimes"] == [f"python{target.python}"]


# ------------------------------------------------------------------ queue


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_times_follow_from_the_timeout(timeout: str) -> None:
    template = Template(**NAMES, TimeoutSeconds=timeout)
    assert template.properties("Converter")["Timeout"] == timeout
    assert template.properties("SourceQueue")["VisibilityTimeout"] >= 6 * int(timeout)
    assert template.properties("DurationAlarm")["Threshold"] == 0.8 * int(timeout) * 1000


def test_messages_fail_each_alone_and_end_in_the_dead_letter_queue(template: Template) -> None:
    mapping, queue = template.properties("SourceMapping"), template.properties("SourceQueue")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"]["MaximumConcurrency"] <= template.parameters["ReservedConcurrency"]
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": "<DeadLetterQueue.Arn>", "maxReceiveCount": 10}
    assert template.written["Parameters"]["MaxReceiveCount"]["MinValue"] >= 10
    assert template.properties("DeadLetterQueue")["MessageRetentionPeriod"] == 14 * 86400
    failed = template.properties("Converter")["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
    assert failed["Destination"] == "<DeadLetterQueue.Arn>"


def test_the_rule_takes_what_is_created_under_the_prefix(template: Template) -> None:
    rule = template.properties("SourceCreated")
    assert rule["EventPattern"]["detail-type"] == ["Object Created"]
    detail = rule["EventPattern"]["detail"]
    assert detail == {"bucket": {"name": ["landing"]}, "object": {"key": [{"prefix": "in/"}]}}
    assert rule["Targets"][0]["Arn"] == "<SourceQueue.Arn>"


def test_one_trigger_at_a_time() -> None:
    by_queue, by_notification = {"SourceCreated", "SourceQueue", "SourceMapping"}, {"SourceNotificationPermission"}
    for trigger, wanted in {"queue": by_queue, "notification": by_notification, "none": set()}.items():
        template = Template(**NAMES, Trigger=trigger)
        assert template.resources.keys() & (by_queue | by_notification) == wanted
        notified = template.properties("InputBucket")["NotificationConfiguration"].get("LambdaConfigurations", [])
        assert [one["Function"] for one in notified] == ["<Converter.Alias>"] * (trigger == "notification")


def test_backfills_and_queue_fit_into_what_is_reserved(template: Template) -> None:
    defaults = template.parameters
    assert defaults["MaximumConcurrency"] + defaults["BackfillConcurrency"] <= defaults["ReservedConcurrency"]


# ------------------------------------------------------------------ buckets


@pytest.mark.parametrize("name", ["Input", "Output"])
def test_buckets_are_closed_encrypted_and_versioned(name: str, template: Template) -> None:
    bucket = template.properties(f"{name}Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["NotificationConfiguration"]["EventBridgeConfiguration"] == {"EventBridgeEnabled": True}
    assert encryption(template, name) == {"SSEAlgorithm": "AES256"}
    arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
    with_key = encryption(Template(**NAMES, **{f"{name}KmsKeyArn": arn}), name)
    assert with_key == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn}
    (statement,) = template.properties(f"{name}BucketPolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert len(statement["Resource"]) == 2


def encryption(template: Template, name: str) -> dict[str, Any]:
    (rule,) = template.properties(f"{name}Bucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    found: dict[str, Any] = rule["ServerSideEncryptionByDefault"]
    return found


def test_lifecycle(template: Template) -> None:
    for name in ("InputBucket", "OutputBucket"):
        aborted = [rule.get("AbortIncompleteMultipartUpload") for rule in lifecycle(template, name)]
        assert {"DaysAfterInitiation": 1} in aborted
    key_map = Settings.from_mapping(environment(template)).key_map
    expired = [rule for rule in lifecycle(template, "OutputBucket") if "ExpirationInDays" in rule]
    assert [rule["ExpirationInDays"] for rule in expired] == [90]
    assert key_map.map("in/day.csv").rejects.startswith(expired[0]["Prefix"])
    kept = [key for key in key_map.map("in/day.csv") if not key.startswith(expired[0]["Prefix"])]
    assert len(kept) == 4  # both outputs, the manifest, and why it failed


def test_one_bucket_for_both_keeps_outputs_as_long_as_a_bucket_of_their_own() -> None:
    one = Template(InputBucketName="one", OutputBucketName="one", CreateOutputBucket="false", OldVersionsDays="7")
    assert one.of_type("AWS::S3::Bucket").keys() == {"InputBucket"}
    own = lifecycle(Template(**NAMES, OldVersionsDays="7"), "OutputBucket")
    under = [rule if "AbortIncompleteMultipartUpload" in rule else {"Prefix": "processed/"} | rule for rule in own]
    assert lifecycle(one, "InputBucket") == under


def test_nothing_is_deleted_from_sources(template: Template) -> None:
    (rule,) = lifecycle(template, "InputBucket")
    assert rule.keys() == {"Id", "Status", "AbortIncompleteMultipartUpload"}


def lifecycle(template: Template, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = template.properties(name)["LifecycleConfiguration"]["Rules"]
    return found


# ------------------------------------------------------------------ what is watched


@pytest.mark.parametrize("name", ALARMS)
def test_alarm(name: str, template: Template) -> None:
    watched, threshold, periods = ALARMS[name]
    alarm = template.properties(name)
    assert {
        value["MetricName"] for value in walk(alarm) if isinstance(value, dict) and "MetricName" in value
    } == watched
    assert (alarm["Threshold"], alarm["EvaluationPeriods"]) == (threshold, periods)
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert alarm["AlarmActions"] == ["<AlarmTopic>"]
    assert alarm["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_what_is_put_off_again_and_again_is_seen(timeout: str) -> None:
    """A file comes again after the visibility timeout: in shorter periods it would leave gaps and raise nothing."""
    template = Template(**NAMES, TimeoutSeconds=timeout)
    alarm = template.properties("FilesDeferredAlarm")
    assert alarm["Period"] >= template.properties("SourceQueue")["VisibilityTimeout"]
    assert alarm["Period"] % 60 == 0
    assert alarm["DatapointsToAlarm"] == 3 < alarm["EvaluationPeriods"]
    assert alarm["Period"] * alarm["EvaluationPeriods"] <= 86400  # CloudWatch's own limit


def test_there_are_no_other_alarms(template: Template) -> None:
    assert template.of_type("AWS::CloudWatch::Alarm").keys() == ALARMS.keys()
    assert not Template(**NAMES, CreateAlarms="false").of_type("AWS::CloudWatch::Alarm")


def named_metrics(template: Template) -> list[tuple[str, str, dict[str, str]]]:
    """Return namespace, name and dimensions of every metric that alarms, dashboard and scaling name."""
    found = []
    for value in walk(list(template.resources.values())):
        if isinstance(value, dict) and {"Namespace", "MetricName"} <= value.keys():
            dimensions = {one["Name"]: one["Value"] for one in value.get("Dimensions", ())}
            found.append((value["Namespace"], value["MetricName"], dimensions))
    return found + [
        (row[0], row[1], dict(zip(row[2:4:2], row[3:4:2], strict=True)))
        for row in walk(json.loads(template.properties("Dashboard")["DashboardBody"]))
        if isinstance(row, list) and row and isinstance(row[0], str)
    ]


def test_our_metrics_are_named_as_the_function_emits_them(template: Template) -> None:
    told = environment(template)
    ours = [(name, where) for namespace, name, where in named_metrics(template) if namespace == metrics.NAMESPACE]
    assert told["POWERTOOLS_METRICS_NAMESPACE"] == metrics.NAMESPACE
    assert {name for name, _ in ours} == metrics.UNITS.keys()
    dimensions = {metrics.DIMENSION: told["POWERTOOLS_SERVICE_NAME"]}
    assert all(where == dimensions for _, where in ours)


def test_what_is_not_ours_is_awss(template: Template) -> None:
    namespaces = {namespace for namespace, _, _ in named_metrics(template)}
    assert namespaces == {metrics.NAMESPACE, "AWS/Lambda", "AWS/SQS", "AWS/States"}


def test_queries_ask_for_events_that_are_logged(template: Template) -> None:
    sources = [*ROOT.glob("csv_transcode/**/*.py"), ROOT / "lambda_handler.py", ROOT / "s3_data_processor.py"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    events = set(re.findall(r'"([a-z_]+\.[a-z_]+)"', code)) | {f"object.{one}" for one in outcomes()}
    queries = template.of_type("AWS::Logs::QueryDefinition")
    texts = [query["QueryString"] for query in queries.values()]
    board = json.loads(template.properties("Dashboard")["DashboardBody"])
    texts += [one["query"] for one in walk(board) if isinstance(one, dict) and "query" in one]
    assert len(texts) == 9
    asked = {event for text in texts for event in re.findall(r"event = '([^']+)'", text)}
    assert asked
    assert asked <= events
    assert all(query["LogGroupNames"] == ["<ConverterLog>"] for query in queries.values())


def outcomes() -> set[str]:
    from csv_transcode.report import Outcome  # noqa: PLC0415 -- for its names alone

    return {outcome.value for outcome in Outcome}


def test_throttles_make_warm_environments_grow() -> None:
    template = Template(**NAMES, UseProvisionedConcurrency="true")
    warm = template.properties("Converter")["ProvisionedConcurrencyConfig"]
    assert warm == {"ProvisionedConcurrentExecutions": 10}
    target = template.properties("WarmEnvironments")
    assert (target["MinCapacity"], target["ScalableDimension"]) == (10, "lambda:function:ProvisionedConcurrency")
    assert target["ResourceId"] == "function:<Converter>:live"
    policy = template.properties("WarmEnvironmentsPolicy")["TargetTrackingScalingPolicyConfiguration"]
    queries = {one["Id"]: one for one in policy["CustomizedMetricSpecification"]["Metrics"]}
    assert queries["throttles"]["MetricStat"]["Metric"]["MetricName"] == "Throttles"
    assert [one["Id"] for one in queries.values() if one["ReturnData"]] == ["pressure"]
    assert "throttles" in queries["pressure"]["Expression"]


def test_a_schedule_only_where_one_is_given() -> None:
    assert "Sweep" not in Template(**NAMES).resources
    sweep = Template(**NAMES, SweepSchedule="rate(1 day)").properties("Sweep")
    assert sweep["ScheduleExpression"] == "rate(1 day)"
    assert [target["Arn"] for target in sweep["Targets"]] == ["<Converter.Alias>"]
    assert "Input" not in sweep["Targets"][0]  # the event as EventBridge makes it, which the function knows


# ------------------------------------------------------------------ the rest


# What CloudFormation's schemas have no tags for.
WITHOUT_TAGS: Final = {
    *("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::SNS::Subscription"),
    *("AWS::IAM::ManagedPolicy", "AWS::Lambda::Permission", "AWS::Serverless::LayerVersion"),
    *("AWS::ApplicationAutoScaling::ScalingPolicy", "AWS::Logs::QueryDefinition", "AWS::Scheduler::Schedule"),
}


def test_what_can_be_tagged_is() -> None:
    chosen = {"SweepSchedule": "rate(1 day)", "Project": "p", "CostCenter": "c"}
    everything = {"UseProvisionedConcurrency": "true", "AlarmEmail": "a@example.com"}
    here = [Template(**NAMES, **everything, Trigger=trigger, **chosen) for trigger in ("queue", "notification")]
    untagged = set()
    for template in (*here, Template(FARGATE, **chosen)):
        for name, spec in template.resources.items():
            tags = spec["Properties"].get("Tags")
            pairs = tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags or ()}
            assert pairs in ({}, {"project": "p", "cost-center": "c"}), name
            untagged |= set() if pairs else {spec["Type"]}
    assert untagged == WITHOUT_TAGS


@pytest.mark.parametrize("path", [TEMPLATE, FARGATE], ids=lambda path: path.stem)
def test_parameters_are_described_and_grouped(path: Any) -> None:
    written = read(path)
    obvious = {"CreateAlarms", "CreateDashboard", "LogRetentionDays", "LogLevel", "Project", "CostCenter"}
    obvious |= {"InputBucketName", "OutputBucketName"} if path == FARGATE else set()
    undescribed = {name for name, spec in written["Parameters"].items() if "Description" not in spec}
    assert undescribed <= obvious
    if groups := written.get("Metadata", {}).get("AWS::CloudFormation::Interface", {}).get("ParameterGroups"):
        grouped = [name for group in groups for name in group["Parameters"]]
        assert sorted(grouped) == sorted(written["Parameters"])


def test_the_example_configuration_names_parameters_that_there_are() -> None:
    environments = tomllib.loads((ROOT / "infra" / "samconfig.example.toml").read_text(encoding="utf-8"))
    for told in (environments[name] for name in ("default", "production")):
        pairs = [text.split("=", 1) for text in told["deploy"]["parameters"]["parameter_overrides"]]
        chosen = Template(**{name: value.strip('"') for name, value in pairs})
        Settings.from_mapping(environment(chosen))
        declared = chosen.written["Parameters"]
        for name, value in chosen.parameters.items() - {("Deployment", "by-make-deploy")}:  # which no stack may have
            assert allowed(declared[name], str(value)), name


def allowed(spec: dict[str, Any], value: str) -> bool:
    """Return whether CloudFormation takes the value for a parameter."""
    if "AllowedValues" in spec and value not in map(str, spec["AllowedValues"]):
        return False
    bounds = spec.get("MinValue", float("-inf")), spec.get("MaxValue", float("inf"))
    if spec["Type"] == "Number" and not bounds[0] <= float(value) <= bounds[1]:
        return False
    return re.fullmatch(spec.get("AllowedPattern", ".*"), value, re.DOTALL) is not None


def test_the_state_machine_gets_every_name_that_its_definition_has(template: Template) -> None:
    definition = (TEMPLATE.parent / "statemachine.asl.json").read_text(encoding="utf-8")
    assert (
        set(re.findall(r"\$\{(\w+)\}", definition)) == template.properties("Backfill")["DefinitionSubstitutions"].keys()
    )


@pytest.mark.parametrize("name", ["Prefix", "OutputPrefix"])
def test_prefixes_leave_policies_and_the_state_machines_json_whole(name: str, template: Template) -> None:
    spec = template.written["Parameters"][name]
    assert [one for one in map(chr, range(128)) if not allowed(spec, f"in{one}x/")] == [*map(chr, range(32)), *'"$*?\\']
    assert allowed(spec, "Größe 100%+{a}'s/東京/")


def test_outputs_lie_where_permissions_are(template: Template) -> None:
    """Whatever KeyTemplate and OutputPrefix the parameters allow."""
    spec = template.written["Parameters"]["KeyTemplate"]
    assert allowed(spec, spec["Default"])
    assert not allowed(spec, "{format}/{stem}.{format}")
    assert not allowed(template.written["Parameters"]["InputBucketName"], "any*")
    assert not allowed(template.written["Parameters"]["OutputPrefix"], "*")


def test_the_dashboard_is_the_stacks_own(template: Template) -> None:
    assert template.properties("Dashboard")["DashboardName"] == STACK
