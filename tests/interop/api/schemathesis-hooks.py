"""Hooks of schemathesis: half of the requests are for resources that exist, and a watch ends after a second."""
import schemathesis


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    for name, known in (("namespace", "default"), ("name", "known")):
        value = (path_parameters or {}).get(name)
        if isinstance(value, str) and len(value) % 2 == 0:
            path_parameters[name] = known
    return path_parameters


@schemathesis.hook
def map_query(context, query):
    if query and "watch" in query:
        query["timeoutSeconds"] = "1"
    return query
