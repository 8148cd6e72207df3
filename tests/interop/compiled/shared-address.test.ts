/** Policies of two workloads at one address, as compiled, in a real Envoy and in ours: all must admit at a port of both. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { freePorts } from '../../kit/ports.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { type Echo, startEcho } from '../harness/echo.ts';
import { exchange } from '../harness/raw-client.ts';
import { authorityIn, svidFiles } from '../tls/svids.ts';
import { bootstrapOf, compile } from './compiled.ts';

if (!ENVOY) console.info('policies of a shared address in Envoy skipped: there is no Envoy');

const resource = (kind: string, name: string, spec: object) => ({
  apiVersion: `${kind === 'AuthorizationPolicy' ? 'security' : 'networking'}.istio.io/v1`,
  kind,
  metadata: { name, namespace: 'default' },
  spec,
});
const service = (app: string, number: number) =>
  resource('ServiceEntry', app, {
    hosts: [`${app}.default.svc.cluster.local`],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [{ number, name: 'http', protocol: 'HTTP' }],
    workloadSelector: { labels: { app } },
  });
const workload = (app: string) =>
  resource('WorkloadEntry', app, { address: '127.0.0.1', serviceAccount: 'vm', labels: { app } });
const policy = (name: string, app: string, action: string, operation: object) =>
  resource('AuthorizationPolicy', name, {
    selector: { matchLabels: { app } },
    action,
    rules: [{ to: [{ operation }] }],
  });

describe.skipIf(!ENVOY)('policies of two workloads at one address', () => {
  const folder = temporaryFolder();
  let echo: Echo;
  let proxy: RunningProxy | undefined;
  let bootstrap: ReturnType<typeof bootstrapOf>;
  let ports: number[];

  beforeAll(async () => {
    echo = await startEcho('vm');
    ports = await freePorts(2);
    const [shared = 0, own = 0] = ports;
    const documents = [
      ...[service('orders', shared), workload('orders'), policy('orders', 'orders', 'ALLOW', { methods: ['GET'] })],
      ...[service('admin', shared), workload('admin'), policy('admin', 'admin', 'ALLOW', { paths: ['/a*'] })],
      policy('never', 'admin', 'DENY', { paths: ['/a/no'] }),
      ...[service('open', own), workload('open')],
    ];
    const file = join(folder.path, 'shared.yaml');
    writeFileSync(file, documents.map((one) => stringify(one)).join('---\n'));
    const node = {
      id: 'sidecar~127.0.0.1~vm.default~default.svc.cluster.local',
      cluster: 'vm.default',
      metadata: {
        NAMESPACE: 'default',
        SERVICE_ACCOUNT: 'vm',
        INTERCEPTION_MODE: 'NONE',
        APP_PORTS: { http: echo.port },
      },
    };
    const svid = await svidFiles(await authorityIn(`${folder.path}/ca`), folder.path, 'vm');
    bootstrap = bootstrapOf(compile([file], node, folder.path), svid);
    const { staticResources } = bootstrap;
    staticResources.listeners = staticResources.listeners.filter(
      (one) => (one as { trafficDirection?: string }).trafficDirection === 'INBOUND',
    );
  });
  afterAll(async () => {
    await proxy?.stop();
    echo.stop();
    folder.dispose();
  });

  const statuses = async () => {
    const out: Record<string, number> = {};
    for (const [i, port] of ports.entries())
      for (const request of ['GET /a', 'POST /a', 'GET /b', 'POST /b', 'GET /a/no']) {
        const bytes = `${request} HTTP/1.1\r\nHost: vm\r\nContent-Length: 0\r\n\r\n`;
        const { responses } = await exchange(port, bytes, [request.split(' ')[0]!]);
        out[`${['shared', 'own'][i]} ${request}`] = responses[0]!.status;
      }
    return out;
  };

  it.each(['envoy', ...RUNTIMES] as const)('%s admits what all admit', async (name) => {
    await proxy?.stop();
    proxy = undefined;
    proxy =
      name === 'envoy'
        ? await startEnvoy(bootstrap, folder.path, 'shared')
        : await startTulle(name, bootstrap, folder.path);
    expect(await statuses()).toEqual({
      'shared GET /a': 200,
      'shared POST /a': 403,
      'shared GET /b': 403,
      'shared POST /b': 403,
      'shared GET /a/no': 403,
      'own GET /a': 200,
      'own POST /a': 200,
      'own GET /b': 200,
      'own POST /b': 200,
      'own GET /a/no': 200,
    });
  });
});
