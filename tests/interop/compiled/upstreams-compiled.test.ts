/** Every load balancing setting of DestinationRule as `tulle compile` writes it: a real Envoy accepts it, and so does Tulle. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, envoyErrors } from '../../kit/envoy.ts';
import { startTulle } from '../../kit/proxy.ts';
import { authorityIn, type SvidFiles, svidFiles } from '../tls/svids.ts';
import { bootstrapOf, compile } from './compiled.ts';

const resource = (kind: string, name: string, spec: object) => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace: 'default' },
  spec,
});

const POLICIES: Record<string, object> = {
  header: { loadBalancer: { consistentHash: { httpHeaderName: 'x-user', ringHash: { minimumRingSize: 512 } } } },
  cookie: { loadBalancer: { consistentHash: { httpCookie: { name: 's', ttl: '60s', path: '/' } } } },
  query: { loadBalancer: { consistentHash: { httpQueryParameterName: 'uid', maglev: { tableSize: 1021 } } } },
  source: { loadBalancer: { consistentHash: { useSourceIp: true } } },
  warm: { loadBalancer: { simple: 'ROUND_ROBIN', warmup: { duration: '30s', minimumPercent: 20, aggression: 1.5 } } },
  warmless: { loadBalancer: { simple: 'LEAST_REQUEST', warmup: { duration: '30s' } } },
  distributed: {
    loadBalancer: { localityLbSetting: { distribute: [{ from: 'r1/*', to: { 'r1/*': 80, 'r2/*': 20 } }] } },
  },
  zoned: {
    loadBalancer: { zoneAwareLbSetting: { enabled: true, minClusterSize: 2, failover: [{ from: 'r1', to: 'r2' }] } },
  },
  failing: {
    loadBalancer: { localityLbSetting: { failover: [{ from: 'r1', to: 'r2' }] } },
    outlierDetection: {
      consecutive5xxErrors: 3,
      consecutiveGatewayErrors: 2,
      splitExternalLocalOriginErrors: true,
      consecutiveLocalOriginFailures: 4,
      interval: '5s',
      baseEjectionTime: '30s',
      maxEjectionPercent: 50,
      minHealthPercent: 30,
    },
  },
  pooled: {
    connectionPool: {
      tcp: { maxConnections: 9, connectTimeout: '2s', maxConnectionDuration: '1h', tcpKeepalive: { time: '60s' } },
      http: { http1MaxPendingRequests: 8, http2MaxRequests: 7, maxRetries: 6, maxRequestsPerConnection: 5 },
    },
    retryBudget: { percent: 25, minRetryConcurrency: 4, budgetInterval: '10s' },
  },
  cookies: {
    loadBalancer: {
      consistentHash: { httpCookie: { name: 's', ttl: '0s', attributes: [{ name: 'SameSite', value: 'Lax' }] } },
    },
  },
  errors: { outlierDetection: { consecutive5xxErrors: 2, outlierDetectionHttpErrorCodes: [429, 500] } },
  error: { outlierDetection: { outlierDetectionHttpErrorCodes: [404] } },
  announced: { proxyProtocol: { version: 'V2' } },
  secured: { proxyProtocol: { version: 'V1' }, tls: { mode: 'SIMPLE' } },
  originated: { tls: { mode: 'SIMPLE' }, connectionPool: { http: { useClientProtocol: true } } },
  unverified: { tls: { mode: 'SIMPLE', insecureSkipVerify: true } },
  tunneled: { tunnel: { targetHost: 'far.test', targetPort: 443 } },
  posted: {
    tunnel: { targetHost: '10.0.0.1', targetPort: 443, protocol: 'POST' },
    connectionPool: { http: { h2UpgradePolicy: 'UPGRADE', http2KeepAlive: { interval: '30s', timeout: '5s' } } },
  },
};

function documents(): object[] {
  const names = Object.keys(POLICIES);
  const services = names.flatMap((name, i) => [
    resource('ServiceEntry', name, {
      hosts: [`${name}.default.svc.cluster.local`],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [
        { number: 9080, name: 'http', protocol: 'HTTP' },
        { number: 7000 + i, name: 'tcp', protocol: 'TCP' },
      ],
      endpoints: [
        { address: `10.0.${i}.1`, locality: 'r1/z1' },
        { address: `10.0.${i}.2`, locality: 'r1/z2', weight: 3 },
        { address: `10.0.${i}.3`, locality: 'r2/z1' },
      ],
    }),
    resource('DestinationRule', name, { host: name, trafficPolicy: POLICIES[name] }),
  ]);
  const retries = {
    attempts: 3,
    retryOn: '5xx,429',
    retryRemoteLocalities: true,
    perTryTimeout: '1s',
    backoff: '20ms',
  };
  return [
    ...services,
    resource('VirtualService', 'header', {
      hosts: ['header'],
      http: [{ retries, timeout: '5s', route: [{ destination: { host: 'header' } }] }],
    }),
    resource('ServiceEntry', 'dynamic', {
      hosts: ['*.dynamic.test'],
      location: 'MESH_EXTERNAL',
      resolution: 'DYNAMIC_DNS',
      ports: [
        { number: 9080, name: 'http', protocol: 'HTTP' },
        { number: 9443, name: 'tls', protocol: 'TLS' },
      ],
    }),
  ];
}

describe.skipIf(!ENVOY)('load balancing settings, compiled', () => {
  const folder = temporaryFolder();
  let own: SvidFiles;
  beforeAll(async () => {
    own = await svidFiles(await authorityIn(`${folder.path}/ca`), folder.path, 'client');
    writeFileSync(
      join(folder.path, 'mesh.yaml'),
      documents()
        .map((one) => stringify(one))
        .join('---\n'),
    );
  });
  afterAll(() => folder.dispose());

  const bind = `127.${20 + (process.pid % 2)}.${Math.floor(Math.random() * 250)}.3`;
  const node = {
    id: 'sidecar~127.0.0.1~client.default~default.svc.cluster.local',
    cluster: 'client.default',
    locality: { region: 'r1', zone: 'z1' },
    metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: 'client', INTERCEPTION_MODE: 'NONE', OUTBOUND_BIND: bind },
  };

  it('a real Envoy takes them, unknown fields refused, and Tulle starts with the same file', async () => {
    const bootstrap = bootstrapOf(compile([join(folder.path, 'mesh.yaml')], node, folder.path), own);
    const file = join(folder.path, 'bootstrap.json');
    writeFileSync(file, JSON.stringify(bootstrap));
    expect(envoyErrors(file)).toBe('');
    const text = JSON.stringify(bootstrap);
    for (const wanted of ['RING_HASH', 'MAGLEV', 'slowStartConfig', 'localityWeightedLbConfig', '"priority":1'])
      expect(text).toContain(wanted);
    for (const wanted of [
      'zoneAwareLbConfig',
      'errorMatcher',
      'upstream_proxy_protocol',
      'tunnelingConfig',
      'usePost',
      'autoSni',
      'budgetInterval',
    ])
      expect(text).toContain(wanted);
    for (const wanted of ['hashPolicy', 'retryPriority', 'retryBudget', 'dynamic_forward_proxy', 'sni_dynamic'])
      expect(text).toContain(wanted);
    const tulle = await startTulle('node', bootstrap, folder.path);
    await tulle.stop();
  });
});
