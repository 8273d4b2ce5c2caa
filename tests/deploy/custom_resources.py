"""Validates what does not come with Kubernetes: python3 custom_resources.py GATEWAY-API FILE…

KEDA and the Prometheus operator by their models, the Gateway API by the schemas in GATEWAY-API, an unpacked npm
package. A field that nobody knows is a mistake, as with kubernetes-validate --strict.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as monitoring

MODELS = {
    "ScaledObject": keda.ScaledObject,
    "ServiceMonitor": monitoring.ServiceMonitor,
    "PrometheusRule": monitoring.PrometheusRule,
}
# What kubernetes-validate looks at.
BUILT_IN = re.compile(r"v1|(apps|autoscaling|policy|networking\.k8s\.io)/v\d")


def unknown(given: object, known: object, path: str = "") -> Iterator[str]:
    """What is given and did not make it into the model."""
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            if key not in known:
                yield f"{path}/{key}"
            else:
                yield from unknown(value, known[key], f"{path}/{key}")
    elif isinstance(given, list) and isinstance(known, list):
        for index, (left, right) in enumerate(zip(given, known, strict=True)):
            yield from unknown(left, right, f"{path}/{index}")


def closed(schema: object) -> object:
    """The schema, but that fields which it does not name are refused."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


def gateway_schema(package: Path, api_version: str, kind: str) -> dict:
    group = api_version.split("/")[0]
    # Routes for gRPC became v1 as they were, after the last version of the package whose schemas can be read here.
    places = (package / version / f"{kind}.mjs" for version in (api_version, f"{group}/v1alpha2"))
    text = next(place for place in places if place.exists()).read_text()
    schema = json.JSONDecoder().raw_decode(text, text.index("const schema = ") + len("const schema = "))[0]
    # Kubernetes' own: looked at by nobody here, since kubernetes-validate wants to know the kind.
    schema["properties"] |= {"metadata": {"type": "object"}, "apiVersion": {"const": api_version}}
    return closed(schema)


def complaints(package: Path, resource: dict) -> Iterator[str]:
    api_version, kind = resource["apiVersion"], resource["kind"]
    if BUILT_IN.fullmatch(api_version):
        return
    if kind in MODELS:
        model = MODELS[kind].model_validate(resource)
        yield from unknown(resource, model.model_dump(by_alias=True, exclude_unset=True, mode="json"))
    elif api_version.startswith("gateway.networking.k8s.io/"):
        validator = jsonschema.Draft7Validator(gateway_schema(package, api_version, kind))
        for error in validator.iter_errors(resource):
            yield f"{'/'.join(str(part) for part in error.path)}: {error.message}"
    else:
        yield "nobody looks at this kind"


def main() -> None:
    package, failed, seen = Path(sys.argv[1]), False, Counter()
    for file in sys.argv[2:]:
        for resource in yaml.safe_load_all(Path(file).read_text()):
            seen[resource["kind"]] += 1
            for complaint in complaints(package, resource):
                failed = True
                print(f"{file}: {resource['kind']} {resource['metadata']['name']}: {complaint}")
    expected = {*MODELS, "Gateway", "HTTPRoute", "GRPCRoute"}
    if expected - set(seen):
        failed = True
        print(f"not rendered: {', '.join(sorted(expected - set(seen)))}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
