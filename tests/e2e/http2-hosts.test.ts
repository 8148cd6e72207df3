/** HTTP/2 as it is deployed: the control plane, two services and their callers on hosts of their own, without capture. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ControlApi } from '../../control/cli/connection.ts';
import { nodeBinary, proxyCommand } from '../../control/cli/runtimes.mjs';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { HOSTS, type TestHost, TestNetwork } from '../kit/hosts.ts';
import { Program, runSync } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';
import type { GrpcAnswer, Http2Answer } from './http2-clients.ts';

const SERVICES = { greet: ['GRPC', 'h2c'], web: ['HTTP', 'http1'], any: ['', 'both'] } as const;
type Name = keyof typeof SERVICES;
/** All on one port: each is on a host of its own, and so is its application's. */
const PORT = 8080;
const hostOf = (name: Name) => `${name}.default.svc.cluster.local`;

describe.skipIf(!HOSTS).each(RUNTIMES)('HTTP/2 between hosts with %s proxies', (runtime) => {
  const folder = temporaryFolder();
  const programs: Program[] = [];
  let network: TestNetwork;
  let front: TestHost;

  const launch = (name: string, command: readonly string[], env: Record<string, string> = {}) => {
    const program = new Program(name, command, { env: { TULLE_HOST_WAIT_MS: '30000', ...env } });
    programs.push(program);
    return program;
  };
  /** Runs a client on the host of the caller. */
  const call = <T>(client: string, ...args: unknown[]): T => {
    const [command = '', ...words] = front.run([
      nodeBinary(),
      `${ROOT}/tests/e2e/http2-call.ts`,
      client,
      JSON.stringify(args),
    ]);
    const { code, out, error } = runSync(command, words);
    if (code !== 0) throw new Error(error);
    return JSON.parse(out) as T;
  };
  const get2 = (name: Name) => call<Http2Answer>('get2', `http://127.0.0.1:${PORT}`, hostOf(name));

  beforeAll(async () => {
    network = new TestNetwork();
    const main = join(ROOT, 'control/cli/main.ts');
    const data = join(folder.path, 'control');
    const node = [nodeBinary(), '--disable-warning=ExperimentalWarning'];
    const control = launch('control', [
      ...[...node, main, 'control', '--data', data, '--port', '0', '--address', network.address, '--announce'],
    ]);
    const ready = await control.announcement<{ port: number; adminToken: string; trustBundle: string }>();
    const url = `https://${network.address}:${ready.port}`;
    const api = new ControlApi(url, ready.adminToken, ready.trustBundle);
    const start = async (name: string, host: TestHost, appPort?: number) => {
      const token = { namespace: 'default', serviceAccount: name };
      const join_ = await api.call<{ token: string }>('POST', '/v1/join-tokens', token);
      const flags = ['--control-plane', url, '--trust-bundle', join(data, 'ca/root-cert.pem'), '--announce'];
      const own = ['--data', join(folder.path, name), '--name', name, '--service-account', name, '--ip', host.address];
      const more = [
        '--labels',
        `app=${name}`,
        '--admin-port',
        '0',
        '--outbound-bind',
        '127.0.0.1',
        ...(appPort ? ['--app-port', `p=${appPort}`] : []),
      ];
      const command = host.run([...proxyCommand(runtime), ...flags, ...own, ...more]);
      await launch(name, command, { TULLE_JOIN_TOKEN: join_.token }).announcement();
    };
    const create = (kind: string, plural: string, name: string, spec: object) =>
      api.call('POST', `/apis/networking.istio.io/v1/namespaces/default/${plural}`, {
        ...{ apiVersion: 'networking.istio.io/v1', kind, metadata: { name, namespace: 'default' }, spec },
      });
    for (const [name, [protocol, speaks]] of Object.entries(SERVICES)) {
      const host = network.add();
      const labels = { app: name };
      await create('ServiceEntry', 'serviceentries', name, {
        ...{ hosts: [hostOf(name as Name)], location: 'MESH_INTERNAL', resolution: 'STATIC' },
        ports: [{ number: PORT, name: 'p', protocol }],
        workloadSelector: { labels },
      });
      await create('WorkloadEntry', 'workloadentries', name, { address: host.address, serviceAccount: name, labels });
      launch(`${name} application`, host.run([nodeBinary(), `${ROOT}/tests/e2e/http2-echo.ts`, speaks, '8000']));
      await start(name, host, 8000);
    }
    front = network.add();
    await start('front', front);
    for (const name of Object.keys(SERVICES) as Name[]) await until(`${name} answers`, () => get2(name).status === 200);
  });
  afterAll(async () => {
    await Promise.all(programs.map((program) => program.stop()));
    network?.close();
    folder.dispose();
  });

  it('gRPC streams reach a service on another host, with the identity of the caller', () => {
    const { messages, trailers } = call<GrpcAnswer>('chat', `http://127.0.0.1:${PORT}`, hostOf('greet'), [
      'one',
      'two',
    ]);
    expect([messages, trailers['grpc-status']]).toEqual([['one', 'two'], '0']);
    expect(trailers['x-peer']).toContain('URI=spiffe://cluster.local/ns/default/sa/front');
  });

  it('clients of HTTP/2 reach applications of either version at one port', () => {
    const versions = (Object.keys(SERVICES) as Name[]).map(
      (name) => (JSON.parse(get2(name).body) as { version: string }).version,
    );
    expect(versions).toEqual(['2.0', '1.1', '2.0']);
  });

  it('WebSocket from either version', () => {
    const headers = { host: `${hostOf('web')}:${PORT}` };
    expect(call('tunnel1', '127.0.0.1', PORT, '/socket', headers, 'hello')).toEqual([101, 'hello']);
    expect(call('tunnel2', `http://127.0.0.1:${PORT}`, hostOf('web'), 'hello')).toEqual([200, 'hello']);
  });
});
