/** gRPC's own interop client and server (grpc-go), through two sidecars with mTLS, on every runtime. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES } from '../kit/environment.ts';
import { peers } from '../kit/peers.ts';
import { freePorts } from '../kit/ports.ts';
import { Program } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';
import { type GrpcMesh, metric, startGrpcMesh } from './grpc-mesh.ts';

/** All that need no credentials of Google's. */
const CASES = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'timeout_on_sleeping_server',
  'cancel_after_begin',
  'cancel_after_first_response',
  'status_code_and_message',
  'special_status_message',
  'custom_metadata',
  'unimplemented_method',
  'unimplemented_service',
];

const programs = peers('grpc-interop-client', 'grpc-interop-server');

describe.skipIf(!programs).each(RUNTIMES)("gRPC's interop cases through two %s sidecars", (runtime) => {
  let server: Program;
  let mesh: GrpcMesh;

  beforeAll(async () => {
    const [port] = (await freePorts(1)) as [number];
    server = new Program('interop server', [programs!['grpc-interop-server'], `--port=${port}`]);
    mesh = await startGrpcMesh(runtime, port);
  });
  afterAll(async () => {
    await mesh?.mesh.stop();
    await server?.stop();
  });

  /** @returns what the client says where it fails; '' where it succeeds */
  const run = async (name: string, ...flags: string[]): Promise<string> => {
    const client = new Program(`interop client ${name}`, [
      programs!['grpc-interop-client'],
      `--server_host=${mesh.host}`,
      `--server_port=${mesh.port}`,
      `--test_case=${name}`,
      ...flags,
    ]);
    const code = await client.exited;
    return code === 0 ? '' : `${code}: ${client.output}`;
  };

  it.each(CASES)('%s', async (name) => expect(await run(name)).toBe(''));

  it('ran over mTLS, and was counted by status and by messages', async () => {
    const { server: callee, caller } = mesh;
    await until('the server has counted', async () => {
      const secured = await metric(
        callee,
        'istio_requests_total',
        'request_protocol="grpc"',
        'grpc_response_status="0"',
        'connection_security_policy="mutual_tls"',
        'source_principal="spiffe://cluster.local/ns/default/sa/caller"',
      );
      return secured >= 8;
    });
    // empty_unary, large_unary, custom_metadata, ping_pong… have messages both ways.
    for (const name of ['istio_request_messages_total', 'istio_response_messages_total']) {
      expect(await metric(callee, name, 'reporter="destination"')).toBeGreaterThan(10);
      expect(await metric(caller, name, 'reporter="source"')).toBeGreaterThan(10);
    }
    for (const status of ['2', '12'])
      expect(await metric(caller, 'istio_requests_total', `grpc_response_status="${status}"`)).toBeGreaterThan(0);
  });
});
