"""The gateway keeps to what `/openapi.json` says of it: generated requests, good and bad ones, to each operation
of a real cluster. Statuses, types, headers and shapes of the answers are those that are described, and none
is a server error."""

import random
import uuid

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks as openapi
from tally_cluster import PATIENCE, Cluster

SEED = b"Song,Date,Number of Plays\nA,2020-02-01,2\nB,2020-02-01,3\n"
BAD = b"Song,Date,Number of Plays\nA,2020-02-01,many\nB,2020-02-01,3\n"

#: Requests of each sort to each operation; as many as take the whole about a minute.
EXAMPLES = 25

#: What pieces of an upload are.
TUS = "application/offset+octet-stream"

#: The stream that never ends: test_sse.py has it.
ENDLESS = "/api/v1/events"

#: Operations that do away with what they are for: each request gets a job of its own.
DESTRUCTIVE = {("DELETE", "/api/v1/jobs/{id}"), ("POST", "/api/v1/jobs/{id}/cancel")}

CHECKS = [
    schemathesis.checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
    openapi.missing_required_header,
    openapi.negative_data_rejection,
]


@schemathesis.serializer(TUS)
def bytes_as_they_are(_, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


class Jobs:
    """Jobs of each sort, for requests to be about."""

    def __init__(self, cluster: Cluster):
        self.cluster = cluster
        good = cluster.submit(SEED, "keep_input=true")["id"]
        bad, rejects = cluster.submit(BAD)["id"], cluster.submit(BAD, "max_rejects=1")["id"]
        gone = cluster.submit(SEED)["id"]
        for job in (good, bad, rejects, gone):
            cluster.ended(job)
        requests.delete(f"{cluster.http}/api/v1/jobs/{gone}", timeout=PATIENCE)
        #: Ended ones, one that is gone, and one that never was.
        self.lasting = [good, good, bad, rejects, gone, "0190d3a0-0000-7000-8000-000000000000"]

    def fresh(self) -> str:
        """A job that nobody will miss."""
        return self.cluster.submit(SEED)["id"]

    def upload(self) -> str:
        """An upload that has begun."""
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(SEED))}
        answer = requests.post(f"{self.cluster.http}/api/v1/uploads", headers=headers, timeout=PATIENCE)
        assert answer.status_code == 201, answer.text
        return answer.headers["location"].rpartition("/")[2]


def about_a_table(cluster, operation, case, chance):
    """Mostly about a table that is there, and a row that it has."""
    # A page: the stream has no end, and test_sse.py has such.
    if operation.path.endswith("/changes"):
        case.query = {**(case.query or {}), "limit": "5"}
    if operation.path.startswith("/api/v1/slaves/"):
        case.path_parameters["name"] = "liar"
    if operation.path.startswith("/api/v1/sources/") and chance.random() < 0.9:
        case.path_parameters["name"] = "watched"
    if "table" not in (case.path_parameters or {}) or chance.random() < 0.1:
        return
    if operation.method.upper() == "DELETE":
        case.path_parameters["table"] = declare(cluster, f"t{chance.getrandbits(60)}")
    else:
        case.path_parameters["table"] = declare(cluster, "products")
    if "key" in case.path_parameters:
        case.path_parameters["key"] = "a"
    if "aggregate" in case.path_parameters:
        case.path_parameters["aggregate"] = "products_by_name"


def declare(cluster, name):
    """Declares a table as `products` is, with a row, and gives its name."""
    names = [{"name": column, "kind": "text"} for column in ("name", "sku", "description")]
    totals = [{"name": f"{name}_by_name", "group_by": "name", "values": [{"op": "count", "column": None, "name": "n"}]}]
    body = {"name": name, "key": ["sku"], "columns": names, "aggregates": totals}
    if name == "products":
        body = {"preset": name}
    url = f"{cluster.http}/api/v1/tables"
    assert requests.post(url, json=body, timeout=PATIENCE).status_code in (200, 201)
    row = {"sku": "a", "name": "b", "description": "c"}
    # The row may have been deleted since.
    add = {"message_id": str(uuid.uuid4()), "op": "add", "row": row}
    assert requests.post(f"{url}/{name}/operations", json=add, timeout=PATIENCE).status_code == 200
    return name


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One that watches a folder, in which nothing ever is, and keeps out a slave that has lied."""
    watched = f"name=watched,path={tmp_path_factory.mktemp('watched')},preset=plays,interval=1h"
    started = Cluster(flags=("--source", watched))
    started.leave_liar("liar", "it has lied")
    started.wait_for_slaves(2)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def jobs(cluster):
    return Jobs(cluster)


@pytest.fixture(scope="module")
def api(cluster):
    # Whatever is wrong with a request, that its job is gone or that it is of no known protocol is said first.
    refusals = [400, 404, 405, 406, 409, 410, 411, 412, 413, 415, 416, 422, 423, 429, 460, 507]
    config = {"checks": {"negative_data_rejection": {"expected-statuses": refusals}}}
    config = SchemathesisConfig.from_dict(config)
    return schemathesis.openapi.from_url(f"{cluster.http}/openapi.json", config=config)


# Whatever comes is looked at, and the answer says what is wrong with it: of each operation, or of the file.
ANSWERS_WITH_WHAT_IS_WRONG = ("POST /api/v1/preflight", "POST /api/v1/tables/{table}/operations")


def operations(api):
    found = [result.ok() for result in api.get_all_operations()]
    assert len(found) > 20
    return [operation for operation in found if operation.path != ENDLESS]


def about_a_job(jobs, operation, case, chance):
    """Mostly about a job that is there: of ids that are made up nothing is to be learned."""
    if "id" not in (case.path_parameters or {}) or chance.random() < 0.1:
        return
    if (operation.method.upper(), operation.path) in DESTRUCTIVE:
        case.path_parameters["id"] = jobs.fresh()
    elif operation.path.startswith("/api/v1/uploads/") and chance.random() < 0.6:
        case.path_parameters["id"] = jobs.upload()
    else:
        case.path_parameters["id"] = chance.choice(jobs.lasting)


def made_sense_of(operation, case, chance):
    """Now and then a request that can be granted: no generator hits on a CSV with the right columns."""
    label = f"{operation.method.upper()} {operation.path}"
    if chance.random() < 0.4:
        return
    if operation.path.startswith("/api/v1/tables") or operation.path == "/data":
        harmless = {"order": "desc", "limit": "5"}
        case.query = {name: value for name, value in harmless.items() if name in (case.query or {})}
        case.headers.pop("Last-Event-ID", None)
    if label == "POST /api/v1/tables":
        case.body = {"preset": "plays"}
    elif label == "POST /api/v1/tables/{table}/operations" and case.media_type == "application/json":
        case.body = {"message_id": str(chance.random()), "op": "delete", "key": "none"}
    if operation.path.startswith("/api/v1/uploads"):
        case.headers["Tus-Resumable"] = "1.0.0"
    if label in ("POST /api/v1/jobs", "POST /jobs/count/", "POST /api/v1/uploads"):
        harmless = {"name": "a", "priority": "high", "order": "sorted", "keep_input": "true", "max_rejects": "1%"}
        case.query = {name: value for name, value in harmless.items() if name in case.query}
        case.headers.pop("Idempotency-Key", None)
    if label == "POST /api/v1/uploads":
        case.body, case.headers["Upload-Length"] = SEED, str(len(SEED) + chance.choice([0, 9]))
    elif label == "PATCH /api/v1/uploads/{id}":
        case.body, case.headers["Upload-Offset"] = SEED, "0"
    elif label.startswith("POST /api/v1/jobs") and case.media_type in ("text/csv", "application/octet-stream"):
        case.body = SEED
    elif case.media_type == "multipart/form-data":
        case.body = {"file": SEED.decode()}


def test_each_operation_keeps_to_its_description(api, jobs):
    failures, seen = [], {}
    for operation in operations(api):
        label = f"{operation.method.upper()} {operation.path}"
        seen[label] = set()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            chance = random.Random(label)

            @hypothesis.settings(
                max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
                suppress_health_check=list(hypothesis.HealthCheck), phases=[hypothesis.Phase.generate],
            )
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def ask(case):
                about_a_job(jobs, operation, case, chance)
                about_a_table(jobs.cluster, operation, case, chance)
                if mode is schemathesis.GenerationMode.POSITIVE:
                    made_sense_of(operation, case, chance)
                    # Once more, where the parameters have been taken away.
                    if operation.path.endswith("/changes"):
                        case.query = {**(case.query or {}), "limit": "5"}
                answer = case.call(timeout=PATIENCE)
                seen[label].add(answer.status_code)
                # Of a stream of events, 3.1 can say no more than that it is text; test_sse.py says what.
                stream = answer.headers.get("content-type") == ["text/event-stream"]
                unfit = [openapi.response_schema_conformance] if stream else []
                if mode is schemathesis.GenerationMode.POSITIVE or label in ANSWERS_WITH_WHAT_IS_WRONG:
                    unfit.append(openapi.negative_data_rejection)
                case.validate_response(answer, checks=CHECKS, excluded_checks=unfit)

            try:
                ask()
            except hypothesis.errors.Unsatisfiable:
                # An operation of which nothing can be wrong.
                assert mode is schemathesis.GenerationMode.NEGATIVE, label
            except (FailureGroup, Exception) as error:
                failures.append(f"{label} ({mode.value}): {type(error).__name__}: {error}")
    print("\n".join(f"{label}: {sorted(statuses)}" for label, statuses in seen.items()))
    assert not failures, "\n\n".join(failures)
    # Requests that are all refused would show nothing.
    silent = [label for label, statuses in seen.items() if not any(200 <= status < 300 for status in statuses)]
    assert silent == [], f"nothing of {silent} was ever accepted"


def test_requests_to_methods_that_are_not_there(api, cluster):
    for path in {operation.path for operation in operations(api)}:
        url = cluster.http + path.replace("{id}", "0190d3a0-0000-7000-8000-000000000000")
        for name in ("table", "key", "aggregate"):
            url = url.replace(f"{{{name}}}", "x")
        answer = requests.request("PUT", url, timeout=PATIENCE)
        assert answer.status_code == 405, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["allow"]
