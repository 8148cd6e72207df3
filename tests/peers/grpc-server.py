"""grpc.health.v1 on gRPC's own server (C core): plaintext, TLS, and with connections that live for half a second.

Arguments: certificate chain, private key (PEM files). Prints its ports as JSON. The service asked for says the status.
"""
import json
import sys
from concurrent import futures

import grpc

STATUS = {b"": 1, b"serving": 1, b"not-serving": 2}


def check(request, context):
    # HealthCheckRequest: string service = 1.
    service = request[2:] if request[:1] == b"\x0a" and request[1] == len(request) - 2 else request
    if service not in STATUS:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return bytes([0x08, STATUS[service]])


def serve(credentials=None, options=()):
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0), *options])
    handler = grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
    )
    server.add_generic_rpc_handlers((handler,))
    at = "127.0.0.1:0"
    port = server.add_secure_port(at, credentials) if credentials else server.add_insecure_port(at)
    server.start()
    return server, port


def main():
    with open(sys.argv[1], "rb") as chain, open(sys.argv[2], "rb") as key:
        credentials = grpc.ssl_server_credentials([(key.read(), chain.read())])
    aging = [("grpc.max_connection_age_ms", 500), ("grpc.max_connection_age_grace_ms", 5000)]
    servers = {"plain": serve(), "tls": serve(credentials), "aging": serve(None, aging)}
    print(json.dumps({"ready": True, **{name: port for name, (_, port) in servers.items()}}).replace(": ", ":"), flush=True)
    for server, _ in servers.values():
        server.wait_for_termination()


main()
